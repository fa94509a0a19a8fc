// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "ptx/ptx_instruction.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace nkv_test {

/// An operand as it stands in the text: its parts are still names.
struct ptx_argument {
  enum class form : std::uint8_t { plain, vector, address, list };
  form is = form::plain;
  std::vector<ptx_operand> parts;  ///< plain: one, or two for `d|p`; vector: its elements
  std::int64_t offset = 0;         ///< address
  std::vector<std::string> names;  ///< list: what a call passes; plain: the name of a label or function
};

/// Turns an opcode such as "ld.acquire.sys.b32" and its operands into an instruction; what a call or a branch names is
/// left to the caller.
/// @throws ptx_error for anything not known, without the line
void ptx_decode(const std::string& opcode, const std::vector<ptx_argument>& arguments, ptx_function& function,
                ptx_instruction& out);

}  // namespace nkv_test
