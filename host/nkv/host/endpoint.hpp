// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/result.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace host {

/// The subsystem that an endpoint means when it names none.
inline constexpr std::string_view default_subsystem_nqn = "nqn.2026-11.io.nkv:default";

/// What is wrong with an endpoint string, for people.
struct endpoint_error {
  std::size_t offset = 0;  ///< of the first character of the part that is wrong
  const char* text = "";   ///< e.g. "the port is not a number from 1 to 65535"; a constant
};

/// Where a target is, taken from a string that names it; the same to connect and to listen.
///
///     inproc:NAME                                a target in this process
///     vfio-user:PATH                             a socket, or the folder of a socket called cntrl
///     rdma://HOST:PORT/SUBNQN  tcp://HOST:PORT/SUBNQN    port and subsystem may be left out; IPv6 in brackets
///     dev:PATH                                   the kernel's character device /dev/ngXnY
///     trtype:VFIOUSER traddr:PATH subnqn:NQN     SPDK's form, also with RDMA and TCP, adrfam and trsvcid
///
/// A plain value.
struct endpoint {
  enum class transport_kind : std::uint8_t { inproc, vfio_user, rdma, tcp, device };

  transport_kind kind = transport_kind::inproc;
  std::string name;                                  ///< inproc: the target's name
  std::string path;                                  ///< vfio_user: socket or folder; device: the device
  std::string host;                                  ///< rdma, tcp: name or address, an IPv6 address without brackets
  std::uint16_t port = 0;                            ///< rdma, tcp
  std::string subsystem_nqn{default_subsystem_nqn};  ///< rdma, tcp, and vfio_user in SPDK's form

  static constexpr std::uint16_t default_port = 4420;

  /// @param[out] error says which part is wrong, and how; may be null
  /// @return the endpoint, or client/bad_argument
  [[nodiscard]] static host::result<endpoint> parse(std::string_view text, endpoint_error* error = nullptr) {
    parser p{text, {}};
    host::result<endpoint> e = p.run();
    if (!e && error != nullptr) *error = p.wrong;
    return e;
  }

  /// The string that parse() makes this from, in its canonical form: SPDK's where a vfio_user endpoint names a
  /// subsystem, which the other has no place for.
  [[nodiscard]] std::string to_string() const {
    switch (kind) {
      case transport_kind::inproc: return "inproc:" + name;
      case transport_kind::vfio_user:
        if (subsystem_nqn != default_subsystem_nqn)
          return "trtype:VFIOUSER traddr:" + path + " subnqn:" + subsystem_nqn;
        return "vfio-user:" + path;
      case transport_kind::device: return "dev:" + path;
      default: break;
    }
    std::string s = kind == transport_kind::rdma ? "rdma://" : "tcp://";
    s += host.find(':') != std::string::npos ? "[" + host + "]" : host;
    s += ":" + std::to_string(port);
    if (subsystem_nqn != default_subsystem_nqn) s += "/" + subsystem_nqn;
    return s;
  }

  [[nodiscard]] friend bool operator==(const endpoint&, const endpoint&) = default;

 private:
  struct parser {
    std::string_view text;
    endpoint_error wrong;

    status fail(std::size_t offset, const char* why) noexcept {
      wrong = {offset, why};
      return client_status::bad_argument;
    }
    status fail(std::string_view part, const char* why) noexcept {
      return fail(static_cast<std::size_t>(part.data() - text.data()), why);
    }

    host::result<endpoint> run() {
      if (text.empty()) return fail(std::size_t{0}, "an endpoint is empty");
      for (std::size_t i = 0; i < text.size(); ++i) {
        const auto c = static_cast<unsigned char>(text[i]);
        if (c < 0x20 || c == 0x7f) return fail(i, "a control character");
      }
      if (is_spdk_form()) return spdk_form();
      const std::size_t colon = text.find(':');
      if (colon == std::string_view::npos)
        return fail(std::size_t{0},
                    "no transport: an endpoint begins with inproc:, vfio-user:, rdma://, tcp:// or dev:");
      const std::string_view scheme = text.substr(0, colon);
      const std::string_view rest = text.substr(colon + 1);
      endpoint e;
      if (scheme == "inproc") return inproc(e, rest);
      if (scheme == "vfio-user") {
        e.kind = transport_kind::vfio_user;
        if (const status s = take_path(rest, max_socket_path, e.path); !s.ok()) return s;
        return e;
      }
      if (scheme == "dev") {
        e.kind = transport_kind::device;
        if (const status s = take_path(rest, max_path, e.path); !s.ok()) return s;
        if (rest.front() != '/') return fail(rest, "the device is not an absolute path");
        return e;
      }
      if (scheme == "rdma" || scheme == "tcp") {
        e.kind = scheme == "rdma" ? transport_kind::rdma : transport_kind::tcp;
        return fabrics(e, rest);
      }
      return fail(scheme, "an unknown transport: an endpoint begins with inproc:, vfio-user:, rdma://, tcp:// or dev:");
    }

