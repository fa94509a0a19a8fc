// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/device/device.hpp>

#include <cstddef>

using namespace_ref = nkv::device::namespace_ref<nkv::shared>;

/// Everything as the device reaches it.
void launch(const namespace_ref& ns, const std::byte* key, nkv::value_ref value, unsigned* failures);
