// SPDX-License-Identifier: BSD-3-Clause
//
// A module for an interface that is yet to come.
__attribute__((export_name("nkv_abi_3"), used)) void nkv_abi_3(void) {}
__attribute__((export_name("run"), used)) unsigned long long run(unsigned a, unsigned b, unsigned c, unsigned d) {
  return a + b + c + d;
}
