// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

namespace bench {

/// How often the calling thread has asked for memory: malloc and its like, operator new with them. 0 for ever where the
/// C library cannot be counted, see allocations_counted().
[[nodiscard]] std::uint64_t allocations_of_this_thread() noexcept;
[[nodiscard]] bool allocations_counted() noexcept;

}  // namespace bench
