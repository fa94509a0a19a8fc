// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/target.hpp>

int second();

int main() { return nkv::status().ok() && second() == 7 ? 0 : 1; }
