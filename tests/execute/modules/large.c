// SPDX-License-Identifier: BSD-3-Clause
//
// A module that needs 64 MiB to begin with (see CMakeLists.txt).
__attribute__((export_name("nkv_abi_2"), used)) void nkv_abi_2(void) {}
__attribute__((export_name("run"), used)) unsigned long long run(unsigned a, unsigned b, unsigned c, unsigned d) {
  (void)a;
  (void)b;
  (void)c;
  (void)d;
  return 8;
}
