// SPDX-License-Identifier: BSD-3-Clause
#include <conformance/suite.hpp>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

using namespace nkv_test;

namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t offsets[] = {0, 1, 4, 4095};

struct data_pointer_case : kv_case {
  std::string key = name(1);

  /// The same namespace as a client sees it whose controller takes PRPs alone.
  [[nodiscard]] kv_namespace by_prp() const {
    nkv::namespace_profile p = profile;
    p.limits.sgl = false;
    return {ns.queue(), p};
  }

  /// Around `pages` pages, from every offset, stored and retrieved through `via`; each once more the other way.
  void lengths_around(const kv_namespace& via, std::size_t pages) {
    std::size_t left_out = 0;
    for (const std::size_t offset : offsets) {
      for (const std::size_t size : {pages * page - 1, pages * page, pages * page + 1, pages * page - offset}) {
        CAPTURE(pages);
        CAPTURE(offset);
        CAPTURE(size);
        if (!takes_value(bytes_of(key), size)) {
          ++left_out;
          continue;
        }
        const std::uint64_t seed = size * 5 + offset;
        REQUIRE(store(via, key, seed, size, {}, offset).status == status());
        expect_value(via, key, seed, size, offset);
        expect_value(ns, key, seed, size, (offset + 2) % page);
      }
    }
    if (left_out != 0) skip("longer than a value or a command of this target may be", std::to_string(pages) + " pages");
  }

  /// Store and Retrieve with a data pointer of the test's own making. The value lies in `pieces` behind one another,
  /// a head in front where the encoding wants one.
  struct piece {
    std::byte* data;
    std::size_t size;
  };
  [[nodiscard]] std::uint64_t address(const std::byte* at) const { return target().memory().address_of(at); }

  /// Copies between pieces and one run of bytes.
  static void scatter(const std::vector<piece>& pieces, const std::vector<std::byte>& bytes) {
    std::size_t at = 0;
    for (const piece& p : pieces) {
      std::memcpy(p.data, bytes.data() + at, p.size);
      at += p.size;
    }
  }
  static std::vector<std::byte> gather(const std::vector<piece>& pieces) {
    std::vector<std::byte> bytes;
    for (const piece& p : pieces) bytes.insert(bytes.end(), p.data, p.data + p.size);
    return bytes;
  }

  /// What a command with `size` bytes of value carries: the head, where there is one, and the value.
  [[nodiscard]] std::vector<std::byte> payload(std::uint64_t seed, std::size_t size) const {
    const std::size_t head = profile.head_bytes(bytes_of(key));
    std::vector<std::byte> bytes(head + size);
    if (head != 0) nkv::write_head(bytes.data(), bytes_of(key));
    fill_pattern(bytes.data() + head, size, seed);
    return bytes;
  }

  /// Stores the pattern of `seed` from `pieces`, reads it back through the client; then stores through the client and
  /// retrieves into `pieces`.
  void round_trip(const std::vector<piece>& pieces, const nkv::data_pointer& data) {
    std::size_t total = 0;
    for (const piece& p : pieces) total += p.size;
    const std::size_t head = profile.head_bytes(bytes_of(key));
    const std::size_t size = total - head;
    CAPTURE(pieces.size());
    CAPTURE(size);

    scatter(pieces, payload(7, size));
    const auto store_command =
        nkv::kv_store(profile.nsid, bytes_of(key), quirks.encoding, data, static_cast<std::uint32_t>(size));
    REQUIRE(store_command);
    remember(key);
    CHECK(raw(*store_command).status == status());
    CHECK(gather(pieces) == payload(7, size));
    expect_value(key, 7, size);

    REQUIRE(store(key, 8, size).status == status());
    std::vector<std::byte> blank = payload(7, size);
    std::fill(blank.begin() + static_cast<std::ptrdiff_t>(head), blank.end(), std::byte{0});
    scatter(pieces, blank);
    const auto retrieve_command =
        nkv::kv_retrieve(profile.nsid, bytes_of(key), quirks.encoding, data, static_cast<std::uint32_t>(size));
    REQUIRE(retrieve_command);
    const nkv::completion c = raw(*retrieve_command);
    CHECK(c.status == status());
    if (quirks.reports_true_length) CHECK(c.dw0 == size);
    CHECK(gather(pieces) == payload(8, size));
  }

