// SPDX-License-Identifier: BSD-3-Clause
// A wait takes a moment on a named clock, not a number whose unit is anyone's guess.
// expect-error: (no matching function|no match|conver)
#include <nkv/nkv.hpp>

struct test_clock {
  static std::uint64_t now_ns() noexcept;
  static void relax(std::uint32_t) noexcept;
};

bool caller(const nkv::namespace_ref<nkv::queue_pair_ref<nkv::exclusive, nkv::mapped_doorbell<>>>& ns,
            nkv::key_view key) {
#ifdef FAIL
  return ns.exist(key, 1000).status.ok();
#else
  return ns.exist(key, nkv::deadline<test_clock>::after_ms(1000)).status.ok();
#endif
}
