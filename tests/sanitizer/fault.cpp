// SPDX-License-Identifier: BSD-3-Clause
//
// fault NAME: commits one fault. A sanitizer that is at work ends the program with its report before "survived".
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>

namespace {

// Through volatile, so that no compiler proves the fault and removes it.
volatile int one = 1;

int use_after_free() {
  int* p = new int(one);
  delete p;
  return *static_cast<volatile int*>(p);
}

int overrun() {
  volatile char* p = new char[4];
  const char value = p[3 + one];
  delete[] p;
  return value;
}

int leak() {
  static volatile bool kept = false;
  void* volatile p = std::malloc(100);
  kept = p != nullptr;
  p = nullptr;
  return kept ? 0 : 1;
}

int shift() { return one << (31 + one); }

int misaligned() {
  alignas(8) static char bytes[16] = {};
  const auto* word = reinterpret_cast<const std::uint32_t*>(static_cast<const void*>(bytes + one));
  return static_cast<int>(*word);
}

int race() {
  static int shared = 0;
  std::thread other([] {
    for (int i = 0; i < 1000; ++i) shared += one;
  });
  for (int i = 0; i < 1000; ++i) shared += one;
  other.join();
  return shared;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view fault = argc == 2 ? argv[1] : "";
  int value = 0;
  if (fault == "use_after_free") value = use_after_free();
  if (fault == "overrun") value = overrun();
  if (fault == "leak") {
    // Reported when the process ends, after everything else.
    return leak();
  }
  if (fault == "shift") value = shift();
  if (fault == "misaligned") value = misaligned();
  if (fault == "race") value = race();
  std::printf("survived %d\n", value);
  return 0;
}
