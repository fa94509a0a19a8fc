// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/store.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

using namespace nkv;
using target::finished_operations;
using target::store_operation;
using target::store_result;

namespace {

struct counting_waker final : target::waker {
  std::atomic<unsigned> woken{0};
  void wake() noexcept override { woken.fetch_add(1); }
};

}  // namespace

TEST_SUITE("target/store") {
  TEST_CASE("take: nothing, then everything in the order in which it was given") {
    counting_waker w;
    finished_operations f(w);
    CHECK(f.take() == nullptr);
    CHECK(f.idle());
    store_operation ops[5];
    for (store_operation& op : ops) {
      op.home = &f;
      op.finish(store_result::present, 7);
    }
    CHECK(w.woken == 5);
    CHECK(!f.idle());
    store_operation* at = f.take();
    for (store_operation& op : ops) {
      REQUIRE(at == &op);
      CHECK(op.result == store_result::present);
      CHECK(op.true_length == 7);
      at = at->next;
    }
    CHECK(at == nullptr);
    CHECK(f.idle());
  }

  TEST_CASE("give: from several threads while one takes; each arrives once with what was written") {
    constexpr unsigned threads = 4, each = 20000;
    counting_waker w;
    finished_operations f(w);
    std::vector<store_operation> ops(threads * each);
    std::vector<std::thread> givers;
    for (unsigned t = 0; t < threads; ++t)
      givers.emplace_back([&, t] {
        for (unsigned i = 0; i < each; ++i) {
          store_operation& op = ops[t * each + i];
          op.home = &f;
          op.owner = &op;
          op.finish(store_result::ok, t * each + i);
        }
      });
    std::vector<unsigned> last(threads, 0);
    unsigned taken = 0;
    bool ordered = true, right = true;
    while (taken < threads * each) {
      for (store_operation* op = f.take(); op != nullptr; op = op->next) {
        right = right && op->owner == op && op->true_length == static_cast<std::uint64_t>(op - ops.data());
        const auto t = static_cast<unsigned>(op->true_length / each);
        const auto i = static_cast<unsigned>(op->true_length % each) + 1;
        ordered = ordered && i > last[t];
        last[t] = i;
        ++taken;
      }
    }
    for (std::thread& g : givers) g.join();
    CHECK(right);
    CHECK(ordered);
    CHECK(f.idle());
    CHECK(w.woken == threads * each);
  }

  TEST_CASE("idle: true only when the giver is through with its wake-up, so that both may be destroyed") {
    struct slow_waker final : target::waker {
      std::atomic<bool> entered{false}, go{false};
      void wake() noexcept override {
        entered = true;
        while (!go) std::this_thread::yield();
      }
    };
    auto w = std::make_unique<slow_waker>();
    auto f = std::make_unique<finished_operations>(*w);
    store_operation op;
    op.home = f.get();
    std::thread giver([&] { op.finish(store_result::ok, 0); });
    while (!w->entered) std::this_thread::yield();
    CHECK(f->take() == &op);
    CHECK(!f->idle());
    CHECK(f->giving());
    w->go = true;
    while (!f->idle()) std::this_thread::yield();
    CHECK(!f->giving());
    f = nullptr;
    w = nullptr;
    giver.join();
  }
}
