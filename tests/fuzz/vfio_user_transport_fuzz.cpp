// SPDX-License-Identifier: BSD-3-Clause
//
// A vfio-user server's whole stream of replies, descriptors included, before a client that connects and makes its
// calls: each ends, a success is what the reply with the request's id says, and doorbells that are mapped can be rung.
#include <nkv/host/doorbell.hpp>
#include <nkv/host/vfio_user/vfio_user_transport.hpp>
#include <support/vfio_user_peer.hpp>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "fuzz.hpp"

using namespace nkv;
using nkv_test::require;
using nkv_test::seed;

namespace {

nkv_test::reached reached{
    "replies accepted",
    {"VERSION", "DEVICE_GET_INFO", "DEVICE_GET_REGION_INFO", "DEVICE_GET_REGION_IO_FDS", "REGION_READ", "REGION_WRITE",
     "DMA_MAP", "DMA_UNMAP", "DEVICE_GET_IRQ_INFO", "DEVICE_SET_IRQS", "DEVICE_RESET", "doorbells mapped",
     "an eventfd to wake", "a server's command refused", "an errno", "protocol_error", "unsupported"}};

constexpr std::size_t doorbell_bytes = 0x3000;

struct descriptors {
  int doorbells = nkv_test::make_memory(doorbell_bytes, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  int unsealed = nkv_test::make_memory(doorbell_bytes, 0);
  int event = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
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

/// A message, by the specification's header.
struct message {
  std::uint16_t id = 0;
  std::uint16_t command = 0;
  std::uint32_t flags = 0;
  std::uint32_t error = 0;
  std::vector<unsigned char> payload;
};

/// The whole messages at the beginning of a stream, which it loses.
std::vector<message> take_messages(std::vector<unsigned char>& stream) {
  std::vector<message> all;
  std::size_t at = 0;
  while (stream.size() - at >= 16) {
    message m;
    std::uint32_t bytes = 0;
    std::memcpy(&m.id, stream.data() + at, 2);
    std::memcpy(&m.command, stream.data() + at + 2, 2);
    std::memcpy(&bytes, stream.data() + at + 4, 4);
    std::memcpy(&m.flags, stream.data() + at + 8, 4);
    std::memcpy(&m.error, stream.data() + at + 12, 4);
    if (bytes < 16 || bytes > stream.size() - at) break;
    m.payload.assign(stream.begin() + static_cast<std::ptrdiff_t>(at + 16),
                     stream.begin() + static_cast<std::ptrdiff_t>(at + bytes));
    all.push_back(std::move(m));
    at += bytes;
  }
  stream.erase(stream.begin(), stream.begin() + static_cast<std::ptrdiff_t>(at));
  return all;
}

class server {
 public:
  explicit server(bool named) {
    int ends[2];
    require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0, "a socket");
    here_ = ends[0];
    client_ = ends[1];
    // The kernel then names the sender of what is sent from now on.
    const int on = 1;
    if (named) ::setsockopt(client_, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
  }
  ~server() { ::close(here_); }

  /// Sends all that it will ever say.
  void speak(nkv_test::fuzz_input& in) {
    std::uint16_t id = 1;
    while (!in.done()) {
      const unsigned how = in.byte();
      const unsigned which = in.byte();
      std::vector<unsigned char> bytes;
      if (how % 8 == 6) {
        const byte_span raw = in.bytes(in.take<std::uint16_t>());
        const auto* const at = reinterpret_cast<const unsigned char*>(raw.data());
        bytes.assign(at, at + raw.size());
      } else {
        const std::uint16_t said = how % 8 == 5 ? in.take<std::uint16_t>() : id;
        const std::uint16_t command = in.take<std::uint8_t>();
        const std::uint32_t flags = in.take<std::uint8_t>();
        const std::uint32_t error = in.take<std::uint8_t>();
        std::vector<std::byte> fill;
        if (how % 8 == 4) {  // longer than any input
          fill.resize(in.take<std::uint32_t>() % 100'000);
          std::fill(fill.begin(), fill.end(), static_cast<std::byte>(in.byte()));
        }
        const byte_span payload =
            how % 8 == 4 ? byte_span{fill.data(), fill.size()} : in.bytes(in.take<std::uint16_t>());
        const auto size = static_cast<std::uint32_t>(16 + payload.size());
        bytes.resize(size);
        std::memcpy(bytes.data(), &said, 2);
        std::memcpy(bytes.data() + 2, &command, 2);
        std::memcpy(bytes.data() + 4, &size, 4);
        std::memcpy(bytes.data() + 8, &flags, 4);
        std::memcpy(bytes.data() + 12, &error, 4);
        if (!payload.empty()) std::memcpy(bytes.data() + 16, payload.data(), payload.size());
        if ((flags & 0xf) == 1 && said == id) ++id;
      }
      if (!bytes.empty() && !send(bytes, which)) break;
    }
    ::shutdown(here_, SHUT_WR);
    replies_ = take_messages(said_);
  }

  int take_client() { return std::exchange(client_, -1); }

  /// Looks at what the client has sent. @return the id of its last request, 0 where there is none yet
  std::uint16_t requests() {
    unsigned char into[4096];
    host::vfio_user::received_fds fds;
    for (;;) {
      const auto got = host::vfio_user::receive_some(here_, {reinterpret_cast<std::byte*>(into), sizeof into}, fds);
      if (got.error != 0 || got.bytes == 0) break;
      fds.clear();
      heard_.insert(heard_.end(), into, into + got.bytes);
    }
    for (const message& m : take_messages(heard_)) {
      if ((m.flags & 0xf) == 1) {
        require(m.flags == 0x21 && m.error == ENOTSUP && m.payload.empty(), "a server's command is refused");
        const bool asked = std::any_of(replies_.begin(), replies_.end(), [&](const message& r) {
          return (r.flags & 0x1f) == 0 && r.id == m.id && r.command == m.command;
        });
        require(asked, "a refusal has its command's id");
        reached("a server's command refused");
        continue;
      }
      require(m.id == static_cast<std::uint16_t>(last_ + 1), "requests are numbered");
      require((m.flags & ~0x10u) == 0 && m.error == 0, "a request is a command");
      last_ = m.id;
      command_ = m.command;
    }
    require(heard_.empty(), "what the client sends are messages");
    return last_;
  }
  [[nodiscard]] std::uint16_t command() const { return command_; }

  /// The reply to request `id`: the first with it, as no call goes beyond another's.
  const message* reply(std::uint16_t id) const {
    for (const message& m : replies_)
      if ((m.flags & 0xf) == 1 && m.id == id) return &m;
    return nullptr;
  }

 private:
  bool send(const std::vector<unsigned char>& bytes, unsigned which) {
    std::vector<int> fds;
    switch (which % 16) {
      case 1: fds = {given().doorbells}; break;
      case 2: fds = {given().unsealed}; break;
      case 3: fds = {given().event}; break;
      case 4: fds = {given().doorbells, given().event, given().event}; break;
      case 5: fds = {given().null}; break;
      case 6: fds.assign(16, given().event); break;
      case 7: fds = {given().event, given().doorbells}; break;
      default: break;
    }
    const iovec part{const_cast<unsigned char*>(bytes.data()), bytes.size()};
    const ssize_t n = host::vfio_user::send_some(here_, {&part, 1}, {fds.data(), fds.size()});
    if (n > 0) said_.insert(said_.end(), bytes.begin(), bytes.begin() + n);
    return n == static_cast<ssize_t>(bytes.size());
  }

  int here_ = -1;
  int client_ = -1;
  std::uint16_t last_ = 0;
  std::uint16_t command_ = 0;
  std::vector<unsigned char> said_, heard_;
  std::vector<message> replies_;
};

/// What holds after any call.
void called(server& s, status got, std::string_view goal) {
  const std::uint16_t id = s.requests();
  if (got == status(client_status::protocol_error)) reached("protocol_error");
  if (got == status(client_status::unsupported)) reached("unsupported");
  require(!(got == status(client_status::timed_out)) && !(got == status(client_status::busy)), "no call waits");
  const message* const reply = s.reply(id);
  if (got == status(client_status::system_error) && reply != nullptr && (reply->flags & 0x20) != 0) reached("an errno");
  if (!got.ok()) return;
  require(reply != nullptr && reply->command == s.command() && (reply->flags & 0x20) == 0,
          "a success is the server's word");
  require(reply->payload.size() <= 65536 - 16, "a reply is no longer than a message may be");
  reached(goal);
}

void use_doorbells(host::vfio_user_transport& transport) {
  const host::doorbell_page page = transport.doorbells();
  if (page.base == nullptr) {
    require(page.asleep == nullptr && page.wake_fd == -1, "nothing is mapped");
    return;
  }
  reached("doorbells mapped");
  // Every byte that is said to be there is.
  volatile const std::uint8_t* const bytes = reinterpret_cast<const std::uint8_t*>(page.base);
  require(page.length_bytes != 0 && page.length_bytes <= doorbell_bytes, "doorbells have a length");
  for (std::uint32_t at = 0; at < page.length_bytes; at += 1024) static_cast<void>(bytes[at]);
  static_cast<void>(bytes[page.length_bytes - 1]);
  if (page.asleep != nullptr) {
    const auto offset = reinterpret_cast<std::uintptr_t>(page.asleep) - reinterpret_cast<std::uintptr_t>(page.base);
    require(offset < page.length_bytes && page.length_bytes - offset >= 4, "the word of a sleeper is mapped");
    require(page.wake_fd >= 0, "a sleeper can be woken");
    reached("an eventfd to wake");
  }
  for (const std::uint16_t qid : std::initializer_list<std::uint16_t>{0, 1, 63, 511, 1023}) {
    const host::host_doorbell doorbell(transport, qid, 4);
    if (!doorbell.mapped()) continue;
    doorbell.ring_sq_tail(qid);
    doorbell.ring_cq_head(qid);
  }
}

void talk(server& s, const host::vfio_user_options& options, std::uint16_t calls) {
  // Nothing ever waits: what the server says is there, and it has hung up behind it.
  const host::deadline until = host::deadline::after_ms(20'000);
  auto made = host::vfio_user_transport::over(host::unique_fd(s.take_client()), until, options);
  const std::uint16_t opened = s.requests();
  if (!made) {
    called(s, made.error(), "");
    return;
  }
  for (std::uint16_t id = 1; id <= opened; ++id) {
    const message* const reply = s.reply(id);
    require(reply != nullptr, "a connection is the server's word");
    if ((reply->flags & 0x20) != 0) continue;
    constexpr std::pair<std::uint16_t, const char*> goals[] = {
        {1, "VERSION"}, {4, "DEVICE_GET_INFO"}, {5, "DEVICE_GET_REGION_INFO"}, {6, "DEVICE_GET_REGION_IO_FDS"}};
    for (const auto& [command, goal] : goals)
      if (reply->command == command) reached(goal);
  }
  host::vfio_user_transport& transport = **made;
  use_doorbells(transport);

  const host::dma_memory memory{reinterpret_cast<std::byte*>(std::uintptr_t{0x10000}), 4096, given().doorbells, 0};
  for (unsigned call = 0; call < 9; ++call) {
    if ((calls >> call & 1) != 0) continue;
    switch (call) {
      case 0:
      case 1: {
        const unsigned width = call == 0 ? 8 : 4;
        const auto value = transport.read_register(call == 0 ? 0 : 0x1c, width, until);
        called(s, value ? status() : value.error(), "REGION_READ");
        if (!value) break;
        const message& reply = *s.reply(s.requests());
        require(reply.payload.size() == 16 + width && std::memcmp(reply.payload.data() + 16, &*value, width) == 0,
                "a register's value is the reply's");
        break;
      }
      case 2: called(s, transport.write_register(0x14, 4, 0x460061, until), "REGION_WRITE"); break;
      case 3: called(s, transport.map_dma(memory, until), "DMA_MAP"); break;
      case 4: called(s, transport.unmap_dma(memory, until), "DMA_UNMAP"); break;
      case 5: {
        const auto count = transport.interrupt_count(host::vfio_user::irq_index::msix, until);
        called(s, count ? status() : count.error(), "DEVICE_GET_IRQ_INFO");
        if (!count) break;
        const message& reply = *s.reply(s.requests());
        require(reply.payload.size() >= 16 && std::memcmp(reply.payload.data() + 12, &*count, 4) == 0,
                "a number of interrupts is the reply's");
        break;
      }
      case 6: called(s, transport.set_interrupt(1, given().event, until), "DEVICE_SET_IRQS"); break;
      case 7: called(s, transport.reset(until), "DEVICE_RESET"); break;
      case 8:
        static_cast<void>(transport.connected());
        static_cast<void>(transport.write_register(0x1000, 4, 1, until).ok());
        s.requests();
        require(!transport.peer_gone(), "this process has not ended");
        break;
    }
  }
  require(!until.expired(), "no call waits");
}

// Seeds
// ---------------------------------------------------------------------------------------------------------------------

seed reply(unsigned command, const seed& payload, unsigned fds = 0, unsigned flags = 1, unsigned error = 0) {
  return seed{}.u8(0).u8(fds).u8(command).u8(flags).u8(error).u16(static_cast<unsigned>(payload.size())).add(payload);
}
seed words(std::initializer_list<std::uint32_t> values) {
  seed s;
  for (const std::uint32_t v : values) s.u32(v);
  return s;
}
seed version(std::string_view json) { return reply(1, seed{}.u16(0).u16(1).text(json).u8(0)); }
seed access(std::uint64_t offset, std::uint32_t region, std::uint32_t count) {
  return seed{}.u64(offset).u32(region).u32(count);
}
seed region_info(unsigned fds, std::uint64_t offset = 0x1000, std::uint64_t size = 0x1000) {
  return reply(5, words({64, 0xf, 0, 32}).u64(0x2000).u64(0).u16(1).u16(1).add(words({0, 1, 0})).u64(offset).u64(size),
               fds);
}

/// The replies of a target with all that there is, as far as `last`.
seed conversation(unsigned fds = 1, std::string_view asleep = "8188", const seed& bar0 = {}) {
  seed s;
  s.add(version(std::string(R"({"capabilities":{"max_msg_fds":8,"x":[1,{"a":"b"}],"nkv_wake":{"asleep_offset":)") +
                std::string(asleep) + "}}}"));
  s.add(reply(4, words({16, 3, 9, 5}))).add(bar0.size() != 0 ? bar0 : region_info(fds));
  if (fds == 1) s.add(reply(6, words({56, 0, 0, 1}).u64(0x1000).u64(0x1000).add(words({0, 0, 0, 0})).u64(0), 3));
  s.add(reply(9, access(4, 7, 2).u16(0))).add(reply(10, access(4, 7, 2)));
  return s;
}
seed calls() {
  return seed{}
      .add(reply(9, access(0, 0, 8).u64(0x0000080014010fffu)))
      .add(reply(9, access(0x1c, 0, 4).u32(1)))
      .add(reply(10, access(0x14, 0, 4)))
      .add(reply(2, seed{}))
      .add(reply(3, seed{}))
      .add(reply(7, words({16, 1, 2, 7})))
      .add(reply(8, seed{}))
      .add(reply(13, seed{}));
}

}  // namespace

void nkv_test::write_seeds(seed_folder& folder) {
  const seed begin = seed{}.u8(0).u16(0);
  folder.add(seed{begin}.add(conversation()).add(calls()));
  folder.add(seed{begin}.add(conversation(0)).add(calls()));
  folder.add(seed{}.u8(5).u16(0).add(conversation(2)).add(calls()));
  folder.add(seed{}.u8(2).u16(0).add(conversation(2)).add(calls()));
  folder.add(seed{begin}.add(conversation(1, "4096")));
  folder.add(seed{begin}.add(conversation(1, "8188", region_info(1, 0, 0x1002))));
  folder.add(seed{begin}.add(version("{}")).add(reply(4, words({16, 1, 9, 5}))));
  folder.add(seed{begin}.add(version("{}")).add(reply(4, words({16, 2, 1, 5}))).add(region_info(1, 0, 0x2000)));
  folder.add(seed{begin}.add(reply(1, seed{}.u16(1).u16(0))));
  folder.add(seed{begin}.add(reply(1, seed{}, 0, 0x21, 16)));
  // A server's own command first; another id; too short.
  folder.add(
      seed{begin}.add(reply(11, access(0, 0, 8), 0, 0)).add(reply(12, access(0, 0, 8), 0, 0x10)).add(version("")));
  folder.add(seed{}.u8(0).u16(0x7f).add(conversation()).u8(4).u8(0).u8(13).u8(1).u8(0).u32(70'000).u8(0));
  folder.add(seed{begin}.u8(5).u8(0).u16(7).u8(1).u8(1).u8(0).u16(0));
  folder.add(seed{begin}.u8(6).u8(0).u16(16).u16(1).u16(1).u32(15).u32(1).u32(0));
  folder.add(seed{begin}.add(version("{}")).add(reply(4, words({16, 2, 9, 5}))).add(reply(5, words({32, 3}))));
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static_cast<void>(given());
  const unsigned before = open_descriptors();
  {
    nkv_test::fuzz_input in(data, size);
    const unsigned how = in.byte();
    const auto calls = in.take<std::uint16_t>();
    server s((how & 4) == 0);
    s.speak(in);
    host::vfio_user_options options;
    options.map_doorbells = (how & 1) == 0;
    options.allow_unsealed = (how & 2) != 0;
    talk(s, options, calls);
  }
  require(open_descriptors() == before, "no descriptor is left open");
  return 0;
}
