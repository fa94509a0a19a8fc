// SPDX-License-Identifier: BSD-3-Clause
#define NKV_ABI vendored
#include <nkv/nkv.hpp>

#include <typeinfo>

const std::type_info& vendored_status();
const std::type_info& vendored_status() { return typeid(nkv::vendored::status); }
