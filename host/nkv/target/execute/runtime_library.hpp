// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/host/memory/shared_library.hpp>
#include <nkv/target/execute/execute_runtime.hpp>

#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target {

#define NKV_TEXT_OF(x) #x
#define NKV_TEXT(x) NKV_TEXT_OF(x)
/// What both sides of a shared library have to agree on: these headers' version, and the C++ library's layout.
inline constexpr std::string_view runtime_abi = NKV_TEXT(NKV_ABI) "/"
#if defined(_GLIBCXX_USE_CXX11_ABI)
    "libstdc++" NKV_TEXT(_GLIBCXX_USE_CXX11_ABI);
#else
    "libc++";
#endif
#undef NKV_TEXT
#undef NKV_TEXT_OF

// NOLINTBEGIN(bugprone-macro-parentheses): a type and no expression
/// Makes a type that is an execute_runtime and needs no arguments the one that a shared library brings; once in one of
/// its sources, outside every namespace.
#define NKV_EXECUTE_RUNTIME(type)                                                                         \
  extern "C" __attribute__((visibility("default"))) void* nkv_execute_runtime(const char* abi) noexcept { \
    if (::nkv::target::runtime_abi != abi) return nullptr;                                                \
    ::nkv::target::execute_runtime* const made = new (::std::nothrow) type;                               \
    return made;                                                                                          \
  }
// NOLINTEND(bugprone-macro-parentheses)

/// Opens an engine that comes as a shared library, for good: see NKV_EXECUTE_RUNTIME. It is the program's from then on,
/// with all that it may do. Any thread.
/// @param path of the file
/// @param[out] why what is wrong with it
/// @return the runtime, or null
[[nodiscard]] inline std::shared_ptr<execute_runtime> open_runtime(const std::string& path, std::string& why) {
  const host::shared_library library = host::shared_library::open(std::vector{path.c_str()}, why);
  if (!library.valid()) return nullptr;
  void* (*make)(const char*) noexcept = nullptr;
  if (!library.find(make, "nkv_execute_runtime")) {
    why = path + " brings no runtime for Execute";
    return nullptr;
  }
  std::shared_ptr<execute_runtime> out(static_cast<execute_runtime*>(make(runtime_abi.data())));
  if (out == nullptr) why = path + " was made for another version of nkv than " + std::string(runtime_abi);
  return out;
}

}  // namespace target
}  // namespace nkv::inline NKV_ABI
