// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/device/device.hpp>

int second();

int main() {
  const nkv::device::warp_group alone;
  const nkv::device::namespace_ref<nkv::shared> nowhere;
  return alone.size() == 1 && second() == 1 && !nowhere.plain() ? 0 : 1;
}
