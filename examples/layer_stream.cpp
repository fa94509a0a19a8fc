// SPDX-License-Identifier: BSD-3-Clause
//
// A kernel streams the weights of a model through two buffers: while it computes with one layer the next is on its way.
// The computation is a dot product with a vector of activations, in integers, so that the host's result is the same.
#include "common/kernel.hpp"

/// What a weight is multiplied with. Odd: no change of a single weight goes unseen.
NKV_HD inline std::uint64_t activation(std::uint32_t index) noexcept { return example::pattern(11, index) | 1u; }

template <class Namespace>
struct stream_layers {
  Namespace ns;
  const nkv::lineage_hash* names = nullptr;  ///< layers * chunks_of_layer
  std::uint32_t layers = 0;
  std::uint32_t chunk_bytes = 0;
  const std::byte* buffers = nullptr;  ///< two layers, as this code reaches them
  std::uint64_t address = 0;           ///< and as the target does
  std::uint64_t* products = nullptr;   ///< of each layer, one from every lane: layers * chunks_of_layer
  std::uint32_t* failures = nullptr;

  template <nkv::device::group Warp>
  NKV_HD void operator()(const Warp& warp, std::uint32_t index, std::uint32_t warps) const {
    const auto until = nkv::device::deadline::after_ms(60'000);
    // A layer is cut into a share for each warp, a share into a chunk for each lane, which is one value.
    const std::uint32_t chunks = warps * warp.size();
    const std::uint32_t mine = index * warp.size() + warp.rank();
    const std::uint64_t share_bytes = std::uint64_t{warp.size()} * chunk_bytes;
    const std::uint64_t layer_bytes = warps * share_bytes;
    const auto begin = [&](std::uint32_t layer) {
      const nkv::value_ref into{address + layer % 2 * layer_bytes + std::uint64_t{mine} * chunk_bytes, chunk_bytes, 0};
      return nkv::device::submit_each(warp, ns, nkv::operation::retrieve(names[layer * chunks + mine].view(), into));
    };

    nkv::result<nkv::kv_ticket> coming = begin(0);
    for (std::uint32_t layer = 0; layer < layers; ++layer) {
      const nkv::outcome o = nkv::device::wait_each(warp, ns, coming.value_or(nkv::kv_ticket{}), until);
      if (!o.ok() || o.length_bytes != chunk_bytes)
        nkv::device::atomics::fetch_add(failures, std::uint32_t{1}, nkv::system_scope);
      // What each lane has waited for is there for all; and all are through with the other buffer.
      warp.sync();
      if (layer + 1 < layers) coming = begin(layer + 1);

      // The lanes go through the warp's share side by side.
      const auto* words =
          reinterpret_cast<const std::uint32_t*>(buffers + layer % 2 * layer_bytes + index * share_bytes);
      const auto first = static_cast<std::uint32_t>(index * share_bytes / 4);
      std::uint64_t sum = 0;
      for (std::uint32_t i = warp.rank(); i < share_bytes / 4; i += warp.size())
        sum += words[i] * activation(first + i);
      products[layer * chunks + mine] = sum;
    }
  }
};

#if NKV_CUDA || NKV_HIP

EXAMPLE_KERNEL void layer_stream(stream_layers<example::kernel_namespace<nkv::plain_commands>> job,
                                 std::uint32_t warps) {
  job(nkv::device::warp_group::whole(), example::block_index(), warps);
}

#else

#include "common/session.hpp"

int main(int argc, char** argv) {
  example::arguments a(argc, argv);
  const std::uint32_t layers = a.number("--layers", 32, 1, 1000);
  const std::uint32_t chunk_bytes = a.number("--chunk-kib", 64, 4, 1024) * 1024;
  example::session s(argv[0], a);

  const std::uint32_t chunks = s.warps() * s.lanes();
  const std::uint32_t words_of_chunk = chunk_bytes / 4;
  const std::size_t all = std::size_t{layers} * chunks;
  const nkv::lineage_salt salt({.model = "example-7b", .dtype = "u32", .tenant = "weights"});
  const auto lists = s.allocate(all * (sizeof(nkv::lineage_hash) + sizeof(std::uint64_t)) + 4);
  auto* const names = reinterpret_cast<nkv::lineage_hash*>(lists.host);
  auto* const products = reinterpret_cast<std::uint64_t*>(names + all);
  auto* const failures = reinterpret_cast<std::uint32_t*>(products + all);
  const auto buffers = s.allocate(std::size_t{2} * chunks * chunk_bytes);
  std::vector<std::uint64_t> wanted(layers);
  for (std::uint32_t v = 0; v < all; ++v) {
    auto* const words = reinterpret_cast<std::uint32_t*>(buffers.host);
    const std::uint32_t first = v % chunks * words_of_chunk;
    for (std::uint32_t i = 0; i < words_of_chunk; ++i) {
      words[i] = example::pattern(v, i);
      wanted[v / chunks] += words[i] * activation(first + i);
    }
    names[v] = nkv::lineage_hash().child(salt, {&v, 1});
    s.store(names[v], buffers.value(0, chunk_bytes));
  }
  std::memset(buffers.host, 0, std::size_t{2} * chunks * chunk_bytes);

  s.run("layer_stream", [&](const auto& ns) {
    const auto plain = example::need(ns.plain(), "the namespace");
    return stream_layers<std::decay_t<decltype(plain)>>{plain,
                                                        lists.for_kernel(names),
                                                        layers,
                                                        chunk_bytes,
                                                        buffers.kernel,
                                                        buffers.all.address,
                                                        lists.for_kernel(products),
                                                        lists.for_kernel(failures)};
  });

  if (*failures != 0) example::fail(std::to_string(*failures) + " Retrieves failed");
  for (std::uint32_t layer = 0; layer < layers; ++layer) {
    std::uint64_t sum = 0;
    for (std::uint32_t c = 0; c < chunks; ++c) sum += products[std::size_t{layer} * chunks + c];
    if (sum != wanted[layer]) example::fail("layer " + std::to_string(layer) + ": another product than the host's");
  }
  s.report(std::to_string(layers) + " layers of " + std::to_string(std::uint64_t{chunks} * chunk_bytes / 1024) +
               " KiB streamed through two buffers: every product is the host's",
           all);
}

#endif
