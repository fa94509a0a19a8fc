// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "nkv/session.hpp"

#include <cstdint>
#include <string>

namespace tools {

/// Reads a file, or standard input for "-", straight into memory that the target reaches.
/// @param offset_bytes left free in front
/// @param most         more is refused before anything is sent
/// @return the memory; length_bytes counts what was read, not the offset
[[nodiscard]] session::value read_input(const session& s, const std::string& file, std::uint64_t offset_bytes,
                                        std::uint64_t most);

/// Writes to a file, replacing it, or to standard output for "-".
void write_output(const std::string& file, nkv::byte_span bytes);

}  // namespace tools
