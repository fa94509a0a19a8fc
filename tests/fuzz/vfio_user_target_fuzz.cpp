// SPDX-License-Identifier: BSD-3-Clause
//
// A client's stream into a live vfio-user connection, descriptors included: every message has one answer, in order and
// with its own id, or the connection ends; then nothing is left of it.
#include <nkv/target/memory_store.hpp>
#include <nkv/target/vfio_user/connection.hpp>
#include <support/vfio_user_peer.hpp>

#include <array>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "fuzz.hpp"

using namespace nkv;
using nkv_test::require;
using nkv_test::seed;

namespace {

/// What the poller's thread does, a step at a time on this one. (An explicit instantiation may name what is private.)
unsigned step(target::poller& p);
template <auto Look, auto Dispatch>
struct by_hand {
  friend unsigned step(target::poller& p) { return (p.*Look)() + (p.*Dispatch)(0); }
};
template struct by_hand<&target::poller::look, &target::poller::dispatch>;

nkv_test::reached reached{
    "commands carried out",
    {"VERSION", "DMA_MAP", "DMA_UNMAP", "DEVICE_GET_INFO", "DEVICE_GET_REGION_INFO", "DEVICE_GET_REGION_IO_FDS",
     "DEVICE_GET_IRQ_INFO", "DEVICE_SET_IRQS", "REGION_READ", "REGION_WRITE", "DEVICE_RESET", "a refusal",
     "an unknown command", "an NVMe command", "doorbells to map", "an eventfd to wake", "an end by the target"}};

constexpr std::size_t memory_bytes = 64 * 1024;

/// What a client sends along: the same in every run, since only copies are sent.
struct descriptors {
  int memory = nkv_test::make_memory(memory_bytes, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  int unsealed = nkv_test::make_memory(memory_bytes, 0);
  int event = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  std::byte* at = static_cast<std::byte*>(::mmap(nullptr, memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0));
};
const descriptors& given() {
  static const descriptors one;
  return one;
}

unsigned open_descriptors() {
  unsigned n = 0;
  for (int fd = 0; fd < 64; ++fd) n += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
  return n;
}

class client {
 public:
  explicit client(unsigned how) {
    auto s = std::make_shared<target::subsystem>();
    target::memory_store_options o;
    o.capacity_bytes = 1 << 20;
    o.kept_block_bytes = 0;
    require(s->add(std::make_shared<target::kv_namespace>(target::namespace_options{},
                                                          std::make_shared<target::memory_store>(o)))
                .ok(),
            "a namespace");
    options_.map_doorbells = (how & 2) == 0;
    options_.memory.accept_unsealed = (how & 4) != 0;
    options_.memory.max_regions = 8;
    options_.controller.max_io_queue_pairs = 4;
    int ends[2];
    require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0, "a socket");
    fd_ = ends[0];
    // Little room, so that answers wait.
    const int least = 1;
    ::setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
    connection_ =
        std::make_unique<target::vfio_user::connection>(std::move(s), poller_, host::unique_fd(ends[1]), options_,
                                                        [this](target::vfio_user::connection&) { ended_ = true; });
    require(connection_->begin().ok(), "a connection");
  }

  ~client() {
    // What was asked has been answered, where the target has not hung up.
    for (unsigned i = 0; i < 64 && turn(); ++i) {
    }
    if (!hung_up_ && !stuck_) require(expected_.empty(), "every message is answered");
    ::close(fd_);
    for (unsigned i = 0; i < 1000 && !ended_; ++i) step(poller_);
    require(ended_, "a connection whose client is gone ends");
    connection_ = nullptr;
    step(poller_);
  }

