// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <dlfcn.h>

#include <string>

namespace nkv::inline NKV_ABI {
namespace host {

/// A library that is looked for when the program runs, so that one linked without it runs where there is none. Never
/// closed again: a driver does not survive that. A plain value; any thread.
class shared_library {
 public:
  shared_library() noexcept = default;

  /// Opens the first of `names` that is there: for each one, what dlopen() takes.
  /// @return the library; not valid() where there is none, and `why` then says what dlopen() said of the first name
  template <class Names>
  [[nodiscard]] static shared_library open(const Names& names, std::string& why) {
    shared_library l;
    bool first = true;
    for (const char* name : names) {
      l.handle_ = ::dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
      if (l.handle_ != nullptr) return l;
      const char* const said = ::dlerror();
      if (first) why = std::string(name) + " is not there: " + (said != nullptr ? said : "no reason given");
      first = false;
    }
    return l;
  }

  [[nodiscard]] bool valid() const noexcept { return handle_ != nullptr; }

  /// Sets `function` to the symbol `name`, null where there is none. @return whether there is
  template <class Function>
  bool find(Function*& function, const char* name) const noexcept {
    function = reinterpret_cast<Function*>(::dlsym(handle_, name));
    return function != nullptr;
  }

 private:
  void* handle_ = nullptr;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
