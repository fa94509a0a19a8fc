// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace nkv_test {

/// Why a PTX text cannot be taken, or a kernel cannot go on.
struct ptx_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline std::string ptx_hex(std::uint64_t value) {
  char text[24];
  std::size_t n = sizeof text;
  text[--n] = '\0';
  do {
    text[--n] = "0123456789abcdef"[value & 15];
    value >>= 4;
  } while (value != 0);
  return std::string("0x") + &text[n];
}

/// What a kernel and a controller may reach: a register of pieces of this process's own memory. A guest address is the
/// host's address, so host code prepares queues and reads results through ordinary pointers, while whatever a kernel
/// touches outside of what is registered here is an error.
class ptx_memory {
 public:
  /// Called after a kernel stored into a watched piece: where, and how many bytes.
  using watch = std::function<void(std::uint64_t address, std::uint32_t bytes)>;

  struct piece {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    bool kernel_writes = true;
    watch* stored = nullptr;
    std::string name;
  };

  ptx_memory() = default;
  ptx_memory(const ptx_memory&) = delete;
  ptx_memory& operator=(const ptx_memory&) = delete;

  /// Memory of its own, zero, alive as long as this; nothing else is registered within 64 bytes of it.
  std::byte* allocate(const std::string& name, std::size_t bytes, std::size_t alignment = 256) {
    if (alignment < 64) alignment = 64;
    const std::size_t whole = (bytes + 2 * alignment - 1) / alignment * alignment;
    block b{static_cast<std::byte*>(::operator new(whole + alignment, std::align_val_t{alignment})), {alignment}};
    std::memset(b.get(), 0, whole + alignment);
    std::byte* at = b.get() + alignment;
    // What stands around it is no kernel's.
    blocks_.push_back(std::move(b));
    add(name, at, bytes);
    return at;
  }
  template <class T>
  T* allocate_array(const std::string& name, std::size_t count, std::size_t alignment = 256) {
    return reinterpret_cast<T*>(allocate(name, count * sizeof(T), alignment));
  }

  /// What a controller reaches memory by.
  [[nodiscard]] static std::uint64_t address_of(const std::byte* at) { return reinterpret_cast<std::uint64_t>(at); }

  /// Lets kernels and controllers reach memory of the caller's, which outlives this.
  void add(const std::string& name, void* memory, std::size_t bytes) {
    const auto begin = reinterpret_cast<std::uint64_t>(memory);
    const auto at = std::upper_bound(pieces_.begin(), pieces_.end(), begin,
                                     [](std::uint64_t b, const piece& p) { return b < p.begin; });
    if ((at != pieces_.end() && at->begin < begin + bytes) || (at != pieces_.begin() && (at - 1)->end > begin))
      throw ptx_error(name + " overlaps memory that is registered already");
    pieces_.insert(at, {begin, begin + bytes, true, nullptr, name});
  }

  /// Stores of kernels into the piece that begins at `memory` are refused from now on.
  void make_read_only(const void* memory) { piece_at(memory).kernel_writes = false; }

  /// Calls `stored` after each store of a kernel into the piece that begins at `memory`.
  void set_watch(const void* memory, watch stored) {
    watches_.push_back(std::make_unique<watch>(std::move(stored)));
    piece_at(memory).stored = watches_.back().get();
  }

  /// The piece that holds all of [address, address + bytes), or null.
  /// @param hint where it was found last time; updated
  [[nodiscard]] const piece* find(std::uint64_t address, std::uint64_t bytes, std::uint32_t& hint) const {
    if (hint < pieces_.size() && holds(pieces_[hint], address, bytes)) return &pieces_[hint];
    // The last piece that begins at or before the address.
    const auto next = std::upper_bound(pieces_.begin(), pieces_.end(), address,
                                       [](std::uint64_t at, const piece& p) { return at < p.begin; });
    if (next == pieces_.begin() || !holds(*(next - 1), address, bytes)) return nullptr;
    hint = static_cast<std::uint32_t>(next - 1 - pieces_.begin());
    return &pieces_[hint];
  }
  [[nodiscard]] bool holds(std::uint64_t address, std::uint64_t bytes) const {
    std::uint32_t hint = 0;
    return find(address, bytes, hint) != nullptr;
  }

  /// What is known of an address that no access may have, for an error's text.
  [[nodiscard]] std::string describe(std::uint64_t address) const {
    const piece* near = nullptr;
    for (const piece& p : pieces_) {
      if (address + 4096 >= p.begin && address < p.end + 4096 && (near == nullptr || p.begin > near->begin)) near = &p;
    }
    if (near == nullptr) return "nothing is near it";
    const bool before = address < near->begin;
    return std::to_string(before ? near->begin - address : address - near->begin) +
           (before ? " bytes before " : " bytes into ") + near->name + " of " + std::to_string(near->end - near->begin);
  }

 private:
  struct release {
    std::size_t alignment;
    void operator()(std::byte* p) const { ::operator delete(p, std::align_val_t{alignment}); }
  };
  using block = std::unique_ptr<std::byte, release>;

  static bool holds(const piece& p, std::uint64_t address, std::uint64_t bytes) {
    return address >= p.begin && address <= p.end && bytes <= p.end - address;
  }
  piece& piece_at(const void* memory) {
    for (piece& p : pieces_) {
      if (p.begin == reinterpret_cast<std::uint64_t>(memory)) return p;
    }
    throw ptx_error("no registered memory begins there");
  }

  std::vector<piece> pieces_;  ///< by where they begin
  std::vector<block> blocks_;
  std::vector<std::unique_ptr<watch>> watches_;
};

}  // namespace nkv_test
