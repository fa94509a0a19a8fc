// SPDX-License-Identifier: BSD-3-Clause
// expect-error: unused-result|nodiscard
#include <nkv/nkv.hpp>

struct test_clock {
  static std::uint64_t now_ns() noexcept;
  static void relax(std::uint32_t) noexcept;
};

void caller(const nkv::namespace_ref<nkv::queue_pair_ref<nkv::exclusive, nkv::mapped_doorbell<>>>& ns,
            nkv::key_view key) {
  const auto until = nkv::deadline<test_clock>::after_ms(1);
  static_cast<void>(ns.remove(key, until).status.ok());
#ifdef FAIL
  ns.remove(key, until);
#endif
}
