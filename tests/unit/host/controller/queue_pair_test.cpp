// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/controller/queue_pair.hpp>
#include <support/attach_scripted.hpp>
#include <support/modelled_gpu.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

using namespace nkv;
using namespace nkv_test;

TEST_SUITE("host/controller/queue_pair") {
  TEST_CASE("scratch_list_bytes: short where one SGL block does, else a PRP list for the longest command") {
    limits l;
    l.set_sgls(sgls::byte_granular);
    CHECK(host::scratch_list_bytes(l, 0) == 512);
    // With dwords only, an odd address goes by PRP.
    l.set_sgls(sgls::dword_granular);
    CHECK(host::scratch_list_bytes(l, 4096) == 512);
    l.set_sgls(0);
    l.set_mdts(5, 4096);
    CHECK(host::scratch_list_bytes(l, 0) == 512);  // 128 KiB: 33 pages, 32 of them listed
    l.set_mdts(0, 4096);
    CHECK(host::scratch_list_bytes(l, 0) == 512 * 1024);  // 128 MiB: 32,768 listed, and 64 pointers on
    CHECK(host::scratch_list_bytes(l, 1u << 20) == 2048);
    CHECK(host::scratch_list_bytes(l, (1u << 20) + 4096) == 4096);
    CHECK(host::scratch_list_bytes(l, ~std::uint64_t{0}) == 512 * 1024);
    for (const std::uint64_t n : {1ull, 8192ull, 8193ull, 2ull << 20, 5ull << 20, 128ull << 20}) {
      const std::uint32_t room = host::scratch_list_bytes(l, n);
      CHECK((room & (room - 1)) == 0);
      CHECK(check_prp_list(l, room, {4095, n, 0}).ok());
    }
  }

  TEST_CASE("create_queue_pair: completion before submission queue, contiguous, no interrupts; deleted the other way") {
    const auto s = std::make_shared<script>();
    auto c = attach(s);
    REQUIRE(c);
    {
      const auto q = c->create_queue_pair();
      REQUIRE(q);
      CHECK(q->shape().sq_entries == 128);
      CHECK(q->shape().cq_entries == 256);
      CHECK(q->capacity() == 127);
      using pair = std::pair<std::uint16_t, std::uint16_t>;
      REQUIRE(s->created.size() == 2);
      CHECK(s->created[0] == pair{1, q->qid()});
      CHECK(s->created[1] == pair{0, q->qid()});
      for (const sqe& a : s->admin_commands) {
        if (is_admin(a, admin_opcode::create_cq)) CHECK(a.cdw(11) == 1);
        if (is_admin(a, admin_opcode::create_sq)) CHECK(a.cdw(11) == (1u | (std::uint32_t{q->qid()} << 16)));
      }
      CHECK(!s->sq_dirty_at_create);
      // The target has zeroed the rings after creating them; the first command arrives all the same.
      const auto t = q->ref().submit(sqe{});
      REQUIRE(t);
      CHECK(q->ref().wait(*t, soon()).status.is_key_does_not_exist());
      CHECK(q->ref().consume(*t).ok());
    }
    CHECK(s->deleted == std::vector<std::uint16_t>{1, 0x8001});
    CHECK(s->mapped.size() == 1);  // the admin queue
  }

  TEST_CASE("create_queue_pair: in GPU memory -> ref() takes no commands and says so, and no namespace opens over it") {
    nkv_test::modelled gpu;
    const auto s = std::make_shared<script>();
    s->add_kv(1);
    auto c = attach(s);
    REQUIRE(c);
    host::queue_options how;
    how.gpu = gpu.cuda();
    how.place = host::memory_place::gpu_plain;
    const auto check = [&](const auto& q) {
      REQUIRE(q);
      CHECK(q->place() == host::memory_place::gpu_plain);
      CHECK(q->spare() == nullptr);
      CHECK(q->capacity() == 127);
      CHECK(s->queues.at(q->qid()).sq != nullptr);
      CHECK(gpu.model->allocated.count(const_cast<sqe*>(s->queues.at(q->qid()).sq)) == 1);
      REQUIRE(q->ref().liveness() == queue_liveness::lost);
      CHECK(q->ref().submit(sqe{}).error() == status(client_status::disconnected));
      CHECK(q->ref().reap(10) == 0);
      CHECK(q->ref().poll(ticket{0, 0}).status.is_client());
    };
    check(c->create_queue_pair<exclusive>(how));
    check(c->create_queue_pair<shared>(how));
    CHECK(gpu.model->allocated.empty());
    CHECK(c->create_queue_pair()->place() == host::memory_place::host_memory);

    host::namespace_options ns;
    ns.queue = how;
    CHECK(c->open_namespace(1, ns).error() == status(client_status::unsupported));
    how.gpu = nullptr;
    CHECK(c->create_queue_pair(how).error() == status(client_status::bad_argument));
    how.gpu = gpu.cuda();
    const std::size_t created = s->created.size();
    gpu.model->fails = {{"cuMemcpyHtoDAsync_v2", 719}};
    CHECK(c->create_queue_pair(how).error().detail() == 719);
    CHECK(s->created.size() == created);
    CHECK(gpu.model->allocated.empty());
  }

  TEST_CASE("create_queue_pair: an event where the transport has no interrupts -> unsupported, nothing was created") {
    const auto s = std::make_shared<script>();
    auto c = attach(s);
    REQUIRE(c);
    const std::size_t sent = s->admin_commands.size();
    host::queue_options how;
    how.completion_event = true;
    CHECK(c->create_queue_pair(how).error() == status(client_status::unsupported));
    CHECK(s->admin_commands.size() == sent);
    const auto q = c->create_queue_pair();
    REQUIRE(q);
    CHECK(q->qid() == 1);
    CHECK_FALSE(q->event().valid());
  }

  TEST_CASE("create_queue_pair: entries are cut to what CAP.MQES takes") {
    struct row {
      std::uint64_t mqes;
      std::uint32_t asked, sq, cq;
    };
    for (const row r : {row{255, 65536, 256, 256}, row{255, 128, 128, 256}, row{1, 128, 2, 2}, row{99, 128, 64, 64}}) {
      const auto s = std::make_shared<script>();
      s->cap = (s->cap & ~0xffffull) | r.mqes;
      auto c = attach(s);
      REQUIRE(c);
      host::queue_options o;
      o.entries = r.asked;
      const auto q = c->create_queue_pair<shared>(o);
      REQUIRE(q);
      CHECK(q->shape().sq_entries == r.sq);
      CHECK(q->shape().cq_entries == r.cq);
      o.entries = 1;
      CHECK(c->create_queue_pair(o).error() == status(client_status::bad_argument));
    }
  }

  TEST_CASE("create_queue_pair: the submission queue is refused -> the completion queue goes, its id is free") {
    const auto s = std::make_shared<script>();
    auto c = attach(s);
    REQUIRE(c);
    bool refuse = true;
    s->on_command = [&refuse](std::uint16_t, const sqe& a) -> std::optional<script::answer> {
      if (refuse && is_admin(a, admin_opcode::create_sq)) return generic(generic_status::internal_error);
      return std::nullopt;
    };
    CHECK(c->create_queue_pair().error() == status(status_code_type::generic, generic_status::internal_error));
    CHECK(s->deleted == std::vector<std::uint16_t>{0x8001});
    CHECK(s->mapped.size() == 1);
    refuse = false;
    const auto q = c->create_queue_pair();
    REQUIRE(q);
    CHECK(q->qid() == 1);
  }

  TEST_CASE("create_queue_pair: of unknown fate -> its memory and id are not used again before a reset") {
    const auto s = std::make_shared<script>();
    auto c = attach(s);
    REQUIRE(c);
    bool hold = true;
    std::uintptr_t cq = 0;
    s->on_command = [&](std::uint16_t, const sqe& a) -> std::optional<script::answer> {
      if (!hold || !is_admin(a, admin_opcode::create_cq)) return std::nullopt;
      cq = a.dptr().low;
      return script::answer{{}, 0, true};
    };
    CHECK(c->create_queue_pair<exclusive>({}, soon(50)).error() == status(client_status::timed_out));
    hold = false;
    CHECK(mapped(cq));
    CHECK(c->statistics().buried_bytes != 0);
    {
      const auto q = c->create_queue_pair();
      REQUIRE(q);
      CHECK(q->qid() == 2);
    }
    CHECK(c->reset(soon()).ok());
    CHECK(c->statistics().buried_bytes == 0);
    CHECK(!mapped(cq));
    const auto q = c->create_queue_pair();
    REQUIRE(q);
    CHECK(q->qid() == 2);
  }

  TEST_CASE("reset: ids that it took from queues are given out last, those of the oldest reset first") {
    const auto s = std::make_shared<script>();
    s->queues_granted = 4;
    const auto c = attach(s);
    REQUIRE(c);
    std::optional<host::queue_pair<exclusive>> first = *c->create_queue_pair();
    const auto second = c->create_queue_pair();
    REQUIRE(second);
    first.reset();
    first = *c->create_queue_pair();
    REQUIRE(first->qid() == 1);
    REQUIRE(second->qid() == 2);
    CHECK(c->reset(soon()).ok());
    const auto third = c->create_queue_pair();
    REQUIRE(third);
    CHECK(third->qid() == 3);
    CHECK(c->reset(soon()).ok());
    const auto fourth = c->create_queue_pair();
    const auto fifth = c->create_queue_pair();
    const auto sixth = c->create_queue_pair();
    const auto seventh = c->create_queue_pair();
    REQUIRE(seventh);
    CHECK(fourth->qid() == 4);
    CHECK(fifth->qid() == 1);
    CHECK(sixth->qid() == 2);
    CHECK(seventh->qid() == 3);
  }

  TEST_CASE("its end: a controller that does not delete the queues -> their memory is kept until a reset") {
    const auto s = std::make_shared<script>();
    const auto c = attach(s);
    REQUIRE(c);
    std::uintptr_t sq = 0;
    s->on_command = [&](std::uint16_t, const sqe& a) -> std::optional<script::answer> {
      if (is_admin(a, admin_opcode::create_sq)) sq = a.dptr().low;
      if (is_admin(a, admin_opcode::delete_sq)) return generic(generic_status::internal_error);
      return std::nullopt;
    };
    {
      const auto q = c->create_queue_pair();
      REQUIRE(q);
    }
    CHECK(mapped(sq));
    CHECK(c->statistics().buried_bytes != 0);
    s->on_command = nullptr;
    CHECK(c->reset(soon()).ok());
    CHECK(c->statistics().buried_bytes == 0);
    CHECK(!mapped(sq));
  }
}