  /// PRPs over `pieces`, which all but the first begin at a page and all but the last end at one. The list's own pages
  /// are `lists`, in that order, each used from `first_entry` on in the first and from its start in the others.
  nkv::data_pointer prps(const std::vector<piece>& pieces, const std::vector<std::byte*>& lists,
                         std::size_t first_entry) {
    const std::uint64_t prp1 = address(pieces[0].data);
    if (pieces.size() == 1) return nkv::data_pointer::prp(prp1);
    if (pieces.size() == 2) return nkv::data_pointer::prp(prp1, address(pieces[1].data));
    std::size_t list = 0;
    std::size_t at = first_entry;
    const auto put = [&](std::uint64_t value) { nkv::store_le(lists[list] + 8 * at++, value); };
    for (std::size_t i = 1; i < pieces.size(); ++i) {
      if (at == page / 8 - 1 && i + 1 < pieces.size()) {
        put(address(lists[list + 1]));
        ++list;
        at = 0;
      }
      put(address(pieces[i].data));
    }
    return nkv::data_pointer::prp(prp1, address(lists[0]) + 8 * first_entry);
  }

  /// A value over `pages` pages that lie in no order, its list in pages that lie in no order.
  void scattered_prps(std::size_t pages, std::size_t offset, std::size_t last_bytes, std::size_t first_entry) {
    CAPTURE(pages);
    CAPTURE(offset);
    CAPTURE(first_entry);
    const std::size_t head = profile.head_bytes(bytes_of(key));
    const std::size_t total = pages == 1 ? last_bytes : (page - offset) + (pages - 2) * page + last_bytes;
    if (head != 0 && prp_heads_count_as_value()) return skip("PRPs of this target have no room for a head");
    if (total <= head || total - head > limits.max_value_bytes || !limits.takes_transfer(total))
      return skip("longer than a value or a command of this target may be", std::to_string(pages) + " scattered pages");
    const buffer memory = take(2 * pages * page);
    const std::size_t list_pages = 1 + (pages + page / 8) / (page / 8 - 1);
    const buffer list_memory = take(2 * list_pages * page);
    // Every other page, the last first.
    std::vector<piece> pieces;
    for (std::size_t i = 0; i < pages; ++i) pieces.push_back({memory.data() + (2 * (pages - i) - 1) * page, page});
    pieces[0].data += offset;
    pieces[0].size -= offset;
    pieces.back().size = last_bytes;
    std::vector<std::byte*> lists;
    for (std::size_t i = 0; i < list_pages; ++i) lists.push_back(list_memory.data() + 2 * (list_pages - 1 - i) * page);
    round_trip(pieces, prps(pieces, lists, first_entry));
    // Nothing between the pages was written.
    for (std::size_t i = 0; i < pages; ++i) {
      const std::byte* const between = memory.data() + 2 * i * page;
      CHECK(fill_difference(between, page, buffer::untouched) == page);
    }
    CHECK(fill_difference(memory.data() + (2 * pages - 1) * page, offset, buffer::untouched) == offset);
    const std::byte* const end = pieces.back().data + last_bytes;
    const std::size_t rest = page - (pages == 1 ? offset : 0) - last_bytes;
    CHECK(fill_difference(end, rest, buffer::untouched) == rest);
  }

  /// A target that counts the pages of PRPs by CDW10, the value's length, takes as much less of the value as the head
  /// is long.
  [[nodiscard]] bool prp_heads_count_as_value() {
    const std::vector<std::byte> bytes = payload(9, 100);
    const buffer b = take(bytes.size());
    std::memcpy(b.data(), bytes.data(), bytes.size());
    const auto c =
        nkv::kv_store(profile.nsid, bytes_of(key), quirks.encoding, nkv::data_pointer::prp(b.ref().address), 100);
    REQUIRE(c);
    remember(key);
    REQUIRE(raw(*c).status == status());
    const outcome o = ns.retrieve(bytes_of(key), take(200).ref(), soon());
    CHECK(o.status == status());
    return o.length_bytes == 100 - profile.head_bytes(bytes_of(key));
  }

