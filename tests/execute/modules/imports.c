// SPDX-License-Identifier: BSD-3-Clause
//
// A module that wants something of its host.
__attribute__((import_module("env"), import_name("clock"))) unsigned long long host_clock(void);
__attribute__((export_name("nkv_abi_2"), used)) void nkv_abi_2(void) {}
__attribute__((export_name("run"), used)) unsigned long long run(unsigned a, unsigned b, unsigned c, unsigned d) {
  return host_clock() + a + b + c + d;
}
