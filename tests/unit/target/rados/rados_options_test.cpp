// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/rados/rados_options.hpp>

#include <doctest/doctest.h>

TEST_SUITE("target/rados/rados_options") {
  TEST_CASE("by default: the credits are less than what an Objecter of the default configuration blocks at") {
    const nkv::target::rados_cluster_options o;
    CHECK(o.max_operations < 1024);
    CHECK(o.max_bytes < 100u << 20);
    CHECK(o.op_timeout_s != 0);
    CHECK(o.mon_timeout_s != 0);
  }
}
