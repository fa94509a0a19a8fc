// SPDX-License-Identifier: BSD-3-Clause
//
// The second interface, and what a module may do wrong: each of its functions is a case of execute_test.cpp.
typedef unsigned int u32;
typedef unsigned long long u64;
typedef const volatile unsigned char *bytes;

#define EXPORT(name) __attribute__((export_name(name), used))
#define FUNCTION(name) EXPORT(#name) u64 name(bytes value, u32 value_bytes, bytes input, u32 input_bytes)
#define UNUSED ((void)value, (void)value_bytes, (void)input, (void)input_bytes)

EXPORT("nkv_abi_2") void nkv_abi_2(void) {}

static u64 at(const volatile void *p, u32 n) { return (u64)(u32)p << 32 | n; }
static volatile u64 word;
static u64 answer(u64 x) {
  word = x;
  return at(&word, 8);
}

FUNCTION(value_bytes) { return UNUSED, answer(value_bytes); }
FUNCTION(input_bytes) { return UNUSED, answer(input_bytes); }
FUNCTION(echo_value) { return UNUSED, at(value, value_bytes); }
FUNCTION(echo_input) { return UNUSED, at(input, input_bytes); }
FUNCTION(nothing) { return UNUSED, at(value, 0); }

// Every run has its own instance.
FUNCTION(count) {
  static volatile u32 runs;
  return UNUSED, answer(++runs);
}

FUNCTION(trap) {
  UNUSED;
  __builtin_trap();
}
FUNCTION(endless) {
  UNUSED;
  for (;;) word = word + 1;
}
// Without memory of its own, so that it is the engine's stack that ends.
static __attribute__((noinline)) u64 deeper(u64 n) {
  word = n;
  const u64 below = word == 0xffffffff ? n : deeper(n + 1);
  return below + word;
}
FUNCTION(recursion) { return UNUSED, answer(deeper(0)); }

// How many pages it was given in the end, having written to each.
FUNCTION(bomb) {
  UNUSED;
  u32 last;
  for (;;) {
    const u32 grown = __builtin_wasm_memory_grow(0, 1);
    if (grown == 0xffffffff) break;
    last = grown;
    *(volatile unsigned char *)(last * 65536) = 1;
  }
  return answer(__builtin_wasm_memory_size(0));
}

// Results that are none.
FUNCTION(beyond) { return UNUSED, (u64)(__builtin_wasm_memory_size(0) * 65536 - 4) << 32 | 5; }
FUNCTION(far_beyond) { return UNUSED, 0xfffffff0ffffffff; }
// The whole memory is one.
FUNCTION(everything) { return UNUSED, at(0, __builtin_wasm_memory_size(0) * 65536); }

// What does not go by the interface.
EXPORT("too_few") u64 too_few(u32 a) { return a; }
EXPORT("first_interface") u32 first_interface(u32 a, u32 b) { return a + b; }
EXPORT("float_result") double float_result(u32 a, u32 b, u32 c, u32 d) { return a + b + c + d; }
