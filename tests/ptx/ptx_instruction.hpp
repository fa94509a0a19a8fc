// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "ptx/ptx_memory.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace nkv_test {

class ptx_machine;
struct ptx_thread;
struct ptx_instruction;
struct ptx_function;

/// Carries out one instruction of one thread.
using ptx_handler = void (*)(ptx_machine&, ptx_thread&, const ptx_instruction&);

enum class ptx_space : std::uint8_t { generic, global, constant, shared, local, param };

enum class ptx_special : std::uint8_t {
  tid_x,
  tid_y,
  tid_z,
  ntid_x,
  ntid_y,
  ntid_z,
  ctaid_x,
  ctaid_y,
  ctaid_z,
  nctaid_x,
  nctaid_y,
  nctaid_z,
  laneid,
  warpid,
  nwarpid,
  lanemask_eq,
  lanemask_lt,
  lanemask_le,
  lanemask_gt,
  lanemask_ge,
  clock,
  clock64,
  globaltimer,
  globaltimer_lo,
  globaltimer_hi,
};

/// One operand, ready to be read: a register, a number, an address in the running function's frame, a special register.
struct ptx_operand {
  enum class kind : std::uint8_t { none, reg, number, frame, special, sink };
  kind what = kind::none;
  std::uint8_t bits = 0;  ///< of a register; 1 for a predicate
  bool negated = false;   ///< of a predicate
  std::uint32_t reg = 0;
  std::uint64_t number = 0;  ///< the number, the frame offset or the ptx_special
};

/// What an instruction is counted as; a set of these bits.
namespace ptx_class {
inline constexpr std::uint32_t load = 1u << 0;            ///< ld of any space but .param and .local
inline constexpr std::uint32_t store = 1u << 1;           ///< st of any space but .param and .local
inline constexpr std::uint32_t local = 1u << 2;           ///< ld and st of .local
inline constexpr std::uint32_t atomic = 1u << 3;          ///< atom and red
inline constexpr std::uint32_t fence = 1u << 4;           ///< fence and membar of any kind
inline constexpr std::uint32_t mmio = 1u << 5;            ///< .mmio accesses
inline constexpr std::uint32_t system_acquire = 1u << 6;  ///< ld.acquire.sys, atom.acquire.sys, atom.acq_rel.sys
inline constexpr std::uint32_t system_release = 1u << 7;  ///< st.release.sys, atom.release.sys, atom.acq_rel.sys
inline constexpr std::uint32_t collective = 1u << 8;      ///< of a warp: shfl, vote, match, redux, elect, bar.warp
inline constexpr std::uint32_t barrier = 1u << 9;         ///< of a block
inline constexpr std::uint32_t division = 1u << 10;       ///< div and rem
inline constexpr std::uint32_t branch = 1u << 11;
inline constexpr std::uint32_t call = 1u << 12;
inline constexpr std::uint32_t system_scope = 1u << 13;  ///< any access or fence of .sys, membar.sys
}  // namespace ptx_class

/// What the lanes of a warp do together.
enum class ptx_collective : std::uint8_t {
  none,
  sync,
  vote_all,
  vote_any,
  vote_uni,
  vote_ballot,
  shfl_up,
  shfl_down,
  shfl_bfly,
  shfl_idx,
  match_any,
  match_all,
  redux_add_u,
  redux_min_u,
  redux_max_u,
  redux_add_s,
  redux_min_s,
  redux_max_s,
  redux_and,
  redux_or,
  redux_xor,
  elect,
};

struct ptx_instruction {
  ptx_handler run = nullptr;
  ptx_operand dst{}, dst2{}, a{}, b{}, c{}, d{};
  ptx_operand predicate{};  ///< none: always
  std::int64_t offset = 0;  ///< added to the address in `a`
  std::uint32_t target = 0;
  std::uint32_t elements = 0;  ///< first of `count` operands in ptx_function::elements
  std::uint8_t count = 1;
  std::uint8_t lut = 0;
  ptx_space space = ptx_space::generic;
  ptx_collective together = ptx_collective::none;
  std::uint32_t classes = 0;
  std::uint32_t line = 0;
  std::uint32_t opcode = 0;  ///< its text is ptx_module::opcodes[opcode]
  const ptx_function* callee = nullptr;
  std::vector<std::uint32_t> table;    ///< a call's frame offsets of results, then arguments; a brx's targets
  mutable std::uint64_t executed = 0;  ///< since ptx_module::clear_counts(), those that a predicate switched off too
  mutable std::uint64_t switched_off = 0;
  mutable std::uint32_t hint = 0;  ///< where its memory was found last
};

struct ptx_variable {
  std::string name;
  std::uint32_t bytes = 0;
  std::uint32_t alignment = 1;
  std::uint32_t frame_offset = 0;
};

/// An .entry or a .func.
struct ptx_function {
  std::string name;
  bool entry = false;
  bool defined = false;
  std::uint32_t line = 0;
  std::vector<ptx_variable> params;
  std::vector<ptx_variable> results;
  std::vector<ptx_instruction> code;
  std::vector<ptx_operand> elements;
  std::uint32_t registers = 0;    ///< declared, of all types
  std::uint32_t frame_bytes = 0;  ///< parameters, results, arguments of calls and .local
  std::uint32_t shared_bytes = 0;
  std::uint32_t shared_alignment = 16;
  std::uint32_t required_threads = 0;  ///< .reqntid; 0: any

  /// Instructions as written, declarations and labels left out.
  [[nodiscard]] std::size_t static_count() const { return code.size(); }
};

/// A parsed PTX text, with the memory of its .global and .const variables.
struct ptx_module {
  std::string target;
  std::map<std::string, std::unique_ptr<ptx_function>> functions;
  std::map<std::string, std::uint64_t> globals;  ///< name to address
  std::vector<std::string> opcodes;              ///< "ld.acquire.sys.b32" and so on
  std::uint32_t shared_bytes = 0;                ///< .shared of the whole module
  bool dynamic_shared = false;

  [[nodiscard]] const ptx_function& entry(const std::string& name) const {
    for (const auto& [key, f] : functions) {
      // C++ mangles: a plain name is looked for inside too.
      if (f->entry && (key == name || key.find(std::to_string(name.size()) + name) != std::string::npos)) return *f;
    }
    throw ptx_error("no entry " + name);
  }
  void clear_counts() const {
    for (const auto& [key, f] : functions) {
      for (const ptx_instruction& i : f->code) i.executed = i.switched_off = 0;
    }
  }

  /// @param memory holds the module's variables and outlives it
  /// @throws ptx_error naming the line of what is not known
  [[nodiscard]] static std::unique_ptr<ptx_module> parse(const std::string& text, ptx_memory& memory);
};

}  // namespace nkv_test
