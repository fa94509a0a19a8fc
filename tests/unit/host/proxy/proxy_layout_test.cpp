// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/proxy/proxy_layout.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <vector>

using namespace nkv;
using nkv::host::proxy_layout;

TEST_SUITE("host/proxy/proxy_layout") {
  TEST_CASE("of: the parts follow one another, aligned, and nothing ends behind its block") {
    for (const std::uint32_t entries : {2u, 4u, 64u, 1024u}) {
      const queue_shape shape = queue_shape::fitting(entries, 65536);
      const proxy_layout l = proxy_layout::of(shape, 512, 4096);
      CHECK(l.cq_offset >= sizeof(sqe) * shape.sq_entries);
      CHECK(l.cq_offset % sizeof(cqe) == 0);
      CHECK(l.sq_tail_offset >= l.cq_offset + sizeof(cqe) * shape.cq_entries);
      CHECK(l.cq_head_offset / 64 != l.sq_tail_offset / 64);
      CHECK(l.control_offset >= l.cq_head_offset + 4);
      CHECK(l.control_offset % 64 == 0);
      CHECK(l.queue_bytes == l.control_offset + queue_control_layout::of(shape).size_bytes);
      CHECK(l.lists_offset >= std::size_t{scratch::head_bytes} * shape.cids());
      CHECK(l.lists_offset % 4096 == 0);
      CHECK(l.scratch_bytes >= l.lists_offset + std::size_t{512} * shape.cids());
    }
  }

  TEST_CASE("parts: by the addresses of who uses them, and those that the controller sees") {
    const proxy_layout l = proxy_layout::of({4, 8}, 512, 4096);
    std::vector<std::byte> queue(l.queue_bytes);
    std::vector<std::byte> scratch(l.scratch_bytes);
    const queue_pair_parts p = l.parts(queue.data(), scratch.data(), 0x70000, 9);
    CHECK(reinterpret_cast<const std::byte*>(p.sq) == queue.data());
    CHECK(reinterpret_cast<const std::byte*>(p.cq) == queue.data() + l.cq_offset);
    CHECK(p.control == queue.data() + l.control_offset);
    CHECK(p.arena.of(1).head == scratch.data() + nkv::scratch::head_bytes);
    CHECK(p.arena.of(1).head_address == 0x70000 + nkv::scratch::head_bytes);
    CHECK(p.arena.of(2).list.local == scratch.data() + l.lists_offset + 1024);
    CHECK(p.arena.of(2).list.address == 0x70000 + l.lists_offset + 1024);
    CHECK(p.arena.list_bytes == 512);
    CHECK(p.qid == 9);
    CHECK(p.shape == queue_shape{4, 8});
    CHECK(reinterpret_cast<std::byte*>(l.sq_tail(queue.data())) == queue.data() + l.sq_tail_offset);
    CHECK(reinterpret_cast<std::byte*>(l.cq_head(queue.data())) == queue.data() + l.cq_head_offset);
  }
}
