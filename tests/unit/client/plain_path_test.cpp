// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/client/encode.hpp>
#include <nkv/client/plain_path.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <string>

using namespace nkv;

TEST_SUITE("client/plain_path") {
  TEST_CASE("what it takes, validate() takes; and its command is encode()'s, byte for byte") {
    std::byte head[scratch::head_bytes] = {};
    alignas(16) std::byte list[512] = {};
    const scratch memory{head, 0x50000, {list, 0x60000, 512}};
    const std::string name(40, 'n');
    std::uint64_t taken = 0;
    std::uint64_t plain_but_left = 0;
    for (const key_encoding encoding : {key_encoding::inline_cdw, key_encoding::payload_head})
      for (const bool sgl : {false, true})
        for (const bool dwords : {false, true})
          for (const bool ignores : {false, true})
            for (const bool read_only : {false, true})
              for (const std::uint64_t most_value : {0ull, 100ull, 0xffffffffull, 1ull << 40})
                for (const std::uint64_t mdts : {0ull, 64ull, 1ull << 33})
                  for (const std::uint32_t longest : {0u, 8u, 16u, 255u}) {
                    namespace_profile p;
                    p.nsid = 5;
                    p.quirks = quirks::of(encoding);
                    p.quirks.sgl_ignores_granularity = ignores;
                    p.read_only = read_only;
                    p.limits.sgl = sgl;
                    p.limits.sgl_dword_granular = dwords;
                    p.limits.max_value_bytes = most_value;
                    p.limits.max_transfer_bytes = mdts;
                    p.limits.max_key_bytes = longest;
                    const plain_path plain(p);
                    for (const std::size_t key_bytes : {0u, 1u, 8u, 9u, 15u, 16u, 17u})
                      for (const std::uint64_t length :
                           {0ull, 1ull, 63ull, 64ull, 65ull, 100ull, 101ull, 0xffffffffull, 1ull << 32}) {
                        const key_view k = key_view::from_text(name.data(), key_bytes);
                        const value_ref v{0x123457, length, 0};
                        for (const operation& op :
                             {operation::store(k, v), operation::store(k, v, {.must_not_exist = true}),
                              operation::store(k, v, {.must_exist = true, .must_not_exist = true}),
                              operation::store(k, v, {.touch = true}), operation::retrieve(k, v),
                              operation::retrieve(k, v, {.raw = true}), operation::remove(k), operation::exist(k)}) {
                          const bool valid = validate(op, p, 512).ok();
                          if (!plain.takes(op)) {
                            plain_but_left += valid && encoding == key_encoding::inline_cdw && sgl && !dwords &&
                                              op.store_opts.bits() == 0;
                            continue;
                          }
                          ++taken;
                          REQUIRE(valid);
                          const result<sqe> slow = encode(op, p, memory);
                          REQUIRE(slow.has_value());
                          const sqe fast = plain_path::command(op, p.nsid);
                          REQUIRE(std::equal(std::begin(fast.dw), std::end(fast.dw), std::begin(slow->dw)));
                        }
                      }
                  }
    CHECK(taken > 10000);
    CHECK(plain_but_left == 0);
  }

  TEST_CASE("List and Execute are not among them") {
    namespace_profile p;
    p.limits.sgl = true;
    std::byte local[64] = {};
    const key_view k = key_view::from_text("k");
    CHECK_FALSE(plain_path(p).takes(operation::list(k, {1, 64, 0}, local)));
    CHECK_FALSE(plain_path(p).takes(operation::execute(1, k, {1, 64, 0}, local, 0, 8)));
    CHECK_FALSE(plain_path{}.takes(operation::exist(k)));
  }
}
