// SPDX-License-Identifier: BSD-3-Clause
// A literal's terminating NUL is a byte like any other; whether it belongs to the key has to be said.
// expect-error: conver
#include <nkv/kv/key.hpp>

#ifdef FAIL
nkv::key_view caller() { return "key"; }
#else
nkv::key_view caller() { return nkv::key_view::from_text("key", 3); }
#endif
