// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/spec/identify.hpp>
#include <nkv/spec/opcode.hpp>
#include <nkv/target/kv_namespace.hpp>
#include <nkv/target/subsystem.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace nkv::inline NKV_ABI {
namespace target {

/// What Identify says of one controller besides its subsystem.
struct controller_identity {
  std::uint16_t cntlid = 0;
  std::uint16_t pci_vendor = 0;
  std::uint8_t mdts = 0;
  bool sgl = true;                 ///< SGLs of any alignment; else none
  std::uint8_t aerl = 3;           ///< 0's based
  std::uint16_t max_commands = 0;  ///< MAXCMD, fabrics; 0: not stated
};

/// NVMe 2.0, in VS and in Identify.
inline constexpr std::uint32_t nvme_version = 0x00020000;

namespace identify_page {

template <std::size_t N>
inline void put_padded(char (&field)[N], std::string_view text) noexcept {
  std::memset(field, ' ', N);
  std::memcpy(field, text.data(), std::min(N, text.size()));
}

/// CNS 01h.
inline void controller(identify_controller& page, const subsystem_options& s, const controller_identity& c) noexcept {
  page = {};
  page.vid = page.ssvid = c.pci_vendor;
  put_padded(page.sn, s.serial);
  put_padded(page.mn, s.model);
  const char version[] = {'0' + NKV_VERSION_MAJOR, '.', '0' + NKV_VERSION_MINOR, '.', '0' + NKV_VERSION_PATCH};
  put_padded(page.fr, {version, sizeof version});
  page.cmic = 0x02;  // the subsystem may have several controllers
  page.mdts = c.mdts;
  page.cntlid = c.cntlid;
  page.ver = nvme_version;
  page.oaes = 0x100;  // namespace attribute notices
  page.cntrltype = 1;
  page.acl = 3;
  page.aerl = c.aerl;
  page.frmw = 0x03;  // one slot, read only
  page.lpa = 0x06;   // commands supported and effects; offsets into log pages
  page.elpe = 15;
  page.wctemp = 343;
  page.cctemp = 353;
  page.kas = 10;  // one second
  page.sqes = 0x66;
  page.cqes = 0x44;
  page.maxcmd = c.max_commands;
  page.nn = subsystem::max_nsid;
  page.mnan = subsystem::max_nsid;
  if (c.sgl) page.sgls = sgls::byte_granular | sgls::longer_than_data;
  std::memcpy(page.subnqn, s.subnqn.data(), std::min(s.subnqn.size(), sizeof page.subnqn - 1));
  page.ioccsz = 4;
  page.iorcsz = 1;
}

/// The namespace's NGUID: the configured one, or one made of NQN and nsid, the same in every run.
inline void nguid(std::uint8_t (&out)[16], const subsystem_options& s, const namespace_options& ns) noexcept {
  std::memcpy(out, ns.nguid.data(), sizeof out);
  if (std::any_of(out, out + sizeof out, [](std::uint8_t b) { return b != 0; })) return;
  std::uint64_t h[2] = {0xcbf29ce484222325u ^ ns.nsid, 0x84222325cbf29ce4u + ns.nsid};  // FNV-1a, twice
  for (const char c : s.subnqn)
    for (std::uint64_t& w : h) w = (w ^ static_cast<std::uint8_t>(c)) * 0x100000001b3u;
  std::memcpy(out, h, sizeof out);
}

/// CNS 05h, CSI 01h.
inline void kv_namespace_page(identify_kv_namespace& page, const subsystem_options& s,
                              const kv_namespace& ns) noexcept {
  page = {};
  page.nsze = ns.max_value_bytes();
  page.nuse = ns.store().usage().bytes;
  page.nkvf = 0;
  page.nmic = 0x01;  // shared by controllers
  page.kvfc = 0;
  page.novg = ns.options().optimal_granularity_bytes;
  page.nsattr = ns.read_only() ? 1 : 0;
  nguid(page.nguid, s, ns.options());
  page.kvf[0].kvkml = static_cast<std::uint16_t>(ns.max_key_bytes());
  page.kvf[0].kvvml = static_cast<std::uint32_t>(ns.max_value_bytes());
  page.kvf[0].mnks = static_cast<std::uint32_t>(std::min<std::uint64_t>(ns.options().max_keys, 0xffffffffu));
  // RADOS-NKV's vs_cap, bit 0: times to live are kept. Only with the keys in the command: those who look at this field
  // take it for the mark of such a target.
  if (ns.key_encoding() == key_encoding::inline_cdw && ns.store().has_ttl()) page.vendor[0] = 1;
}

/// CNS 03h. @param out 4096 zeroed bytes
inline void namespace_descriptors(std::byte* out, const subsystem_options& s, const kv_namespace& ns) noexcept {
  out[0] = static_cast<std::byte>(namespace_descriptor_type::nguid);
  out[1] = std::byte{16};
  std::uint8_t id[16];
  nguid(id, s, ns.options());
  std::memcpy(out + 4, id, sizeof id);
  out[20] = static_cast<std::byte>(namespace_descriptor_type::csi);
  out[21] = std::byte{1};
  out[24] = static_cast<std::byte>(command_set_id::kv);
}

/// CNS 02h and 07h: the nsids above `after`.
inline void active_namespaces(identify_active_namespaces& page, const namespace_table& table,
                              std::uint32_t after) noexcept {
  page = {};
  std::size_t n = 0;
  for (const auto& ns : table)
    if (ns->nsid() > after && n < sizeof page.nsid / sizeof page.nsid[0]) page.nsid[n++] = ns->nsid();
}

}  // namespace identify_page

}  // namespace target
}  // namespace nkv::inline NKV_ABI
