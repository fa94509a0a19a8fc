// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/span.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target {

/// An operation that is built into the program and that Execute runs beside a value: it reads the value and the
/// command's input, and only its result goes to the client.
struct near_data_operation {
  /// The value and the input are private copies. The result is as long as what is returned; it goes out as far as the
  /// command has room. Called on the thread that drives the command's controller, so it ends soon, and throws nothing;
  /// by several such threads at once where clients share the namespace.
  std::function<std::vector<std::byte>(byte_span value, byte_span input)> run;
  /// Of the longest value that it takes: that much memory a command.
  std::uint64_t max_value_bytes = std::uint64_t{1} << 20;
};

/// One Execute under way.
struct near_data_run {
  const near_data_operation* operation = nullptr;
  std::unique_ptr<std::byte[]> value;
  mutable_byte_span room{};  ///< all of `value`
  std::vector<std::byte> input;
  std::uint32_t result_bytes = 0;  ///< most that the client wants
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