  void piece(nkv_test::fuzz_input& in) {
    const unsigned how = in.byte();
    switch (how % 8) {
      default: {
        const unsigned which = in.byte();
        wire_header h;
        h.id = next_id_++;
        h.command = in.take<std::uint8_t>();
        h.flags = in.take<std::uint8_t>();
        const byte_span payload = in.bytes(in.take<std::uint16_t>());
        h.bytes = static_cast<std::uint32_t>(sizeof h + payload.size());
        std::vector<unsigned char> all(h.bytes);
        std::memcpy(all.data(), &h, sizeof h);
        if (!payload.empty()) std::memcpy(all.data() + sizeof h, payload.data(), payload.size());
        send(all, which);
        break;
      }
      case 6: {
        const unsigned which = in.byte();
        const byte_span raw = in.bytes(in.take<std::uint16_t>());
        const auto* const at = reinterpret_cast<const unsigned char*>(raw.data());
        send({at, at + raw.size()}, which);
        break;
      }
      case 7: {
        const std::size_t at = in.take<std::uint16_t>();
        const byte_span from = in.bytes(in.byte());
        if (!from.empty() && at + from.size() <= memory_bytes) std::memcpy(given().at + at, from.data(), from.size());
        break;
      }
    }
    if ((how & 0x80) == 0) turn();
  }

  /// Agrees on the version.
  void introduce() {
    static constexpr char text[] = "\0\0\1\0{\"capabilities\":{\"max_msg_fds\":8,\"nkv_wake\":{}}}";
    wire_header h;
    h.command = 1;
    h.bytes = sizeof h + sizeof text;
    std::vector<unsigned char> all(h.bytes);
    std::memcpy(all.data(), &h, sizeof h);
    std::memcpy(all.data() + sizeof h, text, sizeof text);
    send(all, 0);
    turn();
  }

  [[nodiscard]] bool over() const { return hung_up_ || stuck_; }

 private:
  /// The header of the specification, of the harness's own.
  struct wire_header {
    std::uint16_t id = 0;
    std::uint16_t command = 0;
    std::uint32_t bytes = 0;
    std::uint32_t flags = 0;
    std::uint32_t error = 0;
  };
  struct asked {
    std::uint16_t id;
    std::uint16_t command;
    std::uint32_t count;  ///< of a region access
    std::uint32_t region;
    std::uint64_t offset;
  };

