// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/nkv.hpp>

int second();

int main() {
  const nkv::result<int> number = 7;
  return number.has_value() && second() == 7 ? 0 : 1;
}
