// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/target_options.hpp>

#include <doctest/doctest.h>

#include <cstdint>

TEST_SUITE("target/target_options") {
  TEST_CASE("defaults: nothing is served, a socket is its owner's alone, only sealed memory is taken") {
    const nkv::target::target_options options;
    CHECK(options.subsystems.empty());
    CHECK(options.listeners.empty());
    const nkv::target::listener_options listener;
    CHECK(listener.socket_mode == 0600);
    CHECK_FALSE(listener.accept_unsealed);
    CHECK_FALSE(listener.accept_dma_buf);
    CHECK(listener.max_clients == 256);
    const nkv::target::configured_subsystem subsystem;
    CHECK(subsystem.controller.max_io_queue_pairs == 64);
    CHECK(subsystem.controller.max_transfer_bytes >= std::uint64_t{128} << 20);
  }
}
