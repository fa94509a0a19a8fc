// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/endian.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// CNS values of Identify (NVMe Base 2.0, Figure 274).
enum class identify_cns : std::uint8_t {
  namespace_nvm = 0x00,
  controller = 0x01,
  active_namespaces = 0x02,
  namespace_descriptors = 0x03,
  csi_namespace = 0x05,
  csi_controller = 0x06,
  csi_active_namespaces = 0x07,
  csi_independent_namespace = 0x08,
  command_set_vector = 0x1c,
};

inline constexpr std::size_t identify_bytes = 4096;

/// Identify Controller, CNS 01h (NVMe Base 2.0, Figure 275): the fields that a KV host or target uses, at their
/// offsets; everything else is reserved here and zero.
struct identify_controller {
  std::uint16_t vid = 0;
  std::uint16_t ssvid = 0;
  char sn[20] = {};  ///< space padded
  char mn[40] = {};  ///< space padded
  char fr[8] = {};   ///< space padded
  std::uint8_t rab = 0;
  std::uint8_t ieee[3] = {};
  std::uint8_t cmic = 0;
  std::uint8_t mdts = 0;  ///< power of two of minimum pages; 0 is no limit
  std::uint16_t cntlid = 0;
  std::uint32_t ver = 0;
  std::uint32_t rtd3r = 0;
  std::uint32_t rtd3e = 0;
  std::uint32_t oaes = 0;
  std::uint32_t ctratt = 0;
  std::uint8_t reserved_100[11] = {};
  std::uint8_t cntrltype = 0;  ///< 1 is an I/O controller
  std::uint8_t fguid[16] = {};
  std::uint8_t reserved_128[128] = {};
  std::uint16_t oacs = 0;
  std::uint8_t acl = 0;   ///< 0's based
  std::uint8_t aerl = 0;  ///< 0's based
  std::uint8_t frmw = 0;
  std::uint8_t lpa = 0;
  std::uint8_t elpe = 0;
  std::uint8_t npss = 0;
  std::uint8_t reserved_264[2] = {};
  std::uint16_t wctemp = 0;
  std::uint16_t cctemp = 0;
  std::uint8_t reserved_270[50] = {};
  std::uint16_t kas = 0;  ///< keep alive granularity, 100 ms units
  std::uint8_t reserved_322[190] = {};
  std::uint8_t sqes = 0;  ///< 66h: 64 bytes
  std::uint8_t cqes = 0;  ///< 44h: 16 bytes
  std::uint16_t maxcmd = 0;
  std::uint32_t nn = 0;  ///< largest valid nsid
  std::uint16_t oncs = 0;
  std::uint16_t fuses = 0;
  std::uint8_t fna = 0;
  std::uint8_t vwc = 0;
  std::uint16_t awun = 0;
  std::uint16_t awupf = 0;
  std::uint8_t icsvscc = 0;
  std::uint8_t nwpc = 0;
  std::uint16_t acwu = 0;
  std::uint16_t cdfs = 0;
  std::uint32_t sgls = 0;
  std::uint32_t mnan = 0;
  std::uint8_t reserved_544[224] = {};
  char subnqn[256] = {};  ///< NUL terminated
  std::uint8_t reserved_1024[768] = {};
  std::uint32_t ioccsz = 0;  ///< fabrics: 16-byte units
  std::uint32_t iorcsz = 0;  ///< fabrics: 16-byte units
  std::uint16_t icdoff = 0;
  std::uint8_t fcatt = 0;
  std::uint8_t msdbd = 0;
  std::uint16_t ofcs = 0;
  std::uint8_t reserved_1806[242] = {};
  std::uint8_t psd[32][32] = {};
  std::uint8_t vendor[1024] = {};
};
static_assert(sizeof(identify_controller) == identify_bytes);
static_assert(offsetof(identify_controller, mdts) == 77);
static_assert(offsetof(identify_controller, cntlid) == 78);
static_assert(offsetof(identify_controller, cntrltype) == 111);
static_assert(offsetof(identify_controller, oacs) == 256);
static_assert(offsetof(identify_controller, kas) == 320);
static_assert(offsetof(identify_controller, sqes) == 512);
static_assert(offsetof(identify_controller, nn) == 516);
static_assert(offsetof(identify_controller, sgls) == 536);
static_assert(offsetof(identify_controller, subnqn) == 768);
static_assert(offsetof(identify_controller, ioccsz) == 1792);
static_assert(offsetof(identify_controller, psd) == 2048);

/// SGLS bits (NVMe Base 2.0, Figure 275, bytes 539:536).
namespace sgls {
inline constexpr std::uint32_t supported_mask = 0x3;
inline constexpr std::uint32_t byte_granular = 0x1;   ///< no alignment or granularity requirement
inline constexpr std::uint32_t dword_granular = 0x2;  ///< dword alignment and granularity
inline constexpr std::uint32_t keyed = 0x4;
inline constexpr std::uint32_t longer_than_data = 1u << 18;
inline constexpr std::uint32_t address_is_offset = 1u << 20;
}  // namespace sgls

/// OACS and ONCS bits that matter here (NVMe Base 2.0, Figure 275).
inline constexpr std::uint16_t oacs_doorbell_buffer = 0x100;

/// One KV format (KV Command Set 1.0c, Figure 40).
struct kv_format {
  std::uint16_t kvkml = 0;  ///< longest key, bytes; 0 marks a format that is not there
  std::uint8_t reserved_2 = 0;
  std::uint8_t afo = 0;
  std::uint32_t kvvml = 0;  ///< longest value, bytes
  std::uint32_t mnks = 0;   ///< most keys; 0 is no limit stated
  std::uint8_t reserved_12[4] = {};
};
static_assert(sizeof(kv_format) == 16);

