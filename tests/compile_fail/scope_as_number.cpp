// SPDX-License-Identifier: BSD-3-Clause
// The scope of an atomic access is a type at the call, so that no back end can take one for another.
// expect-error: (no matching function|conver)
#include <nkv/base/atomic.hpp>

#ifdef FAIL
unsigned caller(const unsigned* p) { return nkv::native_atomics::load_acquire(p, 3); }
#else
unsigned caller(const unsigned* p) { return nkv::native_atomics::load_acquire(p, nkv::system_scope); }
#endif
