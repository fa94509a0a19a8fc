// SPDX-License-Identifier: BSD-3-Clause
//
// Endpoint strings: what is taken prints and parses back to itself; what is refused says where.
#include <nkv/host/endpoint.hpp>

#include "fuzz.hpp"

using nkv::host::endpoint;
using nkv::host::endpoint_error;
using nkv_test::require;

namespace {

nkv_test::reached reached{
    "forms", {"inproc", "vfio-user", "rdma", "tcp", "dev", "SPDK", "IPv6", "port", "subsystem", "refused"}};

}  // namespace

void nkv_test::write_seeds(seed_folder& folder) {
  for (const char* text :
       {"inproc:a", "vfio-user:/run/nkv", "vfio-user:/a/cntrl", "dev:/dev/ng0n1", "rdma://host",
        "rdma://10.0.0.1:4420/nqn.2026-11.io.nkv:a", "tcp://[fe80::1%eth0]:1/nqn.a", "tcp://[::1]",
        "tcp://a-b.c_d:65535", "trtype:VFIOUSER traddr:/run/a subnqn:nqn.2019-07.io.spdk:cnode0",
        "trtype:TCP adrfam:IPv4 traddr:10.0.0.1 trsvcid:4420 subnqn:nqn.x",
        "trtype:RDMA adrfam:IPv6 traddr:::1 trsvcid:8", "traddr:/x trsvcid:0 trtype:vfiouser", "x:y"})
    folder.add(std::string_view{text});
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A copy of its own: what is read beyond its end is seen.
  const std::vector<char> copy(data, data + size);
  const std::string_view text{copy.data(), copy.size()};
  endpoint_error error;
  const auto parsed = endpoint::parse(text, &error);
  if (!parsed) {
    require(error.offset <= text.size(), "the place of an error is in the text");
    require(error.text[0] != '\0', "an error says what is wrong");
    reached("refused");
    return 0;
  }
  const endpoint& e = *parsed;
  const std::string canonical = e.to_string();
  const auto again = endpoint::parse(canonical);
  require(again.has_value(), "an endpoint's text is an endpoint");
  require(*again == e, "an endpoint's text means the same endpoint");
  require(again->to_string() == canonical, "the canonical form is one");
  for (const std::string* part : {&e.name, &e.path, &e.host, &e.subsystem_nqn})
    for (const char c : *part) require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f, "no control character");
  require(e.subsystem_nqn.size() <= 223 && e.subsystem_nqn.substr(0, 4) == "nqn.", "a subsystem's name is one");

  const bool spdk = text.find("trtype:") != text.npos && text.find("traddr:") != text.npos;
  switch (e.kind) {
    case endpoint::transport_kind::inproc:
      require(!e.name.empty(), "a name");
      reached("inproc");
      break;
    case endpoint::transport_kind::vfio_user:
      require(!e.path.empty() && e.path.size() <= 107, "a socket's path fits its address");
      reached("vfio-user");
      if (spdk) reached("SPDK");
      break;
    case endpoint::transport_kind::device:
      require(e.path.front() == '/', "a device's path is absolute");
      reached("dev");
      break;
    case endpoint::transport_kind::rdma:
    case endpoint::transport_kind::tcp:
      require(e.port != 0 && !e.host.empty(), "a fabric has a host and a port");
      reached(e.kind == endpoint::transport_kind::rdma ? "rdma" : "tcp");
      if (e.host.find(':') != std::string::npos) reached("IPv6");
      if (e.port != endpoint::default_port) reached("port");
      if (e.subsystem_nqn != nkv::host::default_subsystem_nqn) reached("subsystem");
      break;
  }
  return 0;
}
