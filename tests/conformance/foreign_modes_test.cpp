// SPDX-License-Identifier: BSD-3-Clause
//
// That the foreign server differs in what it is told to differ in, and that the library finds out what can be found.
#include <nkv/host/controller/controller_core.hpp>
#include <nkv/host/controller/kv_namespace.hpp>
#include <nkv/host/describe.hpp>
#include <nkv/host/memory/registration.hpp>
#include <nkv/host/vfio_user/vfio_user_transport.hpp>
#include <support/target_process.hpp>

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <nkv/nkv.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

using nkv::client_status;
using nkv::key_view;
using nkv::status;
using nkv::status_code_type;
namespace host = nkv::host;

namespace {

host::deadline soon() { return host::deadline::after_ms(60'000); }

struct foreign {
  explicit foreign(const std::string& modes) {
    const std::string error = process.start(NKV_FOREIGN_SERVER, {folder.path(), "--mode", modes});
    REQUIRE_MESSAGE(error.empty(), error);
  }
  [[nodiscard]] std::shared_ptr<host::controller_core> connect(const host::vfio_user_options& how = {}) const {
    auto c = host::controller_core::create(transport(how), {}, soon());
    REQUIRE_MESSAGE(c, host::describe(c.error()));
    return *std::move(c);
  }
  [[nodiscard]] std::unique_ptr<host::vfio_user_transport> transport(const host::vfio_user_options& how = {}) const {
    auto t = host::vfio_user_transport::connect(folder.path(), soon(), how);
    REQUIRE_MESSAGE(t, host::describe(t.error()));
    return *std::move(t);
  }
  /// Connects, says nothing and leaves.
  void probe() const {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    const std::string path = folder.path() + "/cntrl";
    std::memcpy(name.sun_path, path.c_str(), path.size());
    REQUIRE(::connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
    ::close(fd);
  }

  nkv_test::temporary_folder folder;
  nkv_test::target_process process;
};

host::kv_namespace<nkv::exclusive> open(const std::shared_ptr<host::controller_core>& c,
                                        const host::namespace_options& how = {}) {
  auto ns = host::kv_namespace<nkv::exclusive>::open(c, 1, how, soon());
  REQUIRE_MESSAGE(ns, host::describe(ns.error()));
  return *std::move(ns);
}

key_view name(const char* text) { return {reinterpret_cast<const std::byte*>(text), std::strlen(text)}; }
nkv::byte_span text(const std::string& s) { return {reinterpret_cast<const std::byte*>(s.data()), s.size()}; }

/// One command as it is, with PRP1 at `buffer`.
nkv::completion raw(const host::kv_namespace<nkv::exclusive>& ns, const nkv::sqe& command) {
  const auto& q = ns.ref().queue();
  const nkv::result<nkv::ticket> t = q.submit(command);
  REQUIRE(t);
  const nkv::completion c = q.wait(*t, soon());
  REQUIRE_FALSE(c.status.is_client());
  REQUIRE(q.consume(*t).ok());
  return c;
}

std::vector<std::string> keys_of(const host::kv_namespace<nkv::exclusive>& ns, nkv::outcome& end) {
  std::vector<std::string> all;
  end = ns.for_each_key(
      {},
      [&all](key_view k) {
        all.emplace_back(reinterpret_cast<const char*>(k.data()), k.size());
        return true;
      },
      soon());
  return all;
}

}  // namespace

TEST_SUITE("conformance/foreign modes") {
  TEST_CASE("plain: doorbells are mapped; a value comes back with its length; DNR is set") {
    const foreign server("plain");
    CHECK(server.transport()->doorbells().base != nullptr);
    const auto c = server.connect();
    const auto ns = open(c);
    CHECK(ns.profile().limits.sgl);
    CHECK(ns.profile().limits.prp_list);
    // The second format is the one in use.
    CHECK(ns.profile().limits.max_key_bytes == 16);
    CHECK(ns.profile().limits.max_value_bytes == 64 * 1024);
    REQUIRE(ns.store(name("k"), text("value"), soon()).ok());
    std::byte room[64];
    const nkv::outcome o = ns.retrieve(name("k"), {room, sizeof room}, soon());
    CHECK(o.status == status());
    CHECK(o.length_known);
    CHECK(o.length_bytes == 5);
    CHECK(ns.exist(name("nobody's"), soon()).status.dnr());
  }

  TEST_CASE("no_mmap: doorbells go over the socket, where nothing is mapped") {
    const foreign server("no_mmap");
    CHECK(server.transport()->doorbells().base == nullptr);
    const auto c = server.connect();
    const auto ns = open(c);
    CHECK(ns.store(name("k"), text("value"), soon()).ok());
  }

  TEST_CASE("unsealed: doorbells that may vanish are refused, unless they are asked for") {
    const foreign server("unsealed");
    CHECK(host::vfio_user_transport::connect(server.folder.path(), soon()).error() ==
          status(client_status::unsupported));
    host::vfio_user_options how;
    how.allow_unsealed = true;
    CHECK(server.transport(how)->doorbells().base != nullptr);
  }

  TEST_CASE("slow_registers: each message takes a millisecond") {
    const foreign server("slow_registers");
    const auto t = server.transport();
    const std::uint64_t begin = host::steady_clock::now_ns();
    for (int i = 0; i < 20; ++i) REQUIRE(t->read_register(0, 8, soon()));
    CHECK(host::steady_clock::now_ns() - begin >= 20'000'000);
  }

  TEST_CASE("ends_when_probed: a connection without VERSION ends the server, and one with it does not") {
    foreign server("ends_when_probed");
    {
      const auto c = server.connect();
    }
    {
      const auto c = server.connect();
    }
    server.probe();
    const int code = server.process.finish();
    CHECK(WIFEXITED(code));
    CHECK(WEXITSTATUS(code) == 3);
    foreign patient("plain");
    patient.probe();
    const auto c = patient.connect();
  }

  TEST_CASE("one_client: a second connection waits, and says busy; else it is closed") {
    const foreign server("one_client");
    const foreign brusque("plain");
    const auto first = server.connect();
    const auto other = brusque.connect();
    CHECK(host::vfio_user_transport::connect(server.folder.path(), host::deadline::after_ms(200)).error() ==
          status(client_status::busy));
    CHECK(host::vfio_user_transport::connect(brusque.folder.path(), soon()).error() ==
          status(client_status::disconnected));
    CHECK(open(first).store(name("k"), text("v"), soon()).ok());
  }

  TEST_CASE("entries: no queue is longer, however long it is wanted") {
    const foreign server("entries=256");
    const auto c = server.connect();
    CHECK(c->capabilities().max_queue_entries() == 256);
    host::namespace_options how;
    how.queue.entries = 4096;
    CHECK(open(c, how).queue().shape().sq_entries == 256);
    nkv::sqe create = nkv::admin_create_cq(1, 257, 0x1000);
    CHECK(c->execute(create, {}, soon()).status ==
          status(status_code_type::command_specific, nkv::command_status::invalid_queue_size));
  }

  TEST_CASE("admin_prp_only: an SGL in an admin command is an error") {
    const foreign strict("admin_prp_only");
    const foreign lenient("plain");
    nkv::sqe command = nkv::admin_identify(nkv::identify_cns::controller, 0,
                                           nkv::data_pointer::sgl(nkv::sgl_descriptor::data_block(0x1000, 4096)));
    CHECK(strict.connect()->execute(command, {}, soon()).status ==
          status(status_code_type::generic, nkv::generic_status::invalid_field));
    // Taken, and then there is no such memory.
    CHECK(lenient.connect()->execute(command, {}, soon()).status ==
          status(status_code_type::generic, nkv::generic_status::internal_error));
  }

  TEST_CASE("never_dnr: no error says that it is final") {
    const foreign server("never_dnr");
    const auto c = server.connect();
    const status s = open(c).exist(name("nobody's"), soon()).status;
    CHECK(s.is_key_does_not_exist());
    CHECK_FALSE(s.dnr());
  }

  TEST_CASE("sct0, sct1: the type of a miss") {
    for (const bool one : {false, true}) {
      const foreign server(one ? "sct1" : "sct0");
      const auto c = server.connect();
      const status s = open(c).exist(name("nobody's"), soon()).status;
      CHECK(s.sct() == (one ? status_code_type::command_specific : status_code_type::generic));
      CHECK(s.is_key_does_not_exist());
    }
  }

  TEST_CASE("csi_descriptor_only: neither list nor vector tell of KV, and it is found all the same") {
    const foreign server("csi_descriptor_only");
    const auto c = server.connect();
    std::vector<std::byte> page(nkv::identify_bytes);
    const nkv::mutable_byte_span into{page.data(), page.size()};
    CHECK(c->execute(nkv::admin_identify(nkv::identify_cns::csi_active_namespaces, 0, {}, nkv::command_set_id::kv),
                     into, soon())
              .status == status(status_code_type::generic, nkv::generic_status::invalid_field));
    REQUIRE(c->execute(nkv::admin_identify(nkv::identify_cns::command_set_vector, 0, {}), into, soon()).status.ok());
    CHECK(page[0] == std::byte{1});
    const auto all = c->namespaces(soon());
    REQUIRE(all);
    REQUIRE(all->size() == 1);
    CHECK((*all)[0].is_kv());
    CHECK(open(c).nsid() == 1);
  }

  TEST_CASE("prp_only: SGLs are refused by the server, and not sent by the library") {
    const foreign server("prp_only");
    const auto c = server.connect();
    const auto ns = open(c);
    CHECK_FALSE(ns.profile().limits.sgl);
    const std::string value(40'000, 'v');
    REQUIRE(ns.store(name("k"), text(value), soon()).ok());
    const auto command = nkv::kv_retrieve(
        1, name("k"), nkv::key_encoding::inline_cdw,
        nkv::data_pointer::sgl(nkv::sgl_descriptor::data_block(ns.queue().spare_value(16).address, 16)), 16);
    REQUIRE(command);
    CHECK(raw(ns, *command).status == status(status_code_type::generic, nkv::generic_status::invalid_field));
  }

  TEST_CASE("mdts: what is longer is refused here, and would be there") {
    const foreign server("mdts=1");
    const auto c = server.connect();
    const auto ns = open(c);
    CHECK(ns.profile().limits.max_transfer_bytes == 8192);
    CHECK(ns.profile().limits.prp_list);
    const std::string value(8193, 'v');
    CHECK(ns.store(name("k"), text(value), soon()).status == status(client_status::value_too_large));
    CHECK(ns.store(name("k"), text(value.substr(1)), soon()).ok());
  }

  TEST_CASE("two_pages: a third page is refused before it is sent, and is no list to the server") {
    const foreign server("two_pages");
    const auto c = server.connect();
    const auto ns = open(c);
    CHECK_FALSE(ns.profile().limits.prp_list);
    auto memory = host::registration::allocate(c->attached(), 4 * 4096, {}, soon());
    REQUIRE(memory);
    const auto value = memory->value(1, 8192);
    REQUIRE(value);
    CHECK(ns.ref().store(name("k"), *value, soon()).status == status(client_status::unsupported));
    CHECK(ns.ref().store(name("k"), *memory->value(0, 8192), soon()).status == status());
    // A client that makes a list all the same has it taken for a page.
    nkv::namespace_profile p = ns.profile();
    p.limits.prp_list = true;
    const nkv::namespace_ref wrong{ns.ref().queue(), p};
    CHECK(wrong.store(name("k"), *value, soon()).status ==
          status(status_code_type::generic, nkv::generic_status::invalid_prp_offset));
  }

  TEST_CASE("no_length: told of it, the library does not believe DW0") {
    const foreign server("no_length");
    const auto c = server.connect();
    host::namespace_options how;
    how.quirks = nkv::quirks::standard();
    how.quirks->reports_true_length = false;
    const auto ns = open(c, how);
    REQUIRE(ns.store(name("k"), text("value"), soon()).ok());
    std::byte room[8] = {};
    const nkv::outcome o = ns.retrieve(name("k"), {room, 5}, soon());
    CHECK(o.status == status());
    CHECK_FALSE(o.length_known);
    CHECK(std::memcmp(room, "value", 5) == 0);
    // Not told, it believes DW0 where it cannot look at the value: the value would be empty.
    const auto unaware = open(c);
    CHECK(unaware.ref().retrieve(name("k"), unaware.queue().spare_value(16), soon()).length_bytes == 0);
    // Where it can, it does not.
    std::byte plain[8] = {};
    const nkv::outcome seen = unaware.retrieve(name("k"), {plain, sizeof plain}, soon());
    CHECK(seen.status == status());
    CHECK_FALSE(seen.length_known);
    CHECK(std::memcmp(plain, "value\0\0\0", 8) == 0);
    REQUIRE(ns.store(name("empty"), text(""), soon()).ok());
    CHECK(unaware.retrieve(name("empty"), {plain, sizeof plain}, soon()).length_known);
  }

  TEST_CASE("odd_padding: found from the page, where the specification's way fails") {
    const foreign server("odd_padding");
    const auto c = server.connect();
    const auto ns = open(c);
    for (const char* k : {"abc", "d", "efghi", "jk"}) REQUIRE(ns.store(name(k), text("v"), soon()).ok());
    nkv::outcome end;
    CHECK(keys_of(ns, end) == std::vector<std::string>{"abc", "d", "efghi", "jk"});
    CHECK(end.status == status());
    host::namespace_options how;
    how.quirks = nkv::quirks::standard();
    CHECK(keys_of(open(c, how), end) != std::vector<std::string>{"abc", "d", "efghi", "jk"});
    CHECK(end.status == status(client_status::protocol_error));
    how.quirks->list_padding = nkv::list_padding::remainder;
    CHECK(keys_of(open(c, how), end).size() == 4);
  }

  TEST_CASE("spdk: keys in payload heads, known by its names") {
    const foreign server("spdk");
    host::vfio_user_options how;
    how.allow_unsealed = true;
    const auto c = server.connect(how);
    const auto ns = open(c);
    CHECK(ns.profile().quirks.encoding == nkv::key_encoding::payload_head);
    CHECK_FALSE(ns.profile().quirks.reads_head_without_data_direction);
    CHECK_FALSE(ns.profile().quirks.list_continues);
    CHECK(ns.profile().limits.sgl_dword_granular);
    CHECK(ns.queue().shape().sq_entries <= 256);
  }

  TEST_CASE("model: all of its ways are found; a listing that may be cut is no success") {
    const foreign server("model");
    const auto c = server.connect();
    const auto ns = open(c);
    CHECK_FALSE(ns.profile().limits.prp_list);
    CHECK_FALSE(ns.profile().quirks.reports_true_length);
    CHECK_FALSE(ns.profile().quirks.list_continues);
    REQUIRE(ns.store(name("k"), text("value"), soon()).ok());
    std::byte room[5] = {};
    const nkv::outcome o = ns.retrieve(name("k"), {room, 5}, soon());
    CHECK(o.status == status());
    CHECK_FALSE(o.length_known);
    // 8 KiB hold fewer than 700 keys of 13 bytes: {u16, key} and 3 bytes of padding make 18.
    nkv::outcome end;
    for (int i = 0; i < 700; ++i) {
      const std::string key =
          "key number " + std::to_string(10 + i % 90) + std::string(1, static_cast<char>('a' + i / 90));
      REQUIRE(ns.store({reinterpret_cast<const std::byte*>(key.data()), key.size()}, text("v"), soon()).ok());
    }
    CHECK(keys_of(ns, end).size() < 700);
    CHECK(end.status == status(client_status::value_too_large));
  }
}