  void send(const std::vector<unsigned char>& bytes, unsigned which) {
    if (bytes.empty() || over()) return;
    std::vector<int> fds;
    switch (which % 16) {
      case 1: fds = {given().memory}; break;
      case 2: fds = {given().unsealed}; break;
      case 3: fds = {given().event}; break;
      case 4: fds = {given().event, given().event, given().event}; break;
      case 5: fds = {given().null}; break;
      case 6: fds.assign(17, given().event); break;
      case 7: fds = {given().memory, given().event}; break;
      default: break;
    }
    std::size_t at = 0;
    for (unsigned tries = 0; at < bytes.size(); ++tries) {
      const iovec part{const_cast<unsigned char*>(bytes.data()) + at, bytes.size() - at};
      const ssize_t n = host::vfio_user::send_some(fd_, {&part, 1},
                                                   {fds.data(), at == 0 ? std::min<std::size_t>(fds.size(), 16) : 0});
      if (n > 0) {
        at += static_cast<std::size_t>(n);
      } else if (n == -EAGAIN && tries < 64) {
        turn();
      } else {
        stuck_ = true;  // hung up, or it does not take any more
        break;
      }
      if (fds.size() > 16 && at != 0 && at < bytes.size()) {
        // More than a message may carry, in two parts of it.
        const iovec more{const_cast<unsigned char*>(bytes.data()) + at, 1};
        if (host::vfio_user::send_some(fd_, {&more, 1}, {fds.data(), 1}) == 1) ++at;
      }
    }
    stream_.insert(stream_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
    // What of it are whole messages.
    while (sane_ && stream_.size() >= sizeof(wire_header)) {
      wire_header h;
      std::memcpy(&h, stream_.data(), sizeof h);
      sane_ = h.bytes >= sizeof h && h.bytes <= 65536 && (h.flags & 0xf) == 0;
      if (!sane_ || stream_.size() < h.bytes) break;
      asked a{h.id, h.command, 0, 0, 0};
      if (h.bytes >= 32) {
        std::memcpy(&a.offset, stream_.data() + 16, 8);
        std::memcpy(&a.region, stream_.data() + 24, 4);
        std::memcpy(&a.count, stream_.data() + 28, 4);
      }
      if ((h.flags & 0x10) == 0) expected_.push_back(a);
      stream_.erase(stream_.begin(), stream_.begin() + h.bytes);
    }
  }

  /// Lets the target work and takes its answers. @return whether there was anything
  bool turn() {
    bool any = false;
    for (unsigned i = 0; i < 4 && step(poller_) != 0; ++i) any = true;
    while (receive()) any = true;
    return any;
  }

  bool receive() {
    std::array<unsigned char, 8192> into;
    host::vfio_user::received_fds fds;
    const auto got = host::vfio_user::receive_some(fd_, {reinterpret_cast<std::byte*>(into.data()), into.size()}, fds);
    if (got.error == EAGAIN || hung_up_) return false;
    if (got.error != 0 || got.bytes == 0) {
      hung_up_ = true;
      reached("an end by the target");
      return false;
    }
    fds_ += fds.size();
    answers_.insert(answers_.end(), into.begin(), into.begin() + static_cast<std::ptrdiff_t>(got.bytes));
    while (answers_.size() >= sizeof(wire_header)) {
      wire_header h;
      std::memcpy(&h, answers_.data(), sizeof h);
      require(h.bytes >= sizeof h && h.bytes <= 65536, "an answer has a length");
      if (answers_.size() < h.bytes) break;
      answered(h);
      answers_.erase(answers_.begin(), answers_.begin() + h.bytes);
    }
    return true;
  }

  void answered(const wire_header& h) {
    require(!expected_.empty(), "an answer was asked for");
    const asked a = expected_.front();
    expected_.pop_front();
    require(h.id == a.id && h.command == a.command, "an answer has its message's id and command");
    require(h.flags == 0x1 || h.flags == 0x21, "an answer is a reply");
    const std::size_t payload = h.bytes - sizeof h;
    if (h.flags == 0x21) {
      require(h.error != 0 && payload == 0, "an error is an errno alone");
      reached("a refusal");
      if (a.command > 10 && a.command != 13) reached("an unknown command");
      return;
    }
    require(h.error == 0, "no errno with a success");
    bool descriptor = false;
    switch (a.command) {
      case 1:
        require(payload > 5, "VERSION's answer");
        reached(0);
        break;
      case 2:
        require(payload == 0, "DMA_MAP's answer");
        reached(1);
        break;
      case 3:
        require(payload == 24, "DMA_UNMAP's answer");
        reached(2);
        break;
      case 4:
        require(payload == 16, "DEVICE_GET_INFO's answer");
        reached(3);
        break;
      case 5:
        require(payload == 32 || payload == 64, "DEVICE_GET_REGION_INFO's answer");
        descriptor = payload == 64;
        if (descriptor) reached("doorbells to map");
        reached(4);
        break;
      case 6:
        require(payload == 16 || payload == 56, "DEVICE_GET_REGION_IO_FDS's answer");
        descriptor = payload == 56;
        if (descriptor) reached("an eventfd to wake");
        reached(5);
        break;
      case 7:
        require(payload == 16, "DEVICE_GET_IRQ_INFO's answer");
        reached(6);
        break;
      case 8:
        require(payload == 0, "DEVICE_SET_IRQS's answer");
        reached(7);
        break;
      case 9:
        require(payload == 16 + std::size_t{a.count} && a.count <= 32768, "REGION_READ's answer");
        reached(8);
        break;
      case 10:
        require(payload == 16, "REGION_WRITE's answer");
        // The completion of the first command that the seeds send.
        if (a.region == 0 && a.offset == 0x1000 && (given().at[0x100e] & std::byte{1}) != std::byte{0})
          reached("an NVMe command");
        reached(9);
        break;
      case 13:
        require(payload == 0, "DEVICE_RESET's answer");
        reached(10);
        break;
      default: require(false, "a command that there is not");
    }
    require(fds_ == (descriptor ? 1u : 0u), "descriptors come with what needs them");
    fds_ = 0;
  }

  target::poller poller_;
  target::vfio_user::connection_options options_;
  std::unique_ptr<target::vfio_user::connection> connection_;
  bool ended_ = false;
  int fd_ = -1;
  bool hung_up_ = false;
  bool stuck_ = false;
  bool sane_ = true;  ///< what was sent are messages so far
  std::uint16_t next_id_ = 1;
  std::vector<unsigned char> stream_, answers_;
  std::deque<asked> expected_;
  std::size_t fds_ = 0;
};

// Seeds
// ---------------------------------------------------------------------------------------------------------------------

seed tell(unsigned command, const seed& payload, unsigned fds = 0, unsigned flags = 0, unsigned how = 0) {
  return seed{}.u8(how).u8(fds).u8(command).u8(flags).u16(static_cast<unsigned>(payload.size())).add(payload);
}
seed words(std::initializer_list<std::uint32_t> values) {
  seed s;
  for (const std::uint32_t v : values) s.u32(v);
  return s;
}
seed dma_map(std::uint64_t address, std::uint64_t size, std::uint64_t offset = 0) {
  return words({32, 3}).u64(offset).u64(address).u64(size);
}
seed dma_unmap(std::uint64_t address, std::uint64_t size) { return words({24, 0}).u64(address).u64(size); }
seed access(std::uint64_t offset, std::uint32_t region, std::uint32_t count) {
  return seed{}.u64(offset).u32(region).u32(count);
}
seed write4(std::uint64_t offset, std::uint32_t value) { return tell(10, access(offset, 0, 4).u32(value)); }
seed write8(std::uint64_t offset, std::uint64_t value) { return tell(10, access(offset, 0, 8).u64(value)); }

}  // namespace

void nkv_test::write_seeds(seed_folder& folder) {
  const seed begin = seed{}.u8(1);
  const seed json = seed{}.u16(0).u16(1).text(R"({"capabilities":{"max_msg_fds":1,"nkv_wake":{}}})").u8(0);
  folder.add(seed{}.u8(0).add(tell(1, json)).add(tell(4, words({16, 0, 0, 0}))));
  folder.add(seed{}.u8(0).add(tell(1, seed{}.u16(1).u16(0))));
  folder.add(seed{}.u8(0).add(tell(4, words({16, 0, 0, 0}))));
  seed info = begin;
  for (unsigned i = 0; i < 10; ++i) info.add(tell(5, words({i % 2 == 0 ? 64u : 32u, 0, i, 0, 0, 0, 0, 0})));
  for (unsigned i = 0; i < 3; ++i) info.add(tell(6, words({64, 0, i, 0})));
  for (unsigned i = 0; i < 6; ++i) info.add(tell(7, words({16, 0, i, 0})));
  folder.add(info);
  folder.add(seed{}.u8(3).add(tell(5, words({64, 0, 0, 0, 0, 0, 0, 0}))).add(tell(6, words({64, 0, 0, 0}))));
  folder.add(seed{begin}
                 .add(tell(2, dma_map(0x10000, 0x10000), 1))
                 .add(tell(2, dma_map(0x30000, 0x1000, 0x800), 1))
                 .add(tell(2, dma_map(0x10000, 0x10000), 1))
                 .add(tell(2, dma_map(0x20000, 0x10000), 2))
                 .add(tell(2, dma_map(0x50000, 0x1000), 5))
                 .add(tell(2, dma_map(0x50000, 0x1000), 7))
                 .add(tell(3, dma_unmap(0x10000, 0x10000)))
                 .add(tell(3, dma_unmap(0x10000, 0x10000))));
  folder.add(seed{}.u8(5).add(tell(2, dma_map(0x20000, 0x10000), 2)).add(tell(3, dma_unmap(0x20000, 0x10000))));
  seed irqs = begin;
  irqs.add(tell(8, words({20, 36, 2, 0, 1}), 3)).add(tell(8, words({20, 36, 2, 1, 3}), 4));
  irqs.add(tell(8, words({20, 33, 2, 0, 1}))).add(tell(8, words({20, 10, 2, 0, 2}).u8(1).u8(0)));
  irqs.add(tell(8, words({20, 17, 2, 0, 2}))).add(tell(8, words({20, 33, 2, 0, 0})));
  irqs.add(tell(8, words({20, 36, 0, 0, 1}), 3)).add(tell(8, words({20, 36, 2, 0, 1}), 1));
  folder.add(irqs);
  seed regions = begin;
  for (const std::uint32_t region : {0u, 1u, 4u, 5u, 7u, 9u}) {
    regions.add(tell(9, access(0, region, 8))).add(tell(9, access(0x40, region, 4)));
    regions.add(tell(10, access(0x40, region, 4).u32(0xffffffffu)));
  }
  regions.add(tell(9, access(0, 7, 256))).add(tell(10, access(4, 7, 2).u16(0x406)));
  regions.add(tell(9, access(0x1000, 0, 4))).add(tell(13, seed{})).add(tell(9, access(0, 0, 8), 0, 0x10));
  folder.add(regions);
  // Answers that wait for room, and messages that wait for them.
  seed much = begin;
  for (unsigned i = 0; i < 12; ++i) much.add(tell(9, access(0, 4, 4096), 0, 0, 0x80));
  folder.add(much.add(tell(4, words({16, 0, 0, 0}))));
  // A function level reset, unknown commands, pieces of a message, too many descriptors.
  folder.add(seed{begin}.add(tell(10, access(0x48, 7, 2).u16(0x8000))).add(tell(10, access(0x44, 7, 4).u32(0x8000))));
  folder.add(seed{begin}.add(tell(11, access(0, 0, 4))).add(tell(16, seed{})).add(tell(200, words({1}))));
  folder.add(seed{begin}.u8(6).u8(0).u16(6).u16(1).u16(4).u16(32).u8(6).u8(0).u16(26).u16(0).u64(0).u64(16).u64(0));
  folder.add(seed{begin}.add(tell(4, words({16, 0, 0, 0}), 6)));
  folder.add(seed{begin}.add(tell(4, words({16, 0, 0, 0}), 0, 1)));
  // An admin queue in shared memory, and a command in it: Identify.
  seed nvme = begin;
  nvme.add(tell(2, dma_map(0x10000, 0x10000), 1)).add(write4(0x24, 0x000f000f)).add(write8(0x28, 0x10000));
  nvme.add(write8(0x30, 0x11000)).add(write4(0x14, 0x460061));
  nvme.u8(7).u16(0).u8(48);
  nvme.add(words({0x00010006, 0, 0, 0, 0, 0, 0x12000, 0, 0, 0, 1, 0}));
  nvme.add(tell(8, words({20, 36, 2, 0, 1}), 3)).add(write4(0x1000, 1)).add(write4(0x1000, 1));
  nvme.add(tell(9, access(0x1c, 0, 4))).add(tell(3, dma_unmap(0x10000, 0x10000))).add(tell(13, seed{}));
  folder.add(nvme);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::memset(given().at, 0, memory_bytes);
  const unsigned before = open_descriptors();
  {
    nkv_test::fuzz_input in(data, size);
    const unsigned how = in.byte();
    client c(how);
    if ((how & 1) != 0) c.introduce();
    while (!in.done() && !c.over()) c.piece(in);
  }
  require(open_descriptors() == before, "no descriptor is left open");
  return 0;
}
