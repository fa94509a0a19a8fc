// SPDX-License-Identifier: BSD-3-Clause
// expect-error: nkv::result holds trivially copyable types; include <nkv/host/result.hpp>
#include <nkv/base/result.hpp>

#include <string>

#ifdef FAIL
nkv::result<std::string> operation();
void caller() { static_cast<void>(operation().has_value()); }
#endif
