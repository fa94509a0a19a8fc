// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/status.hpp>
#include <nkv/host/describe.hpp>

#include <stdexcept>
#include <string>

namespace bench {

/// Why a measurement cannot be made, or is worth nothing. The message is for people.
class failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  failure(const std::string& what, nkv::status s) : std::runtime_error(what + ": " + nkv::host::describe(s)) {}
};

}  // namespace bench
