// SPDX-License-Identifier: BSD-3-Clause
// A status converts to bool only where it is asked, so that `if (s == 0)` cannot mean failure by accident.
// expect-error: (invalid operands|no match)
#include <nkv/base/status.hpp>

#ifdef FAIL
bool caller(nkv::status s) { return s == 0; }
#endif