    host::result<endpoint> inproc(endpoint& e, std::string_view part) {
      if (part.empty()) return fail(part, "the name is empty");
      if (part.size() > max_name) return fail(part, "the name has more than 255 characters");
      for (const char& c : part)
        if (c == ' ') return fail({&c, 1}, "the name has a space");
      e.kind = transport_kind::inproc;
      e.name = part;
      return std::move(e);
    }

    status take_path(std::string_view part, std::size_t most, std::string& to) {
      if (part.empty()) return fail(part, "the path is empty");
      if (part.size() > most) return fail(part, "the path is too long");
      to = part;
      return {};
    }

    host::result<endpoint> fabrics(endpoint& e, std::string_view rest) {
      if (rest.substr(0, 2) != "//") return fail(rest, "the transport is followed by //");
      rest.remove_prefix(2);
      std::string_view authority = rest;
      std::string_view nqn;
      const std::size_t slash = rest.find('/');
      if (slash != std::string_view::npos) {
        authority = rest.substr(0, slash);
        nqn = rest.substr(slash + 1);
        if (const status s = take_nqn(nqn, e.subsystem_nqn); !s.ok()) return s;
      }
      std::string_view digits;
      bool has_port = false;
      if (!authority.empty() && authority.front() == '[') {
        const std::size_t close = authority.find(']');
        if (close == std::string_view::npos) return fail(authority, "the bracket of the IPv6 address is not closed");
        const std::string_view after = authority.substr(close + 1);
        if (const status s = take_ipv6(authority.substr(1, close - 1), e.host); !s.ok()) return s;
        if (!after.empty()) {
          if (after.front() != ':') return fail(after, "the address is followed by something that is not :PORT");
          digits = after.substr(1);
          has_port = true;
        }
      } else {
        const std::size_t colon = authority.find(':');
        if (colon != std::string_view::npos && authority.find(':', colon + 1) != std::string_view::npos)
          return fail(authority, "an IPv6 address stands in brackets");
        if (const status s = take_host(authority.substr(0, colon), e.host); !s.ok()) return s;
        if (colon != std::string_view::npos) {
          digits = authority.substr(colon + 1);
          has_port = true;
        }
      }
      e.port = default_port;
      if (has_port) {
        if (const status s = take_port(digits, e.port); !s.ok()) return s;
      }
      return std::move(e);
    }

    status take_host(std::string_view part, std::string& to) {
      if (part.empty()) return fail(part, "the host is empty");
      if (part.size() > max_name) return fail(part, "the host has more than 255 characters");
      for (const char& c : part)
        if (!is_alnum(c) && c != '-' && c != '.' && c != '_') return fail({&c, 1}, "a character that no host name has");
      to = part;
      return {};
    }

    status take_ipv6(std::string_view address, std::string& to) {
      // Digits, colons and a zone; that it is an address is for the resolver to say.
      const std::string_view digits = address.substr(0, address.find('%'));
      if (digits.find(':') == std::string_view::npos) return fail(address, "brackets hold an IPv6 address");
      for (const char& c : digits)
        if (!is_hex(c) && c != ':' && c != '.') return fail({&c, 1}, "a character that no IPv6 address has");
      if (digits.size() < address.size()) {
        const std::string_view zone = address.substr(digits.size() + 1);
        if (zone.empty()) return fail(zone, "the zone of the address is empty");
        for (const char& c : zone)
          if (!is_alnum(c) && c != '-' && c != '.' && c != '_') return fail({&c, 1}, "a character that no zone has");
      }
      if (address.size() > max_ipv6) return fail(address, "the address is too long");
      to = address;
      return {};
    }

    status take_port(std::string_view digits, std::uint16_t& to) {
      constexpr const char* why = "the port is not a number from 1 to 65535";
      if (digits.empty() || digits.size() > 5) return fail(digits, why);
      std::uint32_t value = 0;
      for (const char c : digits) {
        if (c < '0' || c > '9') return fail(digits, why);
        value = value * 10 + static_cast<std::uint32_t>(c - '0');
      }
      if (value == 0 || value > 65535) return fail(digits, why);
      to = static_cast<std::uint16_t>(value);
      return {};
    }

