// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/endpoint.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <string_view>

using namespace nkv;
using host::endpoint;
using kind = host::endpoint::transport_kind;

namespace {

const std::string default_nqn = "nqn.2026-11.io.nkv:default";

endpoint parsed(std::string_view text) {
  host::endpoint_error error;
  host::result<endpoint> e = endpoint::parse(text, &error);
  INFO(text, " at ", error.offset, ": ", error.text);
  REQUIRE(e);
  return *e;
}

}  // namespace

TEST_SUITE("host/endpoint") {
  TEST_CASE("parse: what there is") {
    const endpoint a = parsed("inproc:one:two/three");
    CHECK(a.kind == kind::inproc);
    CHECK(a.name == "one:two/three");

    const endpoint v = parsed("vfio-user:/run/nkv");
    CHECK(v.kind == kind::vfio_user);
    CHECK(v.path == "/run/nkv");
    CHECK(v.subsystem_nqn == default_nqn);
    CHECK(parsed("vfio-user:relative/with space").path == "relative/with space");

    const endpoint d = parsed("dev:/dev/ng0n1");
    CHECK(d.kind == kind::device);
    CHECK(d.path == "/dev/ng0n1");

    struct row {
      const char* text;
      kind k;
      const char* host;
      std::uint16_t port;
      const char* nqn;
    };
    const row rows[] = {
        {"rdma://10.0.0.1", kind::rdma, "10.0.0.1", 4420, "nqn.2026-11.io.nkv:default"},
        {"tcp://server.example:1", kind::tcp, "server.example", 1, "nqn.2026-11.io.nkv:default"},
        {"tcp://h:65535/nqn.2014-08.org.nvmexpress:uuid:1", kind::tcp, "h", 65535, "nqn.2014-08.org.nvmexpress:uuid:1"},
        {"rdma://h/nqn.x", kind::rdma, "h", 4420, "nqn.x"},
        {"rdma://[::1]", kind::rdma, "::1", 4420, "nqn.2026-11.io.nkv:default"},
        {"tcp://[fe80::1%eth0]:4421/nqn.x/y", kind::tcp, "fe80::1%eth0", 4421, "nqn.x/y"},
        {"tcp://[::ffff:1.2.3.4]:7", kind::tcp, "::ffff:1.2.3.4", 7, "nqn.2026-11.io.nkv:default"},
        {"trtype:RDMA adrfam:IPv4 traddr:10.0.0.1 trsvcid:4421 subnqn:nqn.x", kind::rdma, "10.0.0.1", 4421, "nqn.x"},
        {"traddr:fe80::1 trtype:tcp", kind::tcp, "fe80::1", 4420, "nqn.2026-11.io.nkv:default"},
        {"TRTYPE:TCP  adrfam:ipv6 traddr:::1 ", kind::tcp, "::1", 4420, "nqn.2026-11.io.nkv:default"},
    };
    for (const row& r : rows) {
      CAPTURE(r.text);
      const endpoint e = parsed(r.text);
      CHECK(e.kind == r.k);
      CHECK(e.host == r.host);
      CHECK(e.port == r.port);
      CHECK(e.subsystem_nqn == r.nqn);
    }

    const endpoint s = parsed("trtype:VFIOUSER traddr:/var/run/muser subnqn:nqn.2019-07.io.spdk:cnode0");
    CHECK(s.kind == kind::vfio_user);
    CHECK(s.path == "/var/run/muser");
    CHECK(s.subsystem_nqn == "nqn.2019-07.io.spdk:cnode0");
    CHECK(parsed("trtype:vfiouser traddr:/x trsvcid:0").path == "/x");
  }

  TEST_CASE("parse: what is wrong, and where") {
    struct row {
      std::string text;
      std::size_t offset;
      const char* why;
    };
    const row rows[] = {
        {"", 0, "is empty"},
        {"nothing", 0, "no transport"},
        {"http://x", 0, "unknown transport"},
        {"INPROC:x", 0, "unknown transport"},
        {" inproc:x", 0, "unknown transport"},
        {"inproc:", 7, "name is empty"},
        {"inproc:a b", 8, "space"},
        {"inproc:" + std::string(256, 'n'), 7, "more than 255"},
        {std::string("inproc:a\0b", 10), 8, "control character"},
        {"vfio-user:", 10, "path is empty"},
        {"vfio-user:/a\n", 12, "control character"},
        {"vfio-user:/" + std::string(107, 'p'), 10, "too long"},
        {"dev:", 4, "path is empty"},
        {"dev:ng0n1", 4, "not an absolute path"},
        {"rdma:h", 5, "followed by //"},
        {"rdma:/h", 5, "followed by //"},
        {"tcp://", 6, "host is empty"},
        {"tcp://:4420", 6, "host is empty"},
        {"tcp:///nqn.x", 6, "host is empty"},
        {"tcp://h:", 8, "port is not"},
        {"tcp://h:0", 8, "port is not"},
        {"tcp://h:65536", 8, "port is not"},
        {"tcp://h:+1", 8, "port is not"},
        {"tcp://h:44200000000", 8, "port is not"},
        {"tcp://h:1 ", 8, "port is not"},
        {"tcp://h/", 8, "subsystem is empty"},
        {"tcp://h/abc", 8, "begin with nqn."},
        {"tcp://h/nqn." + std::string(220, 'x'), 8, "more than 223"},
        {"tcp://h/nqn.a b", 13, "space"},
        {"tcp://::1", 6, "in brackets"},
        {"tcp://::1:4420", 6, "in brackets"},
        {"tcp://[::1", 6, "not closed"},
        {"tcp://[]", 7, "IPv6"},
        {"tcp://[1.2.3.4]", 7, "IPv6"},
        {"tcp://[::1]4420", 11, "not :PORT"},
        {"tcp://[::g]", 9, "no IPv6 address has"},
        {"tcp://[fe80::1%]", 15, "zone"},
        {"tcp://ho$t", 8, "no host name has"},
        {"trtype:VFIOUSER", 0, "traddr is missing"},
        {"traddr:/x", 0, "trtype is missing"},
        {"trtype:PCIE traddr:0000:01:00.0", 7, "unknown transport"},
        {"trtype:VFIOUSER traddr:/x traddr:/y", 26, "twice"},
        {"trtype:VFIOUSER traddr:/x hostnqn:nqn.x", 26, "unknown key"},
        {"trtype:VFIOUSER /x", 16, "KEY:VALUE"},
        {"trtype:VFIOUSER traddr:", 16, "value is empty"},
        {"trtype:VFIOUSER traddr:/x subnqn:x", 33, "begin with nqn."},
        {"trtype:VFIOUSER traddr:/x adrfam:IPv4", 33, "no family"},
        {"trtype:TCP traddr:h adrfam:IB", 27, "unknown family"},
        {"trtype:TCP traddr:h trsvcid:no", 28, "port is not"},
    };
    for (const row& r : rows) {
      CAPTURE(r.text);
      host::endpoint_error error;
      const host::result<endpoint> e = endpoint::parse(r.text, &error);
      CHECK(!e);
      CHECK(e.error() == status(client_status::bad_argument));
      CHECK(error.offset == r.offset);
      CAPTURE(error.text);
      CHECK(std::string_view(error.text).find(r.why) != std::string_view::npos);
      CHECK(!endpoint::parse(r.text));
    }
  }

  TEST_CASE("to_string: parses to the same endpoint") {
    for (const char* text : {"inproc:x", "vfio-user:/run/nkv", "dev:/dev/ng0n1", "rdma://h:4420",
                             "tcp://[::1]:4421/nqn.x", "tcp://h:1", "trtype:VFIOUSER traddr:/run/nkv subnqn:nqn.x"}) {
      CAPTURE(text);
      const endpoint e = parsed(text);
      CHECK(e.to_string() == text);
      CHECK(parsed(e.to_string()) == e);
    }
  }
}
