// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/spec/status_code.hpp>

#include <errno.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target {

/// What a controller does to client memory.
enum class dma_access : std::uint8_t { read = 1, write = 2, read_write = 3 };

/// Client memory that a controller may reach: where the client says it is, and where it is in this process.
struct dma_region {
  std::uint64_t iova = 0;
  std::uint64_t length_bytes = 0;
  std::byte* local = nullptr;
  bool readable = true;  ///< the controller may read it
  bool writable = true;  ///< the controller may write it
};

/// Copies what a client may be changing at this moment into private memory. After it only the copy counts: the compiler
/// may not look at the original again, which it could otherwise take to be the same.
inline void copy_once(void* to, const void* from, std::size_t bytes) noexcept {
  std::memcpy(to, from, bytes);
  __asm__ volatile("" ::: "memory");
}

/// The regions of one client, and the only way from an address in a command to a pointer.
///
/// Holds no lock: everything on the poller's thread, where both commands and changes of the map are handled.
class dma_map {
 public:
  explicit dma_map(std::size_t max_regions = 4096) noexcept : max_regions_(max_regions) {}

  /// Adds a region. The memory stays valid until the region is removed and no command uses it any more.
  /// An identical repeat is success and changes nothing.
  /// @return system_error with EINVAL for length 0, a null pointer, no access at all, or an end beyond 2^64;
  ///         EEXIST for an overlap; ENOSPC where there are as many as allowed; ENOMEM
  [[nodiscard]] status add(const dma_region& region) {
    if (region.length_bytes == 0 || region.local == nullptr || !(region.readable || region.writable) ||
        region.length_bytes - 1 > ~std::uint64_t{0} - region.iova ||
        region.length_bytes - 1 > UINTPTR_MAX - reinterpret_cast<std::uintptr_t>(region.local))
      return error(EINVAL);
    const auto next = first_after(region.iova);
    if (next != regions_.begin()) {
      const dma_region& before = *(next - 1);
      if (same(before, region)) return {};
      if (region.iova - before.iova < before.length_bytes) return error(EEXIST);
    }
    if (next != regions_.end() && next->iova - region.iova < region.length_bytes) return error(EEXIST);
    if (regions_.size() >= max_regions_) return error(ENOSPC);
    regions_.insert(next, region);
    last_hit_ = 0;
    return {};
  }

  /// Takes away exactly the region that was added with this address and length.
  /// @param[out] removed what it was; unchanged on failure
  /// @return not_found
  [[nodiscard]] status remove(std::uint64_t iova, std::uint64_t length_bytes, dma_region* removed = nullptr) noexcept {
    const auto next = first_after(iova);
    if (next == regions_.begin()) return client_status::not_found;
    const auto at = next - 1;
    if (at->iova != iova || at->length_bytes != length_bytes) return client_status::not_found;
    if (removed != nullptr) *removed = *at;
    regions_.erase(at);
    last_hit_ = 0;
    return {};
  }

  void clear() noexcept {
    regions_.clear();
    last_hit_ = 0;
  }

  /// The memory at [iova, iova + length_bytes).
  /// @return its address here, or null where it is not within one region that allows `want`. For length 0: the address
  ///         where iova itself is inside such a region
  [[nodiscard]] std::byte* translate(std::uint64_t iova, std::uint64_t length_bytes, dma_access want) const noexcept {
    if (last_hit_ < regions_.size()) {
      const dma_region& r = regions_[last_hit_];
      if (inside(r, iova, length_bytes)) return allows(r, want) ? r.local + (iova - r.iova) : nullptr;
    }
    const auto next = std::upper_bound(regions_.begin(), regions_.end(), iova,
                                       [](std::uint64_t a, const dma_region& r) { return a < r.iova; });
    if (next == regions_.begin()) return nullptr;
    const auto at = next - 1;
    if (!inside(*at, iova, length_bytes) || !allows(*at, want)) return nullptr;
    last_hit_ = static_cast<std::size_t>(at - regions_.begin());
    return at->local + (iova - at->iova);
  }

  /// In the order of their addresses. Valid until the next change.
  [[nodiscard]] span<const dma_region> regions() const noexcept { return {regions_.data(), regions_.size()}; }

 private:
  static status error(int e) noexcept { return {client_status::system_error, static_cast<std::uint16_t>(e)}; }

  static bool same(const dma_region& a, const dma_region& b) noexcept {
    return a.iova == b.iova && a.length_bytes == b.length_bytes && a.local == b.local && a.readable == b.readable &&
           a.writable == b.writable;
  }
  // Differences only: no sum can overflow.
  static bool inside(const dma_region& r, std::uint64_t iova, std::uint64_t length_bytes) noexcept {
    const std::uint64_t offset = iova - r.iova;
    return offset < r.length_bytes && length_bytes <= r.length_bytes - offset;
  }
  static bool allows(const dma_region& r, dma_access want) noexcept {
    const auto bits = static_cast<unsigned>(want);
    return ((bits & 1u) == 0 || r.readable) && ((bits & 2u) == 0 || r.writable);
  }
  std::vector<dma_region>::iterator first_after(std::uint64_t iova) noexcept {
    return std::upper_bound(regions_.begin(), regions_.end(), iova,
                            [](std::uint64_t a, const dma_region& r) { return a < r.iova; });
  }

  std::size_t max_regions_;
  std::vector<dma_region> regions_;
  mutable std::size_t last_hit_ = 0;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
