// SPDX-License-Identifier: BSD-3-Clause
//
// The target's side of what barriers.cpp has, for barriers.py: the functions are the library's own.
#include <nkv/base/status.hpp>
#include <nkv/target/controller.hpp>
#include <nkv/target/poller.hpp>

nkv::status start(nkv::target::poller& p);
unsigned poll(nkv::target::controller& c);

nkv::status start(nkv::target::poller& p) { return p.start(); }
unsigned poll(nkv::target::controller& c) { return c.poll(); }
