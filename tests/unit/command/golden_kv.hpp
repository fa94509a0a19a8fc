// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <support/bytes.hpp>

#include <nkv/kv/key.hpp>
#include <nkv/spec/data_pointer.hpp>
#include <nkv/spec/sgl.hpp>

#include <cstddef>
#include <cstdint>

/// The 64 bytes of every KV command, written out from the specifications and from what targets in the field take, never
/// by an encoder. Sixteen groups of four bytes, one a dword:
///
///     CDW0: opcode, FUSE and PSDT (40h: SGL), CID (zero: it is the queue's) | NSID | CDW2 | CDW3
///     MPTR, 2 | DPTR, 4: PRP1 and PRP2, or an SGL descriptor
///     CDW10 value or buffer bytes | CDW11 key length, options | CDW12 seconds to live | CDW13 | CDW14 | CDW15
///
/// Keys of up to 16 bytes lie in CDW2, CDW3, CDW14 and CDW15 in the order of memory.
namespace nkv_test::golden {

// ---- what the commands are made of ----

inline constexpr std::uint32_t nsid = 0x0a0b0c0d;          // 0d0c0b0a
inline constexpr std::uint32_t value_bytes = 0x12345678;   // 78563412
inline constexpr std::uint64_t prp1 = 0x1122334455667788;  // 88776655 44332211
inline constexpr std::uint64_t prp2 = 0x99aabbccddeef000;  // 00f0eedd ccbbaa99

/// 255 bytes: zero, the greatest, ones that look like lengths and hexadecimal that is easy to follow in the dwords.
inline constexpr block<255> key_bytes = [] {
  block<255> out{};
  const block<16> first = hex<16>("00ff8001 10203040 50607080 90a0b0c0");
  for (std::size_t i = 0; i < 255; ++i) out.bytes[i] = first.bytes[i % 16];
  return out;
}();
/// The first `n` of them as a key. @pre n <= 255
constexpr nkv::key_view key(std::size_t n) { return {key_bytes.bytes, n}; }
/// A view that no key is, of `n` bytes. @pre n <= 300
inline constexpr block<300> too_many_bytes{};
constexpr nkv::key_view not_a_key(std::size_t n) { return {too_many_bytes.bytes, n}; }

inline constexpr nkv::data_pointer by_prp = nkv::data_pointer::prp(prp1, prp2);
/// One SGL block of the value at prp1: 88776655 44332211 78563412 00000000
inline constexpr nkv::data_pointer by_block =
    nkv::data_pointer::sgl(nkv::sgl_descriptor::data_block(prp1, value_bytes));
/// Head and value, two blocks behind one Last Segment descriptor: 00f0eedd ccbbaa99 20000000 00000030
inline constexpr nkv::data_pointer by_segment = nkv::data_pointer::sgl(nkv::sgl_descriptor::last_segment(prp2, 2));
/// A head alone, `n` bytes of key: its address 00f0eedd ccbbaa99, its length 2 + n
constexpr nkv::data_pointer head_of(std::uint32_t n) {
  return nkv::data_pointer::sgl(nkv::sgl_descriptor::data_block(prp2, 2 + n));
}

using vector = block<64>;

// ---- Store, 01h: key in the dwords ----

inline constexpr vector store_1 = hex<64>(
    "01000000 0d0c0b0a 00------ -------- -------- -------- 88776655 44332211 00f0eedd ccbbaa99"
    "78563412 01000000 -------- -------- -------- --------");
inline constexpr vector store_8 = hex<64>(
    "01000000 0d0c0b0a 00ff8001 10203040 -------- -------- 88776655 44332211 00f0eedd ccbbaa99"
    "78563412 08000000 -------- -------- -------- --------");
inline constexpr vector store_9 = hex<64>(
    "01000000 0d0c0b0a 00ff8001 10203040 -------- -------- 88776655 44332211 00f0eedd ccbbaa99"
    "78563412 09000000 -------- -------- 50------ --------");
inline constexpr vector store_16 = hex<64>(
    "01000000 0d0c0b0a 00ff8001 10203040 -------- -------- 88776655 44332211 00f0eedd ccbbaa99"
    "78563412 10000000 -------- -------- 50607080 90a0b0c0");
// The value as one SGL block in the command.
inline constexpr vector store_16_block = hex<64>(
    "01400000 0d0c0b0a 00ff8001 10203040 -------- -------- 88776655 44332211 78563412 --------"
    "78563412 10000000 -------- -------- 50607080 90a0b0c0");
// An empty value: no data pointer, no length.
inline constexpr vector store_16_empty = hex<64>(
    "01000000 0d0c0b0a 00ff8001 10203040 -------- -------- -------- -------- -------- --------"
    "-------- 10000000 -------- -------- 50607080 90a0b0c0");

// Store's options, CDW11 bits 15:8, on store_16: each alone, and together.
inline constexpr vector store_must_exist = hex<64>(
    "01000000 0d0c0b0a 00ff8001 10203040 -------- -------- 88776655 44332211 00f0eedd ccbbaa99"
    "78563412 10010000 -------- -------- 50607080 90a0b0c0");
inline constexpr vector store_must_not_exist = hex<64>(
    "01000000 0d0c0b0a 00ff8001 10203040 -------- -------- 88776655 44332211 00f0eedd ccbbaa99"
    "78563412 10020000 -------- -------- 50607080 90a0b0c0");
inline constexpr vector store_no_compress = hex<64>(
    "01000000 0d0c0b0a 00ff8001 10203040 -------- -------- 88776655 44332211 00f0eedd ccbbaa99"
    "78563412 10040000 -------- -------- 50607080 90a0b0c0");
// 86400 seconds to live: TTL valid, and CDW12.
inline constexpr vector store_ttl = hex<64>(
    "01000000 0d0c0b0a 00ff8001 10203040 -------- -------- 88776655 44332211 00f0eedd ccbbaa99"
    "78563412 10080000 80510100 -------- 50607080 90a0b0c0");
inline constexpr vector store_ephemeral = hex<64>(
    "01000000 0d0c0b0a 00ff8001 10203040 -------- -------- 88776655 44332211 00f0eedd ccbbaa99"
    "78563412 10100000 -------- -------- 50607080 90a0b0c0");
// Touch carries no data: value size 0.
inline constexpr vector store_touch = hex<64>(
    "01000000 0d0c0b0a 00ff8001 10203040 -------- -------- -------- -------- -------- --------"
    "-------- 10200000 -------- -------- 50607080 90a0b0c0");
inline constexpr vector store_touch_ttl = hex<64>(
    "01000000 0d0c0b0a 00ff8001 10203040 -------- -------- -------- -------- -------- --------"
    "-------- 10280000 80510100 -------- 50607080 90a0b0c0");
// Must exist, no compress, the longest TTL, ephemeral; and with touch, everything that goes together.
inline constexpr vector store_all_must_exist = hex<64>(
    "01000000 0d0c0b0a 00ff8001 10203040 -------- -------- 88776655 44332211 00f0eedd ccbbaa99"
    "78563412 101d0000 ffffffff -------- 50607080 90a0b0c0");
inline constexpr vector store_all_must_not_exist = hex<64>(
    "01000000 0d0c0b0a 00ff8001 10203040 -------- -------- 88776655 44332211 00f0eedd ccbbaa99"
    "78563412 101e0000 ffffffff -------- 50607080 90a0b0c0");
inline constexpr vector store_all_touch = hex<64>(
    "01000000 0d0c0b0a 00ff8001 10203040 -------- -------- -------- -------- -------- --------"
    "-------- 103d0000 ffffffff -------- 50607080 90a0b0c0");

// ---- Store: key in the payload's head ----

// The entry is the same for every key: no dword of it, no length; CDW10 is the value alone, without the head.
inline constexpr vector store_head = hex<64>(
    "01400000 0d0c0b0a -------- -------- -------- -------- 00f0eedd ccbbaa99 20000000 ------30"
    "78563412 -------- -------- -------- -------- --------");
inline constexpr vector store_head_all_must_exist = hex<64>(
    "01400000 0d0c0b0a -------- -------- -------- -------- 00f0eedd ccbbaa99 20000000 ------30"
    "78563412 001d0000 ffffffff -------- -------- --------");
inline constexpr vector store_head_all_must_not_exist = hex<64>(
    "01400000 0d0c0b0a -------- -------- -------- -------- 00f0eedd ccbbaa99 20000000 ------30"
    "78563412 001e0000 ffffffff -------- -------- --------");
// An empty value, or a touch, is its head: one block of 2 + 17 bytes.
inline constexpr vector store_head_17_empty = hex<64>(
    "01400000 0d0c0b0a -------- -------- -------- -------- 00f0eedd ccbbaa99 13000000 --------"
    "-------- -------- -------- -------- -------- --------");
inline constexpr vector store_head_17_touch = hex<64>(
    "01400000 0d0c0b0a -------- -------- -------- -------- 00f0eedd ccbbaa99 13000000 --------"
    "-------- 00200000 -------- -------- -------- --------");

// ---- Retrieve, 02h ----

inline constexpr vector retrieve_1 = hex<64>(
    "02000000 0d0c0b0a 00------ -------- -------- -------- 88776655 44332211 00f0eedd ccbbaa99"
    "78563412 01000000 -------- -------- -------- --------");
inline constexpr vector retrieve_8 = hex<64>(
    "02000000 0d0c0b0a 00ff8001 10203040 -------- -------- 88776655 44332211 00f0eedd ccbbaa99"
    "78563412 08000000 -------- -------- -------- --------");
inline constexpr vector retrieve_9 = hex<64>(
    "02000000 0d0c0b0a 00ff8001 10203040 -------- -------- 88776655 44332211 00f0eedd ccbbaa99"
    "78563412 09000000 -------- -------- 50------ --------");
inline constexpr vector retrieve_16 = hex<64>(
    "02000000 0d0c0b0a 00ff8001 10203040 -------- -------- 88776655 44332211 00f0eedd ccbbaa99"
    "78563412 10000000 -------- -------- 50607080 90a0b0c0");
inline constexpr vector retrieve_16_raw = hex<64>(
    "02000000 0d0c0b0a 00ff8001 10203040 -------- -------- 88776655 44332211 00f0eedd ccbbaa99"
    "78563412 10010000 -------- -------- 50607080 90a0b0c0");
inline constexpr vector retrieve_16_block = hex<64>(
    "02400000 0d0c0b0a 00ff8001 10203040 -------- -------- 88776655 44332211 78563412 --------"
    "78563412 10000000 -------- -------- 50607080 90a0b0c0");
inline constexpr vector retrieve_head = hex<64>(
    "02400000 0d0c0b0a -------- -------- -------- -------- 00f0eedd ccbbaa99 20000000 ------30"
    "78563412 -------- -------- -------- -------- --------");
inline constexpr vector retrieve_head_raw = hex<64>(
    "02400000 0d0c0b0a -------- -------- -------- -------- 00f0eedd ccbbaa99 20000000 ------30"
    "78563412 00010000 -------- -------- -------- --------");

// ---- List, 06h ----

// From the first key: no start key, a length of 0.
inline constexpr vector list_0 = hex<64>(
    "06000000 0d0c0b0a -------- -------- -------- -------- 88776655 44332211 00f0eedd ccbbaa99"
    "78563412 -------- -------- -------- -------- --------");
inline constexpr vector list_1 = hex<64>(
    "06000000 0d0c0b0a 00------ -------- -------- -------- 88776655 44332211 00f0eedd ccbbaa99"
    "78563412 01000000 -------- -------- -------- --------");
inline constexpr vector list_8 = hex<64>(
    "06000000 0d0c0b0a 00ff8001 10203040 -------- -------- 88776655 44332211 00f0eedd ccbbaa99"
    "78563412 08000000 -------- -------- -------- --------");
inline constexpr vector list_9 = hex<64>(
    "06000000 0d0c0b0a 00ff8001 10203040 -------- -------- 88776655 44332211 00f0eedd ccbbaa99"
    "78563412 09000000 -------- -------- 50------ --------");
inline constexpr vector list_16 = hex<64>(
    "06000000 0d0c0b0a 00ff8001 10203040 -------- -------- 88776655 44332211 00f0eedd ccbbaa99"
    "78563412 10000000 -------- -------- 50607080 90a0b0c0");
// The start key is in the buffer, which is output as a whole: one block, no segment.
inline constexpr vector list_head = hex<64>(
    "06400000 0d0c0b0a -------- -------- -------- -------- 88776655 44332211 78563412 --------"
    "78563412 -------- -------- -------- -------- --------");

// ---- Delete, 10h, and Exist, 14h: no data ----

inline constexpr vector delete_1 = hex<64>(
    "10000000 0d0c0b0a 00------ -------- -------- -------- -------- -------- -------- --------"
    "-------- 01000000 -------- -------- -------- --------");
inline constexpr vector delete_8 = hex<64>(
    "10000000 0d0c0b0a 00ff8001 10203040 -------- -------- -------- -------- -------- --------"
    "-------- 08000000 -------- -------- -------- --------");
inline constexpr vector delete_9 = hex<64>(
    "10000000 0d0c0b0a 00ff8001 10203040 -------- -------- -------- -------- -------- --------"
    "-------- 09000000 -------- -------- 50------ --------");
inline constexpr vector delete_16 = hex<64>(
    "10000000 0d0c0b0a 00ff8001 10203040 -------- -------- -------- -------- -------- --------"
    "-------- 10000000 -------- -------- 50607080 90a0b0c0");
// In payload_head the key goes both ways: in the dwords, and by the data pointer to its head of 2 + n bytes.
inline constexpr vector delete_head_1 = hex<64>(
    "10400000 0d0c0b0a 00------ -------- -------- -------- 00f0eedd ccbbaa99 03000000 --------"
    "-------- 01000000 -------- -------- -------- --------");
inline constexpr vector delete_head_8 = hex<64>(
    "10400000 0d0c0b0a 00ff8001 10203040 -------- -------- 00f0eedd ccbbaa99 0a000000 --------"
    "-------- 08000000 -------- -------- -------- --------");
inline constexpr vector delete_head_9 = hex<64>(
    "10400000 0d0c0b0a 00ff8001 10203040 -------- -------- 00f0eedd ccbbaa99 0b000000 --------"
    "-------- 09000000 -------- -------- 50------ --------");
inline constexpr vector delete_head_16 = hex<64>(
    "10400000 0d0c0b0a 00ff8001 10203040 -------- -------- 00f0eedd ccbbaa99 12000000 --------"
    "-------- 10000000 -------- -------- 50607080 90a0b0c0");
// Above 16 bytes the head alone has it.
inline constexpr vector delete_head_17 = hex<64>(
    "10400000 0d0c0b0a -------- -------- -------- -------- 00f0eedd ccbbaa99 13000000 --------"
    "-------- -------- -------- -------- -------- --------");
inline constexpr vector delete_head_255 = hex<64>(
    "10400000 0d0c0b0a -------- -------- -------- -------- 00f0eedd ccbbaa99 01010000 --------"
    "-------- -------- -------- -------- -------- --------");

inline constexpr vector exist_1 = hex<64>(
    "14000000 0d0c0b0a 00------ -------- -------- -------- -------- -------- -------- --------"
    "-------- 01000000 -------- -------- -------- --------");
inline constexpr vector exist_8 = hex<64>(
    "14000000 0d0c0b0a 00ff8001 10203040 -------- -------- -------- -------- -------- --------"
    "-------- 08000000 -------- -------- -------- --------");
inline constexpr vector exist_9 = hex<64>(
    "14000000 0d0c0b0a 00ff8001 10203040 -------- -------- -------- -------- -------- --------"
    "-------- 09000000 -------- -------- 50------ --------");
inline constexpr vector exist_16 = hex<64>(
    "14000000 0d0c0b0a 00ff8001 10203040 -------- -------- -------- -------- -------- --------"
    "-------- 10000000 -------- -------- 50607080 90a0b0c0");
inline constexpr vector exist_head_1 = hex<64>(
    "14400000 0d0c0b0a 00------ -------- -------- -------- 00f0eedd ccbbaa99 03000000 --------"
    "-------- 01000000 -------- -------- -------- --------");
inline constexpr vector exist_head_8 = hex<64>(
    "14400000 0d0c0b0a 00ff8001 10203040 -------- -------- 00f0eedd ccbbaa99 0a000000 --------"
    "-------- 08000000 -------- -------- -------- --------");
inline constexpr vector exist_head_9 = hex<64>(
    "14400000 0d0c0b0a 00ff8001 10203040 -------- -------- 00f0eedd ccbbaa99 0b000000 --------"
    "-------- 09000000 -------- -------- 50------ --------");
inline constexpr vector exist_head_16 = hex<64>(
    "14400000 0d0c0b0a 00ff8001 10203040 -------- -------- 00f0eedd ccbbaa99 12000000 --------"
    "-------- 10000000 -------- -------- 50607080 90a0b0c0");
inline constexpr vector exist_head_17 = hex<64>(
    "14400000 0d0c0b0a -------- -------- -------- -------- 00f0eedd ccbbaa99 13000000 --------"
    "-------- -------- -------- -------- -------- --------");
inline constexpr vector exist_head_255 = hex<64>(
    "14400000 0d0c0b0a -------- -------- -------- -------- 00f0eedd ccbbaa99 01010000 --------"
    "-------- -------- -------- -------- -------- --------");

// ---- Execute, 83h: alike in both encodings ----

// CDW10 the whole payload: 2 + key + 0x100 of input; CDW12 the most result, 0x00010000; CDW13 the operation,
// 0x0000040a.
inline constexpr std::uint32_t op_id = 0x0000040a;
inline constexpr std::uint32_t input_bytes = 0x100;
inline constexpr std::uint32_t result_bytes = 0x00010000;
inline constexpr vector execute_1 = hex<64>(
    "83400000 0d0c0b0a -------- -------- -------- -------- 88776655 44332211 78563412 --------"
    "03010000 -------- 00000100 0a040000 -------- --------");
inline constexpr vector execute_8 = hex<64>(
    "83400000 0d0c0b0a -------- -------- -------- -------- 88776655 44332211 78563412 --------"
    "0a010000 -------- 00000100 0a040000 -------- --------");
inline constexpr vector execute_9 = hex<64>(
    "83400000 0d0c0b0a -------- -------- -------- -------- 88776655 44332211 78563412 --------"
    "0b010000 -------- 00000100 0a040000 -------- --------");
inline constexpr vector execute_16 = hex<64>(
    "83400000 0d0c0b0a -------- -------- -------- -------- 88776655 44332211 78563412 --------"
    "12010000 -------- 00000100 0a040000 -------- --------");
inline constexpr vector execute_17 = hex<64>(
    "83400000 0d0c0b0a -------- -------- -------- -------- 88776655 44332211 78563412 --------"
    "13010000 -------- 00000100 0a040000 -------- --------");
inline constexpr vector execute_255 = hex<64>(
    "83400000 0d0c0b0a -------- -------- -------- -------- 88776655 44332211 78563412 --------"
    "01020000 -------- 00000100 0a040000 -------- --------");
// By PRPs, no input, no result wanted.
inline constexpr vector execute_16_prp = hex<64>(
    "83000000 0d0c0b0a -------- -------- -------- -------- 88776655 44332211 00f0eedd ccbbaa99"
    "12000000 -------- -------- 0a040000 -------- --------");

}  // namespace nkv_test::golden