  [[nodiscard]] bool has_prp_lists() const { return limits.prp_list; }
};

}  // namespace

TEST_SUITE("conformance/data pointer") {
  TEST_CASE_FIXTURE(data_pointer_case, "address: every offset of 0 to 64 and odd lengths -> as stored") {
    for (std::size_t offset = 0; offset <= 64; ++offset) {
      const std::size_t size = 1 + offset * 37 % 200;
      CAPTURE(offset);
      REQUIRE(store(key, offset, size, {}, offset).status == status());
      expect_value(key, offset, size, offset);
      expect_value(key, offset, size, 64 - offset);
    }
  }

  TEST_CASE_FIXTURE(data_pointer_case, "address: short values across a page boundary -> as stored") {
    for (const std::size_t before : {1u, 2u, 3u, 4u, 5u, 8u}) {
      for (const std::size_t size : {1u, 2u, 3u, 4u, 7u, 16u}) {
        CAPTURE(before);
        CAPTURE(size);
        REQUIRE(store(key, size, size, {}, page - before).status == status());
        expect_value(key, size, size, page - before);
      }
    }
  }

  TEST_CASE_FIXTURE(data_pointer_case, "as the client chooses: around 1, 2 and 3 pages -> as stored") {
    for (const std::size_t pages : {1u, 2u, 3u}) lengths_around(ns, pages);
  }
  TEST_CASE_FIXTURE(data_pointer_case, "as the client chooses: around 511, 512, 513 and 1024 pages -> as stored") {
    for (const std::size_t pages : {511u, 512u, 513u, 1024u}) lengths_around(ns, pages);
  }

  TEST_CASE_FIXTURE(data_pointer_case, "PRPs of the client: around 1, 2 and 3 pages -> as stored") {
    if (quirks.encoding == nkv::key_encoding::payload_head) return skip("a head needs an SGL");
    if (!has_prp_lists()) return skip("no PRP lists");
    for (const std::size_t pages : {1u, 2u, 3u}) lengths_around(by_prp(), pages);
  }
  TEST_CASE_FIXTURE(data_pointer_case, "PRPs of the client: around 511, 512, 513 and 1024 pages -> as stored") {
    if (quirks.encoding == nkv::key_encoding::payload_head) return skip("a head needs an SGL");
    if (!has_prp_lists()) return skip("no PRP lists");
    for (const std::size_t pages : {511u, 512u, 513u, 1024u}) lengths_around(by_prp(), pages);
  }
  TEST_CASE_FIXTURE(data_pointer_case, "PRPs of the client: a List page of several pages -> every key") {
    if (!has_prp_lists()) return skip("no PRP lists");
    if (quirks.list_reports_length && !quirks.list_continues) return skip("a listing goes to one block of an SGL");
    std::vector<std::string> keys;
    for (unsigned n = 0; n < 20; ++n) REQUIRE(store(name(n, 4), n, 8).status == status());
    for (const std::size_t offset : offsets) {
      for (const std::size_t size : {std::size_t{164}, page + 4, 3 * page}) {
        CAPTURE(offset);
        CAPTURE(size);
        if (!limits.takes_transfer(size)) continue;
        const buffer b = take(size, offset);
        CHECK(by_prp().list({}, b.ref(), b.data(), soon()).status == status());
        nkv::list_page reader{{b.data(), b.size()}, quirks.list_padding};
        CHECK(reader.count() == 20);
        while (!reader.done())
          if (!reader.next()) break;
        CHECK(reader.error() == status());
      }
    }
  }

  TEST_CASE_FIXTURE(data_pointer_case, "PRPs on the wire: pages in no order -> as stored") {
    for (const std::size_t offset : {std::size_t{0}, std::size_t{4}, std::size_t{2048}, std::size_t{4092}}) {
      for (const std::size_t pages : {1u, 2u, 3u, 4u, 17u}) {
        if (pages > 2 && !has_prp_lists()) continue;
        if (pages == 1 && offset > 2048) continue;
        scattered_prps(pages, offset, 1000, 0);
        if (pages > 1) scattered_prps(pages, offset, page, 0);
      }
    }
  }
  TEST_CASE_FIXTURE(data_pointer_case,
                    "PRPs on the wire: a list that starts within its page, and ends with it -> as stored") {
    if (!has_prp_lists()) return skip("no PRP lists");
    if (!limits.prp_list_chain) return skip("PRP lists are not chained");
    for (const std::size_t first_entry : {1u, 100u, 500u, 507u, 508u, 509u, 510u}) {
      scattered_prps(3, 0, page, first_entry);
      scattered_prps(4, 4, page, first_entry);
      scattered_prps(5, 0, 8, first_entry);
    }
  }
  TEST_CASE_FIXTURE(data_pointer_case,
                    "PRPs on the wire: a list that fills its page, and chains of two and three -> as stored") {
    if (!has_prp_lists()) return skip("no PRP lists");
    if (!limits.prp_list_chain) return skip("PRP lists are not chained");
    for (const std::size_t pages : {512u, 513u, 514u, 1023u, 1024u, 1025u, 1500u}) scattered_prps(pages, 0, 100, 0);
  }

  TEST_CASE_FIXTURE(data_pointer_case,
                    "SGL on the wire: blocks of any length at any address, in one segment -> as stored") {
    if (!limits.sgl) return skip("no SGLs");
    if (limits.sgl_dword_granular && !quirks.sgl_ignores_granularity) return skip("SGL blocks are dword granular");
    const std::size_t head = profile.head_bytes(bytes_of(key));
    for (const std::size_t count : {1u, 2u, 3u, 16u, 17u}) {
      if (limits.max_sgl_descriptors != 0 && count > limits.max_sgl_descriptors) {
        skip("fewer descriptors are taken", std::to_string(count) + " descriptors");
        continue;
      }
      const buffer memory = take(count * 600 + 64);
      const buffer segment = take(count * 16);
      std::vector<piece> pieces;
      // Every other block of memory, the last first; lengths of 1 to some hundreds.
      for (std::size_t i = 0; i < count; ++i)
        pieces.push_back({memory.data() + (count - 1 - i) * 600 + i % 7, i == 0 ? head + 300 : 1 + i * 53 % 400});
      for (std::size_t i = 0; i < count; ++i) {
        const auto d =
            nkv::sgl_descriptor::data_block(address(pieces[i].data), static_cast<std::uint32_t>(pieces[i].size));
        std::memcpy(segment.data() + 16 * i, &d, 16);
      }
      round_trip(pieces, nkv::data_pointer::sgl(nkv::sgl_descriptor::last_segment(address(segment.data()),
                                                                                  static_cast<std::uint32_t>(count))));
    }
  }

  TEST_CASE_FIXTURE(data_pointer_case, "SGL on the wire: the head in pieces, and empty blocks between -> as stored") {
    if (!limits.sgl) return skip("no SGLs");
    if (limits.sgl_dword_granular && !quirks.sgl_ignores_granularity) return skip("SGL blocks are dword granular");
    if (limits.max_sgl_descriptors != 0 && limits.max_sgl_descriptors < 10) return skip("fewer descriptors are taken");
    const std::size_t head = profile.head_bytes(bytes_of(key));
    const buffer memory = take(2000);
    const buffer segment = take(16 * 16);
    // 1 byte of the length, 1 more, the first of the key, ...
    std::vector<piece> pieces;
    std::size_t at = 0;
    for (const std::size_t size : {std::size_t{1}, std::size_t{1}, std::size_t{0}, std::size_t{1},
                                   head > 3 ? head - 3 : 1, std::size_t{5}, std::size_t{0}, std::size_t{700}}) {
      pieces.push_back({memory.data() + at, size});
      at += size + 3;
    }
    std::uint32_t count = 0;
    for (const piece& p : pieces) {
      const auto d = nkv::sgl_descriptor::data_block(address(p.data), static_cast<std::uint32_t>(p.size));
      std::memcpy(segment.data() + 16 * count++, &d, 16);
    }
    round_trip(pieces, nkv::data_pointer::sgl(nkv::sgl_descriptor::last_segment(address(segment.data()), count)));
  }

  TEST_CASE_FIXTURE(data_pointer_case, "SGL on the wire: segments that lead from one to the next -> as stored") {
    if (!limits.sgl) return skip("no SGLs");
    const std::size_t head = profile.head_bytes(bytes_of(key));
    for (const std::vector<std::size_t>& shape :
         {std::vector<std::size_t>{1, 1}, {2, 3}, {1, 1, 1, 1}, {4, 4, 4, 4}, {63, 64, 65}, {100, 200}}) {
      std::size_t count = 0;
      for (const std::size_t n : shape) count += n;
      CAPTURE(count);
      if (limits.max_sgl_descriptors != 0 && count > limits.max_sgl_descriptors) {
        skip("fewer descriptors are taken", std::to_string(count) + " descriptors");
        continue;
      }
      const std::size_t block = 16;
      if (!takes_value(bytes_of(key), count * block)) {
        skip("longer than a value or a command of this target may be", std::to_string(count) + " descriptors");
        continue;
      }
      const buffer memory = take(2 * count * block + 512);
      const buffer segments = take(16 * (count + shape.size()) + 64 * shape.size());
      std::vector<piece> pieces;
      for (std::size_t i = 0; i < count; ++i)
        pieces.push_back({memory.data() + 512 + (count - 1 - i) * 2 * block, block});
      // A head in front of everything, where there is one, is its own piece.
      if (head != 0) pieces[0] = {memory.data(), head + (4 - head % 4) % 4};
      // Where the segments stand: the last first.
      std::vector<std::byte*> at(shape.size());
      std::byte* next = segments.data();
      for (std::size_t s = shape.size(); s-- != 0;) {
        at[s] = next;
        next += 16 * (shape[s] + 1) + 16 * (s % 3);
      }
      std::size_t i = 0;
      for (std::size_t s = 0; s < shape.size(); ++s) {
        std::byte* to = at[s];
        for (std::size_t n = 0; n < shape[s]; ++n, ++i, to += 16) {
          const auto d =
              nkv::sgl_descriptor::data_block(address(pieces[i].data), static_cast<std::uint32_t>(pieces[i].size));
          std::memcpy(to, &d, 16);
        }
        if (s + 1 < shape.size()) {
          const bool last = s + 2 == shape.size();
          const auto length = static_cast<std::uint32_t>(shape[s + 1] + (last ? 0 : 1));
          const auto d = last ? nkv::sgl_descriptor::last_segment(address(at[s + 1]), length)
                              : nkv::sgl_descriptor::segment(address(at[s + 1]), length);
          std::memcpy(to, &d, 16);
        }
      }
      const auto first = static_cast<std::uint32_t>(shape[0] + (shape.size() > 1 ? 1 : 0));
      round_trip(pieces, nkv::data_pointer::sgl(nkv::sgl_descriptor::segment(address(at[0]), first)));
    }
  }

  TEST_CASE_FIXTURE(data_pointer_case,
                    "SGL of the client: an odd address where the controller wants dwords -> as stored") {
    if (!limits.sgl) return skip("no SGLs");
    // A client that was told so takes PRPs there, or the head's own way.
    nkv::namespace_profile p = profile;
    p.limits.sgl_dword_granular = true;
    const kv_namespace dwords{ns.queue(), p};
    for (const std::size_t offset : {0u, 1u, 2u, 3u, 4u}) {
      for (const std::size_t size : {1u, 4u, 4096u, 5000u, 9001u}) {
        CAPTURE(offset);
        CAPTURE(size);
        if (!takes_value(bytes_of(key), size)) continue;
        REQUIRE(store(dwords, key, size, size, {}, offset).status == status());
        expect_value(dwords, key, size, size, offset);
      }
    }
  }
}