    status take_nqn(std::string_view nqn, std::string& to) {
      // NVMe Base 2.0, section 4.5: at most 223 bytes, nqn.yyyy-mm.reverse-domain:string or the discovery and UUID
      // forms.
      if (nqn.empty()) return fail(nqn, "the subsystem is empty");
      if (nqn.size() > max_nqn) return fail(nqn, "the subsystem's name has more than 223 bytes");
      if (nqn.substr(0, 4) != "nqn.") return fail(nqn, "the subsystem's name does not begin with nqn.");
      for (const char& c : nqn)
        if (c == ' ') return fail({&c, 1}, "the subsystem's name has a space");
      to = nqn;
      return {};
    }

    // SPDK's form: KEY:VALUE pairs with spaces between them.

    [[nodiscard]] bool is_spdk_form() const noexcept {
      const std::string_view first = text.substr(0, text.find(' '));
      for (const std::string_view key : {"trtype", "traddr", "subnqn", "adrfam", "trsvcid"})
        if (first.size() > key.size() && same(first.substr(0, key.size()), key) && first[key.size()] == ':')
          return true;
      return false;
    }

    host::result<endpoint> spdk_form() {
      std::string_view trtype, traddr, subnqn, adrfam, trsvcid;
      const std::pair<std::string_view, std::string_view*> keys[] = {
          {"trtype", &trtype}, {"traddr", &traddr}, {"subnqn", &subnqn}, {"adrfam", &adrfam}, {"trsvcid", &trsvcid}};
      for (std::size_t at = 0; at < text.size();) {
        if (text[at] == ' ') {
          ++at;
          continue;
        }
        const std::string_view pair = text.substr(at, text.find(' ', at) - at);
        const std::size_t colon = pair.find(':');
        if (colon == std::string_view::npos) return fail(pair, "not KEY:VALUE");
        const std::string_view value = pair.substr(colon + 1);
        if (value.empty()) return fail(pair, "the value is empty");
        std::string_view* to = nullptr;
        for (const auto& [key, where] : keys)
          if (same(pair.substr(0, colon), key)) to = where;
        if (to == nullptr) return fail(pair, "an unknown key: trtype, traddr, subnqn, adrfam and trsvcid are known");
        if (to->data() != nullptr) return fail(pair, "the key stands twice");
        *to = value;
        at += pair.size();
      }
      if (trtype.data() == nullptr) return fail(std::size_t{0}, "trtype is missing");
      if (traddr.data() == nullptr) return fail(std::size_t{0}, "traddr is missing");
      endpoint e;
      if (subnqn.data() != nullptr) {
        if (const status s = take_nqn(subnqn, e.subsystem_nqn); !s.ok()) return s;
      }
      if (same(trtype, "vfiouser")) {
        e.kind = transport_kind::vfio_user;
        if (adrfam.data() != nullptr) return fail(adrfam, "a VFIOUSER address has no family");
        if (trsvcid.data() != nullptr && trsvcid != "0") return fail(trsvcid, "a VFIOUSER address has no service");
        if (const status s = take_path(traddr, max_socket_path, e.path); !s.ok()) return s;
        return e;
      }
      if (!same(trtype, "rdma") && !same(trtype, "tcp"))
        return fail(trtype, "an unknown transport: VFIOUSER, RDMA or TCP");
      e.kind = same(trtype, "rdma") ? transport_kind::rdma : transport_kind::tcp;
      const bool ipv6 = adrfam.data() != nullptr ? same(adrfam, "ipv6") : traddr.find(':') != std::string_view::npos;
      if (adrfam.data() != nullptr && !ipv6 && !same(adrfam, "ipv4"))
        return fail(adrfam, "an unknown family: IPv4 or IPv6");
      const status s = ipv6 ? take_ipv6(traddr, e.host) : take_host(traddr, e.host);
      if (!s.ok()) return s;
      e.port = default_port;
      if (trsvcid.data() != nullptr) {
        if (const status p = take_port(trsvcid, e.port); !p.ok()) return p;
      }
      return e;
    }

    static constexpr std::size_t max_name = 255;
    static constexpr std::size_t max_nqn = 223;
    static constexpr std::size_t max_path = 4095;
    static constexpr std::size_t max_socket_path = 107;  // sockaddr_un::sun_path with its NUL
    static constexpr std::size_t max_ipv6 = 64;

    static constexpr char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
    static constexpr bool is_hex(char c) noexcept {
      return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'f');
    }
    static constexpr bool is_alnum(char c) noexcept {
      return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z');
    }
    /// Whether `a` is `b`, which is in lower case, in any case.
    static constexpr bool same(std::string_view a, std::string_view b) noexcept {
      if (a.size() != b.size()) return false;
      for (std::size_t i = 0; i < a.size(); ++i)
        if (lower(a[i]) != b[i]) return false;
      return true;
    }
  };
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
