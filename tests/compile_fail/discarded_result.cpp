// SPDX-License-Identifier: BSD-3-Clause
// expect-error: unused-result|nodiscard
#include <nkv/base/result.hpp>

nkv::result<int> operation();

void caller() {
#ifdef FAIL
  operation();
#endif
}
