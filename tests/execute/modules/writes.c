// SPDX-License-Identifier: BSD-3-Clause
//
// A module that says that it writes.
typedef unsigned int u32;

__attribute__((export_name("kv_write"), used)) void kv_write(void) {}
__attribute__((export_name("nkv_abi_2"), used)) void nkv_abi_2(void) {}
__attribute__((export_name("run"), used)) unsigned long long run(u32 value, u32 value_bytes, u32 input, u32 input_bytes) {
  (void)input;
  (void)input_bytes;
  return (unsigned long long)value << 32 | value_bytes;
}
