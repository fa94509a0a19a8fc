// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/host/controller/controller.hpp>
#include <support/scripted_controller.hpp>

#include <sys/mman.h>

#include <cstdint>
#include <memory>

namespace nkv_test {

using script_ptr = std::shared_ptr<script>;

inline host::deadline soon(std::uint64_t ms = 2000) { return host::deadline::after_ms(ms); }

/// Brings up a controller over a script.
inline host::result<host::controller> attach(const script_ptr& s, host::deadline until = soon(),
                                             const host::controller_options& options = {}) {
  return host::controller::attach(std::make_unique<scripted_transport>(s), options, until);
}

inline script::answer generic(std::uint8_t sc) { return {{status_code_type::generic, sc}, 0, false}; }
inline bool is_admin(const sqe& c, admin_opcode opc) { return c.opc() == static_cast<std::uint8_t>(opc); }
inline std::uint8_t cns_of(const sqe& c) { return static_cast<std::uint8_t>(c.cdw(10)); }
/// Whether there is memory at this address of the process.
inline bool mapped(std::uintptr_t at) { return ::msync(reinterpret_cast<void*>(at), 4096, MS_ASYNC) == 0; }

}  // namespace nkv_test
