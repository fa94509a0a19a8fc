// SPDX-License-Identifier: BSD-3-Clause
// expect-error: unused-result|nodiscard
#include <nkv/base/status.hpp>

nkv::status operation();

void caller() {
#ifdef FAIL
  operation();
#endif
}
