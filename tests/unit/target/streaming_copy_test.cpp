// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/streaming_copy.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <vector>

using nkv::target::streaming_copy;

TEST_SUITE("target/streaming_copy") {
  TEST_CASE("every length and alignment: all bytes, and none beside them") {
    constexpr std::size_t most = 330;
    std::vector<std::byte> from(most + 64), to(most + 256);
    for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::byte>(i * 7 + 1);
    for (std::size_t length = 0; length <= most; length += length < 140 ? 1 : 19) {
      CAPTURE(length);
      std::size_t wrong = 0;
      for (std::size_t source = 0; source < 64; source += 9) {
        for (std::size_t at = 64; at < 128; ++at) {
          to.assign(to.size(), std::byte{0xee});
          streaming_copy(to.data() + at, from.data() + source, length);
          for (std::size_t i = 0; i < to.size(); ++i)
            wrong += to[i] != (i >= at && i < at + length ? from[source + i - at] : std::byte{0xee});
        }
      }
      CHECK(wrong == 0);
    }
  }
}
