// SPDX-License-Identifier: BSD-3-Clause
//
// A kernel asks which of many blocks exist, gives each that does pages of a cache, and retrieves it there. Every lane
// has a key of its own, and a warp needs two doorbells for all of its: one for the questions, one for the hits.
#include "common/kernel.hpp"

/// Where in the cache a key's value is.
struct page_entry {
  static constexpr std::uint32_t missing = 0xffff'ffff;  ///< no such key
  static constexpr std::uint32_t failed = 0xffff'fffe;   ///< no room in the cache, or an operation failed

  std::uint32_t first_page;
  std::uint32_t length_bytes;
};

template <class Namespace>
struct fill_cache {
  static constexpr std::uint32_t page_bytes = 4096;

  Namespace ns;
  const nkv::lineage_hash* names = nullptr;
  const std::uint32_t* sizes = nullptr;  ///< of each value, as the engine knows it; they differ
  std::uint32_t keys = 0;
  page_entry* table = nullptr;  ///< one for each key
  std::uint64_t address = 0;    ///< of page 0, as the target reaches it
  std::uint32_t pages = 0;
  std::uint32_t* taken = nullptr;  ///< pages given away

  template <nkv::device::group Warp>
  NKV_HD void operator()(const Warp& warp, std::uint32_t index, std::uint32_t warps) const {
    const auto until = nkv::device::deadline::after_ms(60'000);
    for (std::uint32_t at = index * warp.size(); at < keys; at += warps * warp.size()) {
      const std::uint32_t i = at + warp.rank();
      const bool mine = i < keys;
      const nkv::key_view key = mine ? names[i].view() : nkv::key_view();
      const nkv::outcome found = nkv::device::run_each(warp, ns, nkv::operation::exist(key), until, mine);

      page_entry entry{found.status.is_key_does_not_exist() ? page_entry::missing : page_entry::failed, 0};
      std::uint32_t first = 0;
      bool hit = mine && found.ok();
      if (hit) {
        const std::uint32_t wanted = (sizes[i] + page_bytes - 1) / page_bytes;
        first = nkv::device::atomics::fetch_add(taken, wanted, nkv::system_scope);
        hit = first <= pages && wanted <= pages - first;
      }
      const nkv::value_ref into{address + std::uint64_t{first} * page_bytes, hit ? sizes[i] : 0, 0};
      const nkv::outcome got = nkv::device::run_each(warp, ns, nkv::operation::retrieve(key, into), until, hit);
      if (hit && got.ok()) entry = {first, static_cast<std::uint32_t>(got.length_bytes)};
      if (mine) table[i] = entry;
    }
  }
};

#if NKV_CUDA || NKV_HIP

EXAMPLE_KERNEL void paged_cache(fill_cache<example::kernel_namespace<nkv::plain_commands>> job, std::uint32_t warps) {
  job(nkv::device::warp_group::whole(), example::block_index(), warps);
}

#else

#include "common/session.hpp"

int main(int argc, char** argv) {
  constexpr std::uint32_t page_bytes = fill_cache<nkv::host::kv_namespace<>::ref_type>::page_bytes;
  constexpr std::uint32_t longest_bytes = 8 * page_bytes;
  example::arguments a(argc, argv);
  const std::uint32_t keys = a.number("--keys", 4000, 1, 1'000'000);
  example::session s(argv[0], a);

  // Every third key is not there; the values of the others have from 1 word to 8 pages.
  const auto stored = [](std::uint32_t i) { return i % 3 != 2; };
  const auto words_of = [](std::uint32_t i) { return 1 + example::pattern(7, i) % (longest_bytes / 4); };
  const nkv::lineage_salt salt({.model = "example-7b", .dtype = "bf16", .block_size_tokens = 1});
  const auto lists = s.allocate(std::size_t{keys} * (sizeof(nkv::lineage_hash) + sizeof(page_entry) + 4) + 4);
  auto* const names = reinterpret_cast<nkv::lineage_hash*>(lists.host);
  auto* const table = reinterpret_cast<page_entry*>(names + keys);
  auto* const sizes = reinterpret_cast<std::uint32_t*>(table + keys);
  std::uint32_t* const taken = sizes + keys;
  const auto value = s.allocate(longest_bytes);
  std::uint32_t pages = 0;
  std::uint32_t hits = 0;
  for (std::uint32_t i = 0; i < keys; ++i) {
    names[i] = nkv::lineage_hash().child(salt, {&i, 1});
    sizes[i] = 4 * words_of(i);
    if (!stored(i)) continue;
    for (std::uint32_t w = 0; w < words_of(i); ++w)
      reinterpret_cast<std::uint32_t*>(value.host)[w] = example::pattern(i, w);
    s.store(names[i], value.value(0, sizes[i]));
    pages += (sizes[i] + page_bytes - 1) / page_bytes;
    ++hits;
  }
  const auto cache = s.allocate(std::size_t{pages} * page_bytes);

  s.run("paged_cache", [&](const auto& ns) {
    const auto plain = example::need(ns.plain(), "the namespace");
    return fill_cache<std::decay_t<decltype(plain)>>{plain, lists.for_kernel(names), lists.for_kernel(sizes),
                                                     keys,  lists.for_kernel(table), cache.all.address,
                                                     pages, lists.for_kernel(taken)};
  });

  std::vector<bool> used(pages);
  for (std::uint32_t i = 0; i < keys; ++i) {
    const page_entry entry = table[i];
    const std::string key = "key " + std::to_string(i);
    if (!stored(i)) {
      if (entry.first_page != page_entry::missing) example::fail(key + " was never stored, and was found");
      continue;
    }
    if (entry.first_page >= pages || entry.length_bytes != sizes[i]) example::fail(key + " is not in the cache");
    for (std::uint32_t p = 0; p < (sizes[i] + page_bytes - 1) / page_bytes; ++p) {
      if (used[entry.first_page + p]) example::fail(key + ": a page of another's");
      used[entry.first_page + p] = true;
    }
    const auto* words = reinterpret_cast<const std::uint32_t*>(cache.host + std::size_t{entry.first_page} * page_bytes);
    for (std::uint32_t w = 0; w < words_of(i); ++w)
      if (words[w] != example::pattern(i, w)) example::fail(key + " differs");
  }
  s.report(std::to_string(keys) + " keys asked for, " + std::to_string(hits) + " found and retrieved into " +
               std::to_string(pages) + " pages: every byte as it was stored",
           std::uint64_t{keys} + hits);
}

#endif
