// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/nkv.hpp>

int second() { return nkv::result<int>(7).value_or(0); }
