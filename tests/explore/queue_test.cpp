// SPDX-License-Identifier: BSD-3-Clause
//
// The queue templates in small configurations, in every order of their accesses that weak_memory allows. Each case
// prints how many executions that were. planted.py shows that what is wrong is found.
#include <explore/explored_queue.hpp>

#include <doctest/doctest.h>

#include <cstdio>
#include <string>

using nkv::exclusive;
using nkv::shared;
using nkv_test::explored_queue;
using nkv_test::explorer;

namespace {

void report(const explorer::report& r, bool to_the_end = true) {
  std::printf("%-60s %9llu executions, %9llu states, %s, %.2f s\n", doctest::getContextOptions()->currentTest->m_name,
              static_cast<unsigned long long>(r.executions), static_cast<unsigned long long>(r.states),
              r.exhausted ? "exhausted" : "not exhausted", r.seconds);
  CHECK_MESSAGE(r.failure.empty(), r.failure, "\n", r.trace);
  if (to_the_end && r.failure.empty()) CHECK(r.exhausted);
}

}  // namespace

TEST_SUITE("explore/queue") {
  TEST_CASE("exclusive, depth 2: one after the other, three times around") {
    explored_queue<exclusive> q({2, 4});
    q.client("client", [&] {
      for (unsigned n = 1; n <= 6; ++n) q.finish(q.submit(n), n);
    });
    q.controller({.commands = 6});
    report(q.search.run({}));
  }
  TEST_CASE("exclusive, depth 4: three outstanding, completed in any order, torn") {
    explored_queue<exclusive> q({4, 4}, 3);
    q.client("client", [&] {
      const nkv::ticket a = q.submit(1), b = q.post(2), c = q.submit(3);
      q.finish(b, 2);
      const nkv::ticket d = q.submit(4);
      q.finish(a, 1);
      q.finish(d, 4);
      q.finish(c, 3);
    });
    q.controller({.commands = 4, .torn = true});
    report(q.search.run({}));
  }

  TEST_CASE("shared, depth 2: two clients for one CID") {
    explored_queue<shared> q({2, 4});
    q.client("client a", [&] { q.finish(q.submit(1), 1); });
    q.client("client b", [&] { q.finish(q.submit(2), 2); });
    q.controller({.commands = 2});
    report(q.search.run({}));
  }
  TEST_CASE("shared, depth 2: two commands each, around both rings, completions as many as fit") {
    explored_queue<shared> q({2, 2}, 1);
    q.client("client a", [&] { q.finish(q.submit(1), 1), q.finish(q.submit(2), 2); });
    q.client("client b", [&] { q.finish(q.submit(3), 3), q.finish(q.submit(4), 4); });
    q.controller({.commands = 4, .torn = true});
    report(q.search.run({.preemptions = 3, .stale_reads = 2}));
  }
  TEST_CASE("shared, depth 2: three clients for one CID") {
    explored_queue<shared> q({2, 4});
    for (unsigned n = 1; n <= 3; ++n) q.client("client " + std::to_string(n), [&q, n] { q.finish(q.submit(n), n); });
    q.controller({.commands = 3});
    report(q.search.run({.preemptions = 2, .stale_reads = 1}));
  }
  TEST_CASE("shared, depth 2: of two with one ticket one has the outcome") {
    explored_queue<shared> q({2, 4});
    unsigned got[2] = {};
    q.client("client a", [&] {
      const nkv::ticket t = q.submit(1);
      nkv::completion c = q.ref.take(t);
      while (c.status == nkv::status(nkv::client_status::would_block)) {
        q.search.pause();
        c = q.ref.take(t);
      }
      got[0] = c.status.ok();
    });
    q.client("client b", [&] {
      // The first command's ticket; stale before and after.
      got[1] = 0;
      for (unsigned i = 0; i < 2; ++i) got[1] += q.ref.take({0, 1}).status.ok();
    });
    q.controller({.commands = 1});
    q.at_end = [&] { return got[0] + got[1] == 1 ? "" : "given to " + std::to_string(got[0] + got[1]); };
    report(q.search.run({}));
  }
  TEST_CASE("shared, depth 4: two clients") {
    explored_queue<shared> q({4, 8});
    q.client("client a", [&] { q.finish(q.submit(1), 1); });
    q.client("client b", [&] { q.finish(q.submit(2), 2); });
    q.controller({.commands = 2});
    report(q.search.run({.preemptions = 3, .stale_reads = 1}));
  }
  TEST_CASE("shared, depth 4: two commands of one client, one doorbell, and another client") {
    explored_queue<shared> q({4, 4}, 3);
    q.client("client a", [&] {
      const nkv::ticket a = q.post(1), b = q.submit(2);
      q.finish(b, 2);
      q.finish(a, 1);
    });
    q.client("client b", [&] { q.finish(q.submit(3), 3); });
    q.controller({.commands = 3, .lazy = false, .out_of_order = false});
    report(q.search.run({.preemptions = 3, .stale_reads = 1}));
  }
  TEST_CASE("shared, depth 2: a cancelled command's CID comes back with its completion") {
    explored_queue<shared> q({2, 2}, 1);
    q.late_completions = 1;
    q.client("client a", [&] {
      const nkv::ticket t = q.submit(1);
      q.search.expect(q.ref.cancel(t).ok(), "a command in flight cannot be cancelled");
      while (!q.ref.quiesced(t)) q.search.pause();
      q.reuse_buffer(1);
    });
    q.client("client b", [&] { q.finish(q.submit(2, true), 2); });
    q.controller({.commands = 2});
    report(q.search.run({.preemptions = 3, .stale_reads = 1}));
  }
  TEST_CASE("shared, depth 2: in one step, and another client") {
    explored_queue<shared> q({2, 2}, 1);
    q.without_scratch = 1u << 1 | 1u << 2;
    q.client("client a", [&] { q.run(1), q.run(2); });
    q.client("client b", [&] { q.finish(q.submit(3), 3); });
    q.controller({.commands = 3});
    report(q.search.run({}));
  }
  TEST_CASE("shared, depth 4: in one step, two clients") {
    explored_queue<shared> q({4, 8});
    q.without_scratch = 1u << 1 | 1u << 2;
    q.client("client a", [&] { q.run(1); });
    q.client("client b", [&] { q.run(2); });
    q.controller({.commands = 2});
    report(q.search.run({.preemptions = 2, .stale_reads = 1}));
  }
  TEST_CASE("shared, depth 4: a turn of two, and another client") {
    explored_queue<shared> q({4, 8}, 3);
    q.without_scratch = 1u << 3;
    q.client("client a", [&] {
      const auto t = q.submit_pair(1);
      q.finish(t[0], 1);
      q.finish(t[1], 2);
    });
    q.client("client b", [&] { q.run(3); });
    q.controller({.commands = 3, .lazy = false, .out_of_order = false});
    report(q.search.run({.preemptions = 2, .stale_reads = 1}));
  }
  TEST_CASE("shared, depth 4: three clients, at random") {
    explored_queue<shared> q({4, 8});
    for (unsigned n = 1; n <= 3; ++n) q.client("client " + std::to_string(n), [&q, n] { q.finish(q.submit(n), n); });
    q.controller({.commands = 3});
    report(q.search.run({.seed = 1, .executions = 40000}), false);
  }
}
