// SPDX-License-Identifier: BSD-3-Clause
//
// The answer to a List, whatever a target writes there, in all ways of padding: against a second reader, written from
// the description alone.
#include <nkv/client/key_walk.hpp>
#include <nkv/kv/list_page.hpp>

#include <memory>
#include <optional>

#include "fuzz.hpp"

using namespace nkv;
using nkv_test::require;

namespace {

nkv_test::reached reached{
    "outcomes",
    {"whole_entry complete", "key_only complete", "remainder complete", "whole_entry truncated", "key_only truncated",
     "remainder truncated", "whole_entry malformed", "key_only malformed", "remainder malformed", "found whole_entry",
     "found key_only", "found remainder", "none found", "walk next page", "walk ended", "walk failed"}};

struct model_reader {
  const unsigned char* page;
  std::size_t size;
  unsigned padding;
  std::size_t longest;
  std::size_t at = 4;

  /// The length of the next key, which begins at at + 2 then; nothing where the page is no good, and why.
  std::optional<std::size_t> next(client_status& why) {
    why = client_status::truncated;
    if (at + 2 > size) return std::nullopt;
    const std::size_t n = page[at] + 256u * page[at + 1];
    if (n == 0 || n > longest) {
      why = client_status::protocol_error;
      return std::nullopt;
    }
    if (at + 2 + n > size) return std::nullopt;
    return n;
  }
  void step(std::size_t n) {
    at += 2 + n;
    if (padding == 0)
      while ((at - 4) % 4 != 0) ++at;
    if (padding == 1) at += (4 - n % 4) % 4;
    if (padding == 2) at += (2 + n) % 4;
    if (at > size) at = size;
  }
};

void read(byte_span page, unsigned padding, std::size_t longest) {
  list_page reader{page, static_cast<list_padding>(padding), longest};
  if (page.size() < 4) {
    require(reader.done() && reader.error() == status(client_status::truncated), "a page without a count");
    return;
  }
  model_reader model{reinterpret_cast<const unsigned char*>(page.data()), page.size(), padding,
                     longest < 255 ? longest : 255};
  std::uint32_t count = 0;
  std::memcpy(&count, page.data(), 4);
  require(reader.count() == count, "the count is the page's");
  for (std::uint32_t i = 0; i < count; ++i) {
    require(!reader.done() && reader.taken() == i, "an entry is left");
    client_status why{};
    const auto wanted = model.next(why);
    const auto got = reader.next();
    if (!wanted) {
      require(!got.has_value() && got.error() == status(why) && reader.error() == status(why), "a page that ends");
      require(reader.done() && !reader.next().has_value() && reader.taken() == i, "it stays ended");
      reached((why == client_status::truncated ? 3 : 6) + padding);
      return;
    }
    require(got.has_value(), "an entry that is there");
    require(got->data() == page.data() + model.at + 2 && got->size() == *wanted, "a key lies where the page has it");
    const byte_span rest = reader.last_padding();
    require(rest.data() == got->data() + got->size() && rest.data() + rest.size() <= page.data() + page.size(),
            "padding lies in the page");
    model.step(*wanted);
  }
  require(reader.done() && reader.error().ok(), "every entry was taken");
  const auto more = reader.next();
  require(!more.has_value() && more.error() == status(client_status::bad_argument), "no entry after the last");
  reached(padding);
}

}  // namespace

void nkv_test::write_seeds(seed_folder& folder) {
  for (unsigned padding = 0; padding < 3; ++padding) {
    seed s;
    s.u8(padding).u8(255).u32(3);
    for (const std::string_view key : {"abc", "defghi", "0123456789abcdef"}) {
      s.u16(static_cast<unsigned>(key.size())).text(key);
      const std::size_t n = key.size();
      const std::size_t fill = padding == 0 ? (4 - (2 + n) % 4) % 4 : padding == 1 ? (4 - n % 4) % 4 : (2 + n) % 4;
      for (std::size_t i = 0; i < fill; ++i) s.u8(0);
    }
    folder.add(s);
  }
  folder.add(seed{}.u8(0).u8(16).u32(2).u16(1).text("a").u8(0).u16(0));
  folder.add(seed{}.u8(4).u8(16).u32(9).u16(2).text("ab"));
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  nkv_test::fuzz_input in(data, size);
  const unsigned how = in.byte();
  const std::size_t longest = in.byte();
  // A copy of its own: what is read beyond its end is seen.
  const std::size_t n = in.left();
  const std::unique_ptr<std::byte[]> page(new std::byte[n]);
  if (n != 0) std::memcpy(page.get(), in.bytes(n).data(), n);
  const byte_span whole{page.get(), n};

  for (unsigned padding = 0; padding < 3; ++padding) read(whole, padding, longest);

  const auto found = find_list_padding(whole, longest);
  if (found) {
    reached(9 + static_cast<std::size_t>(*found));
    list_page reader{whole, *found, longest};
    while (!reader.done() && reader.next()) {
    }
    require(reader.error().ok() || reader.error() == status(client_status::truncated), "what was found fits");
  } else {
    require(n < 4 || found.error() == status(client_status::protocol_error), "why nothing was found");
    reached("none found");
  }

  namespace_profile profile;
  profile.limits.max_key_bytes = static_cast<std::uint16_t>(longest);
  profile.quirks.list_padding = static_cast<list_padding>(how % 3);
  profile.quirks.list_continues = (how & 4) == 0;
  key_walk walk(profile, {});
  outcome o;
  if ((how & 8) != 0) o.status = client_status::value_too_large;
  // The same page again and again: it comes to an end where each page begins with the last key of the one before.
  for (unsigned pages = 0; pages < 3; ++pages) {
    const walk_step step = walk.take(o, whole, [&](key_view k) {
      require(!k.empty() && k.size() <= 255 && k.data() >= page.get() && k.data() + k.size() <= page.get() + n,
              "a key of a walk lies in the page");
      return (how & 16) == 0 || k.size() != 7;
    });
    reached(step == walk_step::next_page ? "walk next page" : step == walk_step::ended ? "walk ended" : "walk failed");
    require(walk.error().ok() == (step != walk_step::failed), "a walk that failed says why");
    if (step != walk_step::next_page) break;
    require(!walk.start().empty() && walk.start().size() <= 255, "the next page begins with a key");
  }
  return 0;
}
