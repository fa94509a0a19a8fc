// SPDX-License-Identifier: BSD-3-Clause
// expect-error: conver
#include <nkv/base/span.hpp>

#ifdef FAIL
nkv::mutable_byte_span caller(nkv::byte_span bytes) { return bytes; }
#endif
