// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/span.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

/// What the fuzzers share. Each is one source file over libFuzzer: it includes this, defines write_seeds() and
/// LLVMFuzzerTestOneInput(), and has one `reached` that says what a run must have come to.
namespace nkv_test {

/// An invariant. What does not hold ends the run, and libFuzzer keeps the input.
inline void require(bool holds, const char* what) noexcept {
  if (holds) return;
  std::fprintf(stderr, "\ndoes not hold: %s\n", what);
  std::abort();
}

/// An input, read from its front, so that a prefix of it means the same as it does in the whole; zeros beyond its end.
class fuzz_input {
 public:
  fuzz_input(const std::uint8_t* data, std::size_t size) noexcept : at_(data), left_(size) {}

  [[nodiscard]] std::size_t left() const noexcept { return left_; }
  [[nodiscard]] bool done() const noexcept { return left_ == 0; }

  /// The next integer, little-endian.
  template <class T>
  [[nodiscard]] T take() noexcept {
    static_assert(std::is_integral_v<T>);
    T value{};
    const nkv::byte_span from = bytes(sizeof(T));
    if (!from.empty()) std::memcpy(&value, from.data(), from.size());
    return value;
  }
  [[nodiscard]] unsigned byte() noexcept { return take<std::uint8_t>(); }

  /// The next bytes, fewer at the end.
  [[nodiscard]] nkv::byte_span bytes(std::size_t wanted) noexcept {
    const std::size_t n = wanted < left_ ? wanted : left_;
    const nkv::byte_span out{reinterpret_cast<const std::byte*>(at_), n};
    at_ += n;
    left_ -= n;
    return out;
  }

 private:
  const std::uint8_t* at_;
  std::size_t left_;
};

/// An input in the making.
class seed {
 public:
  template <class T>
  seed& put(T value) {
    static_assert(std::is_integral_v<T>);
    const std::size_t at = bytes_.size();
    bytes_.resize(at + sizeof(value));
    std::memcpy(bytes_.data() + at, &value, sizeof(value));
    return *this;
  }
  seed& u8(unsigned value) { return put(static_cast<std::uint8_t>(value)); }
  seed& u16(unsigned value) { return put(static_cast<std::uint16_t>(value)); }
  seed& u32(std::uint32_t value) { return put(value); }
  seed& u64(std::uint64_t value) { return put(value); }
  seed& text(std::string_view text) {
    bytes_.insert(bytes_.end(), text.begin(), text.end());
    return *this;
  }
  seed& add(const seed& more) {
    bytes_.insert(bytes_.end(), more.bytes_.begin(), more.bytes_.end());
    return *this;
  }
  [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }
  [[nodiscard]] const std::vector<std::uint8_t>& bytes() const noexcept { return bytes_; }

 private:
  std::vector<std::uint8_t> bytes_;
};

/// A folder of seeds.
class seed_folder {
 public:
  explicit seed_folder(std::string path) : path_(std::move(path)) {}
  void add(const seed& s) {
    const std::string name = path_ + "/seed-" + std::to_string(count_++);
    std::FILE* const file = std::fopen(name.c_str(), "wb");
    const bool written = file != nullptr && std::fwrite(s.bytes().data(), 1, s.size(), file) == s.size();
    if (file == nullptr || std::fclose(file) != 0 || !written) {
      std::fprintf(stderr, "%s: cannot be written\n", name.c_str());
      std::_Exit(2);
    }
  }
  void add(std::string_view text) { add(seed{}.text(text)); }

 private:
  std::string path_;
  unsigned count_ = 0;
};

/// Counts what the inputs have come to. At the end of the process it prints `reached: N/M WHAT`, and where the run was
/// one of -runs=N and something was not reached, the process fails.
class reached {
 public:
  reached(const char* what, std::initializer_list<const char*> names) : what_(what) {
    for (const char* name : names) goals_.push_back({name, 0});
  }
  reached(const reached&) = delete;
  reached& operator=(const reached&) = delete;
  ~reached() {
    std::size_t n = 0;
    for (const goal& g : goals_) n += g.count != 0 ? 1 : 0;
    std::fprintf(stderr, "reached: %zu/%zu %s\n", n, goals_.size(), what_);
    for (const goal& g : goals_)
      if (g.count == 0) std::fprintf(stderr, "not reached: %s\n", g.name);
    if (n != goals_.size() && required) std::_Exit(1);
  }

  void operator()(std::size_t i) noexcept { ++goals_[i].count; }
  void operator()(std::string_view name) noexcept {
    for (goal& g : goals_)
      if (name == g.name) ++g.count;
  }

  static inline bool required = false;

 private:
  struct goal {
    const char* name;
    std::uint64_t count;
  };
  const char* what_;
  std::vector<goal> goals_;
};

/// The inputs that a run begins with.
void write_seeds(seed_folder& folder);

}  // namespace nkv_test

/// --write-seeds=FOLDER writes the seeds and ends.
extern "C" [[gnu::used]] inline int LLVMFuzzerInitialize(int* argc, char*** argv) {
  for (int i = 1; i < *argc; ++i) {
    const std::string_view argument = (*argv)[i];
    constexpr std::string_view seeds = "--write-seeds=";
    if (argument.substr(0, seeds.size()) == seeds) {
      nkv_test::seed_folder folder{std::string(argument.substr(seeds.size()))};
      nkv_test::write_seeds(folder);
      std::_Exit(0);
    }
    if (argument.substr(0, 6) == "-runs=") nkv_test::reached::required = true;
  }
  return 0;
}
