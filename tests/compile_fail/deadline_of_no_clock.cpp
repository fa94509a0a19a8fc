// SPDX-License-Identifier: BSD-3-Clause
// expect-error: (constraint|waiting_clock)
#include <nkv/base/deadline.hpp>

struct no_clock {
  static int now_ns();
};

#ifdef FAIL
nkv::deadline<no_clock> until;
#endif
