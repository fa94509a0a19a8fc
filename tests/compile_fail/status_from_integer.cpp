// SPDX-License-Identifier: BSD-3-Clause
// A number is not a status: it could be an errno, a status code or a completion's status field.
// expect-error: conver
#include <nkv/base/status.hpp>

#ifdef FAIL
nkv::status caller() { return 5; }
#endif
