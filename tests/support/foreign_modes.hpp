// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace nkv_test::foreign {

/// In what a foreign server differs from the next one. The defaults are those of a server that does as the
/// specifications say; modes::parse() knows the names.
struct modes {
  // The socket
  bool no_mmap = false;           ///< BAR0 cannot be mapped: doorbells come as (posted) REGION_WRITE
  bool unsealed = false;          ///< the doorbells' memory file is not sealed against shrinking
  bool slow_registers = false;    ///< each message takes a millisecond
  bool ends_when_probed = false;  ///< who connects and leaves without VERSION ends the server
  bool one_client = false;        ///< a second connection waits; else it is closed at once
  // The controller
  std::uint32_t entries = 1024;       ///< of a queue at most
  std::uint8_t mdts = 0;              ///< Identify's MDTS: 2^n pages; 0 is no limit
  std::uint32_t sgls = 1;             ///< Identify's SGLS: 0 none, 1 any, 2 dwords
  bool two_pages = false;             ///< PRP2 is a page, never a list
  bool flat_prp_list = false;         ///< a PRP list is one array, whatever pages it crosses
  bool admin_prp_only = false;        ///< an SGL in an admin command is an error
  bool never_dnr = false;             ///< Do Not Retry is set in no completion
  bool io_command_sets_only = false;  ///< CAP.CSS has bit 6 alone: CC.CSS must be 6
  bool csi_descriptor_only = false;   ///< CNS 1Ch and 07h do not tell of KV
  bool spdk_names = false;            ///< vendor, model and serial number as SPDK's
  bool has_features = true;           ///< feature 20h can be set
  bool basic_admin = false;           ///< Abort, Keep Alive: invalid opcode; Get Log Page writes nothing
  // The keys and values
  bool payload_head = false;    ///< keys in the payload, as RADOS-NKV's forwarder has them; else in command dwords
  bool no_length = false;       ///< DW0 of a Retrieve is 0
  bool odd_padding = false;     ///< (2 + KL) % 4 bytes behind each entry of a List
  bool slot_order = false;      ///< a List goes by slots, and an absent start key begins anew
  unsigned kv_status_type = 0;  ///< the type under which 85h to 89h come
  std::uint32_t key_bytes = 16;
  std::uint32_t value_bytes = 64u << 10;
  std::uint32_t max_blocks = 0;            ///< SGL blocks of a command, 0: any number
  bool one_format_counted_as_two = false;  ///< NKVF is 1 although there is one format

  /// @param text names, with commas between: plain, long_values (to 8 MiB), no_mmap, unsealed, prp_only, mdts=N,
  /// two_pages, no_length, odd_padding, sct0, sct1, csi_descriptor_only, slow_registers, ends_when_probed, entries=N,
  /// admin_prp_only, never_dnr, one_client, payload_head, and two whole servers of the field: spdk, model
  /// @return the first name that there is not; empty for none
  std::string parse(std::string_view text) {
    while (!text.empty()) {
      const std::size_t end = text.find(',');
      const std::string_view name = text.substr(0, end);
      text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
      if (!take(name)) return std::string(name);
    }
    return {};
  }

 private:
  static bool number(std::string_view name, std::string_view prefix, std::uint32_t& to) {
    if (name.substr(0, prefix.size()) != prefix || name.size() == prefix.size()) return false;
    std::uint32_t n = 0;
    for (const char c : name.substr(prefix.size())) {
      if (c < '0' || c > '9' || n > 100'000) return false;
      n = n * 10 + static_cast<std::uint32_t>(c - '0');
    }
    to = n;
    return true;
  }

  bool take(std::string_view name) {
    std::uint32_t n = 0;
    if (name == "plain" || name == "sct0") return true;
    if (name == "long_values") return (value_bytes = 8u << 20) != 0;
    if (name == "no_mmap") return no_mmap = true;
    if (name == "unsealed") return unsealed = true;
    if (name == "slow_registers") return slow_registers = true;
    if (name == "ends_when_probed") return ends_when_probed = true;
    if (name == "one_client") return one_client = true;
    if (number(name, "entries=", n) && n >= 2 && n <= 65536) return (entries = n) != 0;
    if (number(name, "mdts=", n) && n < 20) {
      mdts = static_cast<std::uint8_t>(n);
      return true;
    }
    if (name == "prp_only") return (sgls = 0) == 0;
    if (name == "two_pages") {
      sgls = 0;
      mdts = 1;
      return two_pages = true;
    }
    if (name == "admin_prp_only") return admin_prp_only = true;
    if (name == "never_dnr") return never_dnr = true;
    if (name == "csi_descriptor_only") return csi_descriptor_only = true;
    if (name == "no_length") return no_length = true;
    if (name == "odd_padding") return odd_padding = true;
    if (name == "sct1") return (kv_status_type = 1) != 0;
    if (name == "payload_head") {
      // What the forwarder answers with does not depend on who serves it; what serves it is SPDK.
      spdk_names = true;
      has_features = false;
      kv_status_type = 1;
      key_bytes = 255;
      max_blocks = 33;
      flat_prp_list = true;
      mdts = 5;
      value_bytes = 96u << 10;
      return payload_head = true;
    }
    if (name == "spdk")
      return take("payload_head") && take("slow_registers") && take("unsealed") && take("one_client") &&
             take("entries=256") && take("admin_prp_only") && take("never_dnr") && (sgls = 2) == 2 &&
             (io_command_sets_only = true);
    if (name == "model") {
      entries = 1024;
      value_bytes = 4096;
      one_format_counted_as_two = true;
      slot_order = true;
      basic_admin = true;
      return take("no_mmap") && take("two_pages") && take("csi_descriptor_only") && take("no_length") &&
             take("odd_padding") && take("ends_when_probed") && take("one_client");
    }
    return false;
  }
};

}  // namespace nkv_test::foreign
