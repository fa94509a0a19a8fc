// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/controller/controller.hpp>
#include <nkv/host/controller/controller_options.hpp>
#include <nkv/host/endpoint.hpp>
#include <nkv/host/inproc/inproc_transport.hpp>
#include <nkv/host/memory_transport.hpp>
#include <nkv/host/result.hpp>
#include <nkv/host/vfio_user/vfio_user_transport.hpp>
#include <nkv/spec/status_code.hpp>

#include <memory>
#include <string_view>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace host {

/// How a target is reached and its controller brought up.
struct connect_options {
  controller_options controller{};
  vfio_user_options vfio_user{};
};

/// The way to the controller at `where`, not brought up yet.
/// @return it; client/unsupported for a transport that this version does not have; what inproc_transport::connect and
///         vfio_user_transport::connect return
[[nodiscard]] inline host::result<std::unique_ptr<memory_transport>> open_transport(const endpoint& where,
                                                                                    const connect_options& options,
                                                                                    deadline until) {
  switch (where.kind) {
    case endpoint::transport_kind::inproc: {
      host::result<std::unique_ptr<inproc_transport>> t = inproc_transport::connect(where.name, until);
      if (!t) return t.error();
      return std::unique_ptr<memory_transport>(*std::move(t));
    }
    case endpoint::transport_kind::vfio_user: {
      host::result<std::unique_ptr<vfio_user_transport>> t =
          vfio_user_transport::connect(where.path, until, options.vfio_user);
      if (!t) return t.error();
      return std::unique_ptr<memory_transport>(*std::move(t));
    }
    default: return status{client_status::unsupported};
  }
}

/// Connects to the target at `where` and brings up a controller of it.
/// @return the controller; what open_transport() and controller::attach() return
[[nodiscard]] inline host::result<controller> connect(const endpoint& where, const connect_options& options = {},
                                                      deadline until = default_deadline()) {
  host::result<std::unique_ptr<memory_transport>> transport = open_transport(where, options, until);
  if (!transport) return transport.error();
  return controller::attach(*std::move(transport), options.controller, until);
}

/// The same from an endpoint string, see endpoint.
/// @return also client/bad_argument for a string that is none; endpoint::parse() says what is wrong with it
[[nodiscard]] inline host::result<controller> connect(std::string_view where, const connect_options& options = {},
                                                      deadline until = default_deadline()) {
  const host::result<endpoint> parsed = endpoint::parse(where);
  if (!parsed) return parsed.error();
  return connect(*parsed, options, until);
}

}  // namespace host
}  // namespace nkv::inline NKV_ABI
