// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <system/system.hpp>

#include <algorithm>
#include <array>

namespace nkv_test {

/// Who else uses the target.
enum class company { none, behaving, hostile };

/// A client that behaves, at work on a thread of its own beside one that does not: Stores and Retrieves by turns,
/// each of them checked. It loses nothing, or says so.
class steady_client {
 public:
  explicit steady_client(const served& target)
      : controller_(target.connect()),
        memory_(allocate(controller_, 2 * room)),
        ns_(open<nkv::exclusive>(controller_, 1, 16)),
        thread_([this] { work(); }) {}
  steady_client(const steady_client&) = delete;
  steady_client& operator=(const steady_client&) = delete;
  ~steady_client() { end(); }

  /// Whether it gets `rounds` further from now on.
  [[nodiscard]] bool goes_on(std::uint64_t rounds = 20) const {
    const std::uint64_t from = rounds_;
    return becomes([&] { return rounds_ >= from + rounds || wrong_.any(); }) && !wrong_.any();
  }
  /// Durations count as those beside `who` from here on.
  void beside(company who) { beside_ = who; }

  /// Stops it, and checks that nothing of its went wrong.
  void finish() {
    end();
    wrong_.check();
    const auto counters = ns_.ref().queue().counters();
    CHECK(counters.stray_completions == 0);
    CHECK(counters.late_completions == 0);
    CHECK(ns_.ref().queue().outstanding() == 0);
  }
  /// The 99th percentile of a round beside `who`, in ns. After finish().
  [[nodiscard]] std::uint64_t p99_ns(company who) {
    std::vector<std::uint64_t>& all = took_ns_[static_cast<std::size_t>(who)];
    if (all.empty()) return 0;
    const auto at = all.begin() + static_cast<std::ptrdiff_t>(all.size() * 99 / 100);
    std::nth_element(all.begin(), at, all.end());
    return *at;
  }

 private:
  static constexpr std::size_t room = 8192;

  void end() {
    over_ = true;
    if (thread_.joinable()) thread_.join();
  }
  void work() {
    for (std::uint64_t round = 0; !over_ && !wrong_.any(); ++round) {
      const company who = beside_;
      const std::uint64_t begin = nkv::host::steady_clock::now_ns();
      const std::size_t size = 1 + round * 37 % room;
      const outcome o = put(ns_.ref(), "steady", memory_, 0, size, round);
      wrong_.expect(o.ok(), "store", o.status);
      wrong_.expect(holds(ns_.ref(), "steady", memory_, room, size, round), "a Retrieve that gave something else");
      took_ns_[static_cast<std::size_t>(who)].push_back(nkv::host::steady_clock::now_ns() - begin);
      ++rounds_;
    }
  }

  const nkv::host::controller controller_;
  const nkv::host::registration memory_;
  const opened<nkv::exclusive> ns_;
  complaints wrong_;
  std::atomic<bool> over_{false};
  std::atomic<company> beside_{company::none};
  std::atomic<std::uint64_t> rounds_{0};
  std::array<std::vector<std::uint64_t>, 3> took_ns_;
  std::thread thread_;
};

}  // namespace nkv_test
