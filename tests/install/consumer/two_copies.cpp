// SPDX-License-Identifier: BSD-3-Clause
//
// One process, two copies of nkv, the second under another inline namespace: their types and functions stay apart.
#include <nkv/nkv.hpp>

#include <typeinfo>

const std::type_info& vendored_status();

int main() { return typeid(nkv::status) == vendored_status() ? 1 : 0; }