/// Identify Namespace of the KV command set, CNS 05h with CSI 01h (KV Command Set 1.0c, Figure 39). `nsze` means
/// different things to different targets and is not to be interpreted.
struct identify_kv_namespace {
  std::uint64_t nsze = 0;
  std::uint8_t reserved_8[8] = {};
  std::uint64_t nuse = 0;
  std::uint8_t nsfeat = 0;
  std::uint8_t nkvf = 0;  ///< formats, 0's based (some targets count from 1)
  std::uint8_t nmic = 0;
  std::uint8_t rescap = 0;
  std::uint8_t fpi = 0;
  std::uint8_t kvfc = 0;  ///< bits 3:0: the format in use
  std::uint8_t reserved_30[2] = {};
  std::uint32_t novg = 0;
  std::uint32_t anagrpid = 0;
  std::uint8_t reserved_40[3] = {};
  std::uint8_t nsattr = 0;
  std::uint16_t nvmsetid = 0;
  std::uint16_t endgid = 0;
  std::uint8_t nguid[16] = {};
  std::uint64_t eui64 = 0;
  kv_format kvf[16] = {};
  std::uint8_t reserved_328[3512] = {};
  std::uint8_t vendor[256] = {};  ///< byte 0 (3840): RADOS-NKV's vs_cap, bit 0 TTL

  /// The format in use: kvf[kvfi], or the first that is there where kvfi names none; a zero format where there is none.
  [[nodiscard]] NKV_HD constexpr kv_format active_format() const noexcept {
    const kv_format& chosen = kvf[kvfc & 0xfu];
    if (chosen.kvkml != 0) return chosen;
    for (const kv_format& f : kvf)
      if (f.kvkml != 0) return f;
    return {};
  }

  /// Whether NKVF counts the formats from 1, as some targets do: the place behind the last one is empty.
  [[nodiscard]] NKV_HD constexpr bool counts_formats_from_1() const noexcept {
    return nkvf != 0 && nkvf < 16 && kvf[nkvf - 1].kvkml != 0 && kvf[nkvf].kvkml == 0;
  }
};
static_assert(sizeof(identify_kv_namespace) == identify_bytes);
static_assert(offsetof(identify_kv_namespace, nuse) == 16);
static_assert(offsetof(identify_kv_namespace, kvfc) == 29);
static_assert(offsetof(identify_kv_namespace, novg) == 32);
static_assert(offsetof(identify_kv_namespace, nsattr) == 43);
static_assert(offsetof(identify_kv_namespace, nguid) == 48);
static_assert(offsetof(identify_kv_namespace, kvf) == 72);
static_assert(offsetof(identify_kv_namespace, vendor) == 3840);

/// Identify Controller of the KV command set, CNS 06h with CSI 01h (KV Command Set 1.0c, section 4.1.5.2).
struct identify_kv_controller {
  std::uint32_t ver = 0;
  std::uint8_t reserved_4[4092] = {};
};
static_assert(sizeof(identify_kv_controller) == identify_bytes);

/// I/O Command Set Independent Identify Namespace, CNS 08h (NVMe Base 2.0, Figure 280).
struct identify_independent_namespace {
  std::uint8_t nsfeat = 0;
  std::uint8_t nmic = 0;
  std::uint8_t rescap = 0;
  std::uint8_t fpi = 0;
  std::uint32_t anagrpid = 0;
  std::uint8_t nsattr = 0;
  std::uint8_t reserved_9 = 0;
  std::uint16_t nvmsetid = 0;
  std::uint16_t endgid = 0;
  std::uint8_t nstat = 0;  ///< bit 0 NRDY
  std::uint8_t reserved_15[4081] = {};
};
static_assert(sizeof(identify_independent_namespace) == identify_bytes);
static_assert(offsetof(identify_independent_namespace, nstat) == 14);

/// Active namespace list, CNS 02h and 07h: nsids in rising order, ended by 0 (NVMe Base 2.0, section 5.17.2.2).
struct identify_active_namespaces {
  std::uint32_t nsid[1024] = {};
};
static_assert(sizeof(identify_active_namespaces) == identify_bytes);

/// I/O command set combinations, CNS 1Ch: bit 0 NVM, bit 1 KV (NVMe Base 2.0, Figure 289).
struct identify_command_set_vector {
  std::uint64_t combination[512] = {};
};
static_assert(sizeof(identify_command_set_vector) == identify_bytes);

/// Namespace identification descriptor types, CNS 03h (NVMe Base 2.0, Figure 277).
enum class namespace_descriptor_type : std::uint8_t { eui64 = 1, nguid = 2, uuid = 3, csi = 4 };

/// The command set identifier in a CNS 03h list.
/// @param list 4096 bytes from the controller, of any content: every descriptor is checked against the end
/// @return the CSI, or 256 where the list has none
[[nodiscard]] NKV_HD constexpr unsigned csi_of_namespace_descriptors(const std::byte* list) noexcept {
  std::size_t at = 0;
  while (at + 4 <= identify_bytes) {
    const auto type = static_cast<std::uint8_t>(list[at]);
    const auto length = static_cast<std::size_t>(list[at + 1]);
    if (type == 0 || length == 0 || at + 4 + length > identify_bytes) break;
    if (type == static_cast<std::uint8_t>(namespace_descriptor_type::csi)) return static_cast<unsigned>(list[at + 4]);
    at += 4 + length;
  }
  return 256;
}

}  // namespace nkv::inline NKV_ABI
