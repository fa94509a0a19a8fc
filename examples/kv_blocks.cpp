// SPDX-License-Identifier: BSD-3-Clause
//
// A kernel fetches the blocks of a key/value cache by their lineage hashes, one warp a block: its leader sends the
// Retrieve, and all its lanes use what came. Here they check it word by word.
#include "common/kernel.hpp"

template <class Namespace>
struct fetch_blocks {
  Namespace ns;
  const nkv::lineage_hash* names = nullptr;
  std::uint32_t blocks = 0;
  std::uint32_t block_bytes = 0;
  const std::byte* data = nullptr;  ///< all blocks, as this code reaches them
  std::uint64_t address = 0;        ///< and as the target does
  std::uint32_t* good_words = nullptr;

  template <nkv::device::group Warp>
  NKV_HD void operator()(const Warp& warp, std::uint32_t index, std::uint32_t warps) const {
    for (std::uint32_t block = index; block < blocks; block += warps) {
      const std::uint64_t at = std::uint64_t{block} * block_bytes;
      const nkv::outcome o = nkv::device::run_together(
          warp, ns, nkv::operation::retrieve(names[block].view(), {address + at, block_bytes, 0}),
          nkv::device::deadline::after_ms(10'000));
      if (!o.ok() || o.length_bytes != block_bytes) continue;
      const auto* words = reinterpret_cast<const std::uint32_t*>(data + at);
      std::uint32_t good = 0;
      for (std::uint32_t i = warp.rank(); i < block_bytes / 4; i += warp.size())
        good += words[i] == example::pattern(block, i) ? 1u : 0u;
      nkv::device::atomics::fetch_add(&good_words[block], good, nkv::system_scope);
    }
  }
};

#if NKV_CUDA || NKV_HIP

EXAMPLE_KERNEL void kv_blocks(fetch_blocks<example::kernel_namespace<nkv::plain_commands>> job, std::uint32_t warps) {
  job(nkv::device::warp_group::whole(), example::block_index(), warps);
}

#else

#include "common/session.hpp"

int main(int argc, char** argv) {
  example::arguments a(argc, argv);
  const std::uint32_t blocks = a.number("--blocks", 1000, 1, 1'000'000);
  const std::uint32_t block_bytes = a.number("--block-kib", 64, 4, 1024) * 1024;
  example::session s(argv[0], a);

  // The blocks of one long prompt: each name depends on all tokens before it.
  const nkv::lineage_salt salt({.model = "example-7b", .dtype = "bf16", .block_size_tokens = 16});
  const std::size_t names_bytes = sizeof(nkv::lineage_hash) * blocks;
  const auto small = s.allocate(names_bytes + sizeof(std::uint32_t) * blocks);
  const auto data = s.allocate(std::size_t{blocks} * block_bytes);
  auto* const names = reinterpret_cast<nkv::lineage_hash*>(small.host);
  auto* const good_words = reinterpret_cast<std::uint32_t*>(small.host + names_bytes);
  auto* const words = reinterpret_cast<std::uint32_t*>(data.host);
  const std::uint32_t words_of_block = block_bytes / 4;
  nkv::lineage_hash parent;
  for (std::uint32_t b = 0; b < blocks; ++b) {
    std::uint32_t tokens[16];
    for (std::uint32_t t = 0; t < 16; ++t) tokens[t] = b * 16 + t;
    names[b] = parent = parent.child(salt, {tokens, 16});
    for (std::uint32_t i = 0; i < words_of_block; ++i)
      words[std::size_t{b} * words_of_block + i] = example::pattern(b, i);
    s.store(names[b], data.value(std::size_t{b} * block_bytes, block_bytes));
  }
  std::memset(data.host, 0, std::size_t{blocks} * block_bytes);

  s.run("kv_blocks", [&](const auto& ns) {
    const auto plain = example::need(ns.plain(), "the namespace");
    return fetch_blocks<std::decay_t<decltype(plain)>>{plain,
                                                       small.for_kernel(names),
                                                       blocks,
                                                       block_bytes,
                                                       data.kernel,
                                                       data.all.address,
                                                       small.for_kernel(good_words)};
  });

  for (std::uint32_t b = 0; b < blocks; ++b) {
    if (good_words[b] != words_of_block) example::fail("block " + std::to_string(b) + ": the kernel found other bytes");
    for (std::uint32_t i = 0; i < words_of_block; ++i) {
      if (words[std::size_t{b} * words_of_block + i] != example::pattern(b, i))
        example::fail("block " + std::to_string(b) + " differs");
    }
  }
  s.report(std::to_string(blocks) + " blocks of " + std::to_string(block_bytes / 1024) +
               " KiB fetched by name, a warp each: every byte as it was stored",
           blocks);
}

#endif
