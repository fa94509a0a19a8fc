// SPDX-License-Identifier: BSD-3-Clause
//
// Everything that a client can do wrong, one after the other, on a connection of its own: it ends in an answer, in a
// queue that stops or in a connection that is cut, and a client beside it loses nothing.
#include <hostile/hostile_client.hpp>
#include <hostile/steady_client.hpp>

#include <sys/resource.h>

#include <functional>
#include <iterator>
#include <set>

using namespace nkv_test;
using nkv::data_pointer;
using nkv::sgl_descriptor;
using nkv::sqe;

namespace {

constexpr std::size_t page = 4096;
constexpr std::uint8_t store = 0x01;
constexpr std::uint8_t retrieve = 0x02;

/// A Store or Retrieve of `size` bytes with a data pointer of any kind.
sqe transfer(const hostile_client& h, std::uint8_t opcode, std::uint32_t size, const data_pointer& where) {
  sqe c = h.client.kv(opcode, "attack");
  c.dw[10] = size;
  c.set_dptr(where);
  return c;
}

/// Puts a value where Retrieves of `transfer` find one, `size` bytes by a PRP list.
void put_value(hostile_client& h, std::uint32_t size) {
  std::byte* const list = h.client.pages(1);
  std::byte* const data = h.client.pages(size / page);
  for (std::size_t i = 1; i < size / page; ++i) {
    const std::uint64_t entry = h.client.iova(data + i * page);
    std::memcpy(list + (i - 1) * 8, &entry, 8);
  }
  nkv::status how;
  REQUIRE(h.answered(transfer(h, store, size, data_pointer::prp(h.client.iova(data), h.client.iova(list))), how));
  REQUIRE(how == nkv::status());
}

/// Addresses that are none of the client's.
std::vector<std::uint64_t> nowhere(const hostile_client& h) {
  return {0,
          4096,
          h.arena.address() - page,
          h.arena.address() + h.arena.size,
          0x0000'dead'beef'f000,
          0x0000'7fff'ffff'f000,
          0xffff'8000'0000'0000,
          0xffff'ffff'ffff'f000};
}

void wild_prps(hostile_client& h) {
  put_value(h, 8 * page);
  std::byte* const good = h.client.pages(1);
  std::byte* const list = h.client.pages(1);
  for (const std::uint64_t wild : nowhere(h)) {
    CAPTURE(wild);
    for (const std::uint8_t opcode : {store, retrieve}) {
      if (wild != 0) CHECK(h.refused(transfer(h, opcode, page, data_pointer::prp(wild, 0))));
      CHECK(h.refused(transfer(h, opcode, 2 * page, data_pointer::prp(h.client.iova(good), wild))));
      CHECK(h.refused(transfer(h, opcode, 8 * page, data_pointer::prp(h.client.iova(good), wild))));
      std::memset(list, 0, page);
      std::memcpy(list, &wild, 8);
      CHECK(h.refused(transfer(h, opcode, 8 * page, data_pointer::prp(h.client.iova(good), h.client.iova(list)))));
    }
  }
  CHECK(h.alive());
}

void prp_list_of_itself(hostile_client& h) {
  put_value(h, 64 * page);
  std::byte* const list = h.client.pages(1);
  for (const std::size_t at : {std::size_t{0}, page - 8, page - 16}) {
    for (const std::uint8_t opcode : {store, retrieve}) {
      const std::uint64_t itself = h.client.iova(list);
      for (std::size_t i = 0; i < page; i += 8) std::memcpy(list + i, &itself, 8);
      nkv::status how;
      CHECK(h.answered(transfer(h, opcode, 64 * page, data_pointer::prp(itself, itself + at)), how));
    }
  }
  CHECK(h.alive());
}

void sgl_loops(hostile_client& h) {
  put_value(h, 8 * page);
  auto* const d = reinterpret_cast<sgl_descriptor*>(h.client.pages(1));
  const std::uint64_t here = h.client.iova(d);
  for (const std::uint8_t opcode : {store, retrieve}) {
    // One that points at itself, two that point at each other, and one with a piece of data in each lap of nothing.
    d[0] = sgl_descriptor::segment(here, 1);
    CHECK(h.refused(transfer(h, opcode, 8 * page, data_pointer::sgl(sgl_descriptor::segment(here, 1)))));
    d[0] = sgl_descriptor::segment(here + 16, 1);
    d[1] = sgl_descriptor::segment(here, 1);
    CHECK(h.refused(transfer(h, opcode, 8 * page, data_pointer::sgl(sgl_descriptor::segment(here, 1)))));
    d[0] = sgl_descriptor::data_block(here, 0);
    d[1] = sgl_descriptor::segment(here, 2);
    CHECK(h.refused(transfer(h, opcode, 8 * page, data_pointer::sgl(sgl_descriptor::segment(here, 2)))));
  }
  CHECK(h.alive());
}

void sgl_overlaps(hostile_client& h) {
  put_value(h, 8 * page);
  auto* const d = reinterpret_cast<sgl_descriptor*>(h.client.pages(8));
  const std::uint64_t here = h.client.iova(d);
  for (const std::uint8_t opcode : {store, retrieve}) {
    // Data over data, and over the list that says where the data is.
    for (unsigned i = 0; i < 8; ++i) d[i] = sgl_descriptor::data_block(here + i, page);
    nkv::status how;
    CHECK(h.answered(transfer(h, opcode, 8 * page, data_pointer::sgl(sgl_descriptor::last_segment(here, 8))), how));
  }
  CHECK(h.alive());
}

void wild_sgls(hostile_client& h) {
  put_value(h, 8 * page);
  auto* const d = reinterpret_cast<sgl_descriptor*>(h.client.pages(1));
  for (const std::uint64_t wild : nowhere(h)) {
    for (const std::uint8_t opcode : {store, retrieve}) {
      CHECK(h.refused(transfer(h, opcode, page, data_pointer::sgl(sgl_descriptor::data_block(wild, page)))));
      CHECK(h.refused(transfer(h, opcode, page, data_pointer::sgl(sgl_descriptor::last_segment(wild, 1)))));
      CHECK(h.refused(transfer(h, opcode, page, data_pointer::sgl(sgl_descriptor::segment(wild, 0x0fff'ffff)))));
      d[0] = sgl_descriptor::data_block(wild, 0xffff'ffff);
      CHECK(h.refused(transfer(h, opcode, page, data_pointer::sgl(sgl_descriptor::last_segment(h.client.iova(d), 1)))));
    }
  }
  CHECK(h.alive());
}

/// A doorbell value that cannot be stops its queue, and no other of the client's.
void stops(hostile_client& h, std::size_t doorbell, std::uint32_t value) {
  raw_client::queue other = h.pair(2);
  h.client.ring_word(doorbell, value);
  CHECK(h.client.run(other, h.client.kv(0x14, "none")).status().is_key_does_not_exist());
  h.client.post(h.io, h.client.kv(0x14, "none"), 77);
  h.client.ring(h.io);
  // What was rung before is seen before: the other queue's answers say that there is none on this one.
  for (int i = 0; i < 20; ++i) CHECK(h.client.run(other, h.client.kv(0x14, "none")).status().is_key_does_not_exist());
  h.client.reap(h.io);
  CHECK(h.io.done.empty());
  CHECK(h.admin_alive());
}
void tail_beyond(hostile_client& h) { stops(h, 2, 16); }
void tail_far_beyond(hostile_client& h) { stops(h, 2, 0xffff'ffff); }
void head_beyond(hostile_client& h) { stops(h, 3, 16); }
void head_past_tail(hostile_client& h) { stops(h, 3, 5); }
void admin_tail_beyond(hostile_client& h) {
  h.client.ring_word(0, 32);
  CHECK(becomes([&] { return h.fatal(); }));
  CHECK(h.client.disable() == 0);
  h.bring_up();
  CHECK(h.alive());
}
void tail_backwards(hostile_client& h) {
  for (int i = 0; i < 3; ++i) REQUIRE(h.alive());
  // To a target that has fetched all there was it is a lap of old entries, each with its answer: as many as there are
  // places for.
  h.client.ring_word(2, (h.io.tail + 15) % 16);
  const auto* const newest = reinterpret_cast<const std::uint32_t*>(h.io.cq + h.io.head * 16) + 3;
  CHECK(becomes([&] { return (__atomic_load_n(newest, __ATOMIC_ACQUIRE) >> 16 & 1) == (h.io.phase ? 1u : 0u); }));
  CHECK(h.admin_alive());
  raw_client::queue other = h.pair(2);
  CHECK(h.client.run(other, h.client.kv(0x14, "none")).status().is_key_does_not_exist());
}

void duplicate_cids(hostile_client& h) {
  // Held and at once, all with one CID: an answer each. Which is which is the client's own affair.
  h.client.post(h.io, h.client.kv(retrieve, "hold a", h.client.pages(1), page), 5);
  h.client.post(h.io, h.client.kv(retrieve, "hold b", h.client.pages(1), page), 5);
  h.client.post(h.io, h.client.kv(0x14, "none"), 5);
  h.client.post(h.io, h.client.kv(0x14, "release"), 5);
  h.client.ring(h.io);
  for (std::size_t i = 0; i < 4; ++i) {
    const auto* const dw3 = reinterpret_cast<const std::uint32_t*>(h.io.cq + i * 16) + 3;
    CHECK(becomes([&] { return (__atomic_load_n(dw3, __ATOMIC_ACQUIRE) >> 16 & 1) == 1; }));
    CHECK((*dw3 & 0xffff) == 5);
  }
  CHECK(h.admin_alive());
}

void unmapped_region(hostile_client& h) {
  const shared_memory m(2 * page);
  const sqe c = transfer(h, store, page, data_pointer::prp(m.address(), 0));
  CHECK(h.refused(c));
  REQUIRE(h.map(m) == 0);
  nkv::status how;
  CHECK(h.answered(c, how));
  CHECK(how == nkv::status());
  REQUIRE(h.unmap(m) == 0);
  CHECK(h.refused(c));
  CHECK(h.unmap(m) != 0);
  CHECK(h.alive());
}
void queues_unmapped(hostile_client& h) {
  REQUIRE(h.unmap(h.arena) == 0);
  h.client.ring_word(2, 1);
  CHECK(becomes([&] { return h.fatal(); }));
}
void region_without_fd(hostile_client& h) {
  const shared_memory m(page);
  CHECK(h.map(m.address(), page, -1) == EINVAL);
  CHECK(h.refused(transfer(h, store, page, data_pointer::prp(m.address(), 0))));
  const nkv::host::unique_fd pipe_like(::eventfd(0, EFD_CLOEXEC));
  CHECK(h.map(m.address(), page, pipe_like.get()) != 0);
  CHECK(h.alive());
}
void overlapping_maps(hostile_client& h) {
  const shared_memory m(4 * page);
  const std::uint64_t begin = h.arena.address();
  for (const std::uint64_t at : {begin, begin + page, begin - page, begin + h.arena.size - page})
    CHECK(h.map(at, 2 * page, m.fd.get()) == EINVAL);
  CHECK(h.map(~std::uint64_t{0} - page + 1, 2 * page, m.fd.get()) == EINVAL);
  CHECK(h.map(m.address(), 0, m.fd.get()) == EINVAL);
  CHECK(h.map(h.arena) == 0);  // the same again is nothing new
  CHECK(h.alive());
}
void shrunk_region(hostile_client& h) {
  const shared_memory loose(4 * page, 0);
  CHECK(h.map(loose) == EPERM);
  REQUIRE(::ftruncate(loose.fd.get(), 0) == 0);
  CHECK(h.refused(transfer(h, store, page, data_pointer::prp(loose.address(), 0))));
  const shared_memory sealed(4 * page);
  CHECK(h.map(sealed.address(), 5 * page, sealed.fd.get()) == EINVAL);
  CHECK(h.map(sealed) == 0);
  CHECK(::ftruncate(sealed.fd.get(), 0) != 0);
  nkv::status how;
  CHECK(h.answered(transfer(h, store, page, data_pointer::prp(sealed.address(), 0)), how));
  CHECK(how == nkv::status());
}
void read_only_region(hostile_client& h) {
  put_value(h, 8 * page);
  const shared_memory m(page);
  std::memset(m.at, 0x5a, page);
  REQUIRE(h.map(m, hostile_client::readable) == 0);
  CHECK(h.refused(transfer(h, retrieve, page, data_pointer::prp(m.address(), 0))));
  CHECK(fill_difference(m.at, page, std::byte{0x5a}) == page);
  sqe identify = h.client.identify(1, h.client.pages(1));
  identify.set_dptr(data_pointer::prp(m.address(), 0));
  CHECK_FALSE(h.client.run(h.client.admin, identify).status().ok());
  CHECK(fill_difference(m.at, page, std::byte{0x5a}) == page);
  // As a place for completions it is none either.
  raw_client::queue q = h.client.make_queue(3, 16);
  sqe create = h.client.create_cq_sqe(q);
  create.set_dptr(data_pointer::prp(m.address(), 0));
  static_cast<void>(h.client.run(h.client.admin, create));
  CHECK(h.alive());
  CHECK(fill_difference(m.at, page, std::byte{0x5a}) == page);
}

void memory_changes(hostile_client& h) {
  put_value(h, 64 * page);
  // A page that is PRP list, SGL segment and data at once, and changes all the time.
  auto* const list = reinterpret_cast<std::uint64_t*>(h.client.pages(1));
  std::byte* const data = h.client.pages(64);
  const std::uint64_t good = h.client.iova(data);
  const std::vector<std::uint64_t> wild = nowhere(h);
  std::atomic<bool> over{false};
  std::thread changes([&] {
    for (std::size_t n = 0; !over; ++n) {
      const std::uint64_t value = n % 3 == 0 ? wild[n / 3 % wild.size()] : good + n % 64 * page;
      __atomic_store_n(list + n % 512, value, __ATOMIC_RELAXED);
      if (n % 512 == 0) ::usleep(20);
    }
  });
  unsigned answers = 0;
  for (unsigned i = 0; i < 300; ++i) {
    const data_pointer where = i % 2 == 0 ? data_pointer::prp(good, h.client.iova(list))
                                          : data_pointer::sgl(sgl_descriptor::last_segment(h.client.iova(list), 256));
    nkv::status how;
    answers += h.answered(transfer(h, i % 4 < 2 ? store : retrieve, 64 * page, where), how) ? 1u : 0u;
  }
  over = true;
  changes.join();
  CHECK(answers == 300);
  CHECK(h.alive());
}

/// Two Retrieves into memory of their own, of values that the store holds back.
void take_off(hostile_client& h, const shared_memory& m) {
  REQUIRE(h.map(m) == 0);
  for (std::uint16_t i = 0; i < 2; ++i) {
    sqe c = h.client.kv(retrieve, "hold a");
    c.dw[10] = page;
    c.set_dptr(data_pointer::prp(m.address() + std::size_t{i} * page, 0));
    h.client.post(h.io, c, static_cast<std::uint16_t>(20 + i));
  }
  h.client.ring(h.io);
  for (int i = 0; i < 3; ++i) REQUIRE(h.alive());
}
void unmap_under_io(hostile_client& h) {
  const shared_memory m(2 * page);
  take_off(h, m);
  message request;
  request.id = 3;
  request.command = cmd_dma_unmap;
  request.payload = hostile_client::unmapping(m.address(), m.size);
  REQUIRE(h.socket.send(request));
  // Not while the memory is in use; the commands go on, and then it is answered.
  h.socket.limit(50);
  message reply;
  CHECK_FALSE(h.socket.receive(reply));
  h.socket.limit(10'000);
  nkv::status how;
  CHECK(h.answered(h.client.kv(0x14, "release"), how));
  CHECK(h.client.wait(h.io, 20).has_value());
  CHECK(h.client.wait(h.io, 21).has_value());
  CHECK(h.socket.receive(reply));
  CHECK(reply.id == 3);
  CHECK(reply.error == 0);
  CHECK(h.alive());
}
void reset_under_io(hostile_client& h) {
  const shared_memory m(2 * page);
  take_off(h, m);
  CHECK(h.socket.ask(cmd_reset).error == 0);
  h.client.reap(h.io);
  CHECK(h.io.done.empty());
  h.bring_up();
  CHECK(h.alive());
  h.client.post(h.io, h.client.kv(retrieve, "hold a", h.client.pages(1), page), 30);
  h.client.ring(h.io);
  CHECK(h.client.disable() == 0);
  h.bring_up();
  CHECK(h.alive());
}
void gone_under_io(hostile_client& h) {
  const shared_memory m(2 * page);
  take_off(h, m);
  h.socket.close();
}

void random_messages(hostile_client& h) {
  bytes noise(4096);
  for (std::size_t i = 0; i < noise.size(); ++i) noise[i] = static_cast<unsigned char>(i * 167 + 13);
  static_cast<void>(h.socket.send(noise));
  CHECK(h.socket.closed_by_peer());
}
void a_length_beyond_all(hostile_client& h) {
  message m;
  m.command = cmd_get_info;
  m.claimed_bytes = 0xffff'ffff;
  static_cast<void>(h.socket.send(m));
  CHECK(h.socket.closed_by_peer());
}
void half_a_message(hostile_client& h) {
  message m;
  m.command = cmd_get_info;
  m.payload = words({16, 0, 0, 0});
  bytes half = m.encode();
  half.resize(20);
  CHECK(h.socket.send(half));
  // The queues do not wait for the other half.
  for (int i = 0; i < 5; ++i) CHECK(h.alive());
}

/// No attack: what a client may do, in as many calls as an attack has about.
void behaves(hostile_client& h) {
  for (unsigned i = 0; i < 4; ++i) {
    put_value(h, 8 * page);
    std::byte* const list = h.client.pages(1);
    std::byte* const data = h.client.pages(8);
    for (std::size_t at = 1; at < 8; ++at) {
      const std::uint64_t entry = h.client.iova(data + at * page);
      std::memcpy(list + (at - 1) * 8, &entry, 8);
    }
    nkv::status how;
    const data_pointer where = data_pointer::prp(h.client.iova(data), h.client.iova(list));
    CHECK(h.answered(transfer(h, retrieve, 8 * page, where), how));
    CHECK(how.ok());
    for (unsigned n = 0; n < 8; ++n) CHECK(h.alive());
  }
  const shared_memory m(2 * page);
  CHECK(h.map(m) == 0);
  CHECK(h.unmap(m) == 0);
}

struct attack {
  const char* name;
  void (*run)(hostile_client&);
};
constexpr attack attacks[] = {
    {"wild PRPs", wild_prps},
    {"a PRP list of itself", prp_list_of_itself},
    {"SGL loops", sgl_loops},
    {"SGL overlaps", sgl_overlaps},
    {"wild SGLs", wild_sgls},
    {"tail beyond the queue", tail_beyond},
    {"tail far beyond", tail_far_beyond},
    {"head beyond the queue", head_beyond},
    {"head past the tail", head_past_tail},
    {"admin tail beyond the queue", admin_tail_beyond},
    {"tail backwards", tail_backwards},
    {"duplicate CIDs", duplicate_cids},
    {"unmapped region", unmapped_region},
    {"the queues unmapped", queues_unmapped},
    {"region without fd", region_without_fd},
    {"overlapping maps", overlapping_maps},
    {"shrunk region", shrunk_region},
    {"read-only region", read_only_region},
    {"memory changed while a command runs", memory_changes},
    {"unmap under I/O", unmap_under_io},
    {"reset under I/O", reset_under_io},
    {"gone under I/O", gone_under_io},
    {"random messages", random_messages},
    {"a length beyond all", a_length_beyond_all},
    {"half a message", half_a_message},
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif
#else
constexpr bool sanitized = false;
#endif

}  // namespace

TEST_SUITE("hostile/attack") {
  TEST_CASE("an attack -> an answer, a queue that stops or a cut; another client loses nothing") {
    served target(served::vfio_user);
    steady_client steady(target);
    REQUIRE(steady.goes_on());
    for (const attack& a : attacks) {
      SUBCASE(a.name) {
        {
          hostile_client h(target.folder());
          a.run(h);
          CHECK(steady.goes_on());
        }
        CHECK(steady.goes_on());
        hostile_client next(target.folder());
        CHECK(next.alive());
      }
    }
    steady.finish();
  }

  TEST_CASE("10000 connects, half of them with a part of a message -> in bounded time, nobody is kept out") {
    served target(served::vfio_user);
    steady_client steady(target);
    REQUIRE(steady.goes_on());
    constexpr unsigned count = sanitized ? 1000 : 10'000;
    const std::uint64_t ms = ms_of([&] {
      for (unsigned i = 0; i < count; ++i) {
        const peer p = peer::connect(target.folder() + "/cntrl");
        REQUIRE(p.fd() >= 0);
        if (i % 2 == 0) static_cast<void>(p.send(bytes(1 + i / 2 % 20, 1)));
      }
    });
    CHECK(ms < 60'000);
    CHECK(steady.goes_on());
    steady.finish();
    hostile_client next(target.folder());
    CHECK(next.alive());
  }

  TEST_CASE("all attacks in turn, twice -> another client loses nothing") {
    served target(served::vfio_user);
    steady_client steady(target);
    REQUIRE(steady.goes_on(sanitized ? 100 : 3000));
    // What a third busy thread does to the others is not the attacks' doing: it gives way to them, and the client is
    // beside one that behaves first, as often. The last case of the file, since it goes on giving way.
    ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 19);
    steady.beside(company::behaving);
    for (std::size_t i = 0; i < 2 * std::size(attacks); ++i) {
      hostile_client h(target.folder());
      behaves(h);
      CHECK(steady.goes_on(1));
    }
    steady.beside(company::hostile);
    for (unsigned round = 0; round < 2; ++round) {
      for (const attack& a : attacks) {
        CAPTURE(a.name);
        hostile_client h(target.folder());
        a.run(h);
        CHECK(steady.goes_on(1));
      }
    }
    steady.finish();
    const auto p99_us = [&](company who) { return static_cast<double>(steady.p99_ns(who)) / 1000; };
    std::printf(
        "p99 of a Store and a Retrieve: %.1f us alone, %.1f us beside a client that behaves, %.1f us beside one "
        "that does not: %.2f times\n",
        p99_us(company::none), p99_us(company::behaving), p99_us(company::hostile),
        p99_us(company::hostile) / p99_us(company::behaving));
  }
}
