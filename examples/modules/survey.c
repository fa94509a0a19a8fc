// SPDX-License-Identifier: BSD-3-Clause
//
// A module for Execute (host/nkv/target/EXECUTE.md): how many of a value's 32-bit words lie above a threshold, which the
// client's input is, and the largest. Compiled by
//
//     clang --target=wasm32 -O2 -nostdlib -Wl,--no-entry -o survey.wasm survey.c
//
// and stored as any value. Needs no library: it imports nothing.
typedef unsigned int u32;
typedef unsigned long long u64;

#define EXPORT(name) __attribute__((export_name(name), used))

// Says which interface this is for; never called.
EXPORT("nkv_abi_2") void nkv_abi_2(void) {}

static struct {
  u32 above;
  u32 largest;
} result;

// Returns where the result lies in this module's memory, in the upper half, and its length in the lower.
EXPORT("survey") u64 survey(const unsigned char *value, u32 value_bytes, const unsigned char *input, u32 input_bytes) {
  u32 threshold = 0;
  for (u32 i = 0; i < input_bytes && i < 4; ++i) threshold |= (u32)input[i] << (8 * i);
  for (u32 at = 0; at + 4 <= value_bytes; at += 4) {
    u32 word;
    __builtin_memcpy(&word, value + at, 4);
    result.above += word > threshold;
    if (word > result.largest) result.largest = word;
  }
  return (u64)(u32)&result << 32 | sizeof result;
}
