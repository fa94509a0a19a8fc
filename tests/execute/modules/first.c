// SPDX-License-Identifier: BSD-3-Clause
//
// The deployed interface: the value lies at 256, the result at 8, and there is no input. What would lie in memory of
// its own lies there too, so it has none.
#define EXPORT(name) __attribute__((export_name(name), used))

EXPORT("sum") unsigned sum(unsigned offset, unsigned length) {
  unsigned long long total = 0;
  for (unsigned i = 0; i < length; ++i) total += ((volatile unsigned char *)offset)[i];
  *(volatile unsigned long long *)8 = total;
  return 8;
}

EXPORT("offset") unsigned offset(unsigned at, unsigned length) {
  *(volatile unsigned *)8 = at;
  *(volatile unsigned *)12 = length;
  return 8;
}

// One byte more than the memory has behind the result.
EXPORT("outside") unsigned outside(unsigned at, unsigned length) {
  (void)at;
  (void)length;
  return __builtin_wasm_memory_size(0) * 65536 - 8 + 1;
}
