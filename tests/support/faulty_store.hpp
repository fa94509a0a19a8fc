// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/target/memory_store.hpp>
#include <nkv/target/scatter_list.hpp>
#include <nkv/target/store.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace nkv_test {

/// A memory_store that holds operations back at random, by up to 40 ms and in no order, and that writes what it
/// acknowledges to a file, so that a process that is killed and started again has lost nothing. The value of the key
/// `delays` is how many operations all stores of the process have held back, in 8 bytes.
///
/// It can be told to lie, one time in many, so that a test that watches it can be seen to fail.
class faulty_store final : public nkv::target::store {
 public:
  enum class lie_type {
    none,
    loses,      ///< acknowledges a Store and does not do it
    forgets,    ///< does not write to its file
    mixes,      ///< gives another key's value
    tears,      ///< gives a value one byte of which is wrong
    scribbles,  ///< writes into a Retrieve's buffer after it has ended
    swallows,   ///< never answers
  };
  static constexpr const char* lie_names[] = {"none", "loses", "forgets", "mixes", "tears", "scribbles", "swallows"};

  faulty_store(std::string file, std::string_view lie)
      : lie_(static_cast<lie_type>(std::find(std::begin(lie_names), std::end(lie_names), lie) - lie_names)),
        dice_(std::random_device{}()) {
    const std::map<std::string, std::string> kept = read(file);
    // Written anew, or it would grow for ever.
    ::unlink((file + ".new").c_str());
    file_ = ::open((file + ".new").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    for (const auto& [key, value] : kept) {
      append(key, value, false);
      nkv::mutable_byte_span piece(const_cast<std::byte*>(bytes_of(value)), value.size());
      nkv::target::store_operation op;
      op.verb = nkv::target::store_verb::store;
      op.key = {bytes_of(key), key.size()};
      op.data = {&piece, 1};
      op.data_bytes = value.size();
      run(op);
    }
    ::rename((file + ".new").c_str(), file.c_str());
    worker_ = std::thread([this] { work(); });
  }
  ~faulty_store() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_one();
    worker_.join();
    ::close(file_);
  }

  [[nodiscard]] nkv::target::progress submit(nkv::target::store_operation& op) noexcept override {
    {
      const std::lock_guard lock(mutex_);
      if (op.verb == nkv::target::store_verb::retrieve && text_of(op.key) == "delays") {
        const std::uint64_t n = delays_;
        nkv::target::scatter_cursor{}.write(op.data, reinterpret_cast<const std::byte*>(&n), sizeof n);
        op.result = nkv::target::store_result::ok;
        op.true_length = sizeof n;
        return nkv::target::progress::done;
      }
      if (const auto what = dice_() % 100; what >= 70) {
        const unsigned most_us = what < 96 ? 1500 : 40'000;
        ++delays_;
        held_.push_back({&op, clock::now() + std::chrono::microseconds(dice_() % most_us)});
        changed_.notify_one();
        return nkv::target::progress::later;
      }
    }
    perform(op);
    return nkv::target::progress::done;
  }
  void cancel(nkv::target::store_operation& op) noexcept override {
    {
      const std::lock_guard lock(mutex_);
      const auto at = std::find_if(held_.begin(), held_.end(), [&](const held& h) { return h.op == &op; });
      // Not every wish is granted.
      if (at == held_.end() || dice_() % 2 == 0) return;
      held_.erase(at);
    }
    op.finish(nkv::target::store_result::aborted, 0);
  }

  [[nodiscard]] std::uint64_t max_value_bytes() const noexcept override { return memory_.max_value_bytes(); }
  [[nodiscard]] nkv::target::store_usage usage() const noexcept override { return memory_.usage(); }

 private:
  using clock = std::chrono::steady_clock;
  struct held {
    nkv::target::store_operation* op;
    clock::time_point due;
  };
  /// What stands in the file in front of a key and its value.
  struct record {
    std::uint32_t key_bytes, value_bytes, removed;
  };

  static const std::byte* bytes_of(const std::string& text) noexcept {
    return reinterpret_cast<const std::byte*>(text.data());
  }
  static std::string text_of(nkv::byte_span from) { return {reinterpret_cast<const char*>(from.data()), from.size()}; }

  static std::map<std::string, std::string> read(const std::string& file) {
    std::map<std::string, std::string> kept;
    std::ifstream in(file, std::ios::binary);
    const std::string all{std::istreambuf_iterator<char>(in), {}};
    record r{};
    // The last record is not whole where its writer was killed: it was not acknowledged.
    for (std::size_t at = 0; all.size() - at >= sizeof r;) {
      std::memcpy(&r, all.data() + at, sizeof r);
      at += sizeof r;
      if (all.size() - at < std::size_t{r.key_bytes} + r.value_bytes) break;
      const std::string key = all.substr(at, r.key_bytes);
      if (r.removed != 0)
        kept.erase(key);
      else
        kept[key] = all.substr(at + r.key_bytes, r.value_bytes);
      at += std::size_t{r.key_bytes} + r.value_bytes;
    }
    return kept;
  }

  void append(const std::string& key, const std::string& value, bool removed) noexcept {
    const record r{static_cast<std::uint32_t>(key.size()), static_cast<std::uint32_t>(value.size()), removed};
    const std::string all = std::string(reinterpret_cast<const char*>(&r), sizeof r) + key + value;
    static_cast<void>(::write(file_, all.data(), all.size()) < 0);
  }

  void run(nkv::target::store_operation& op) noexcept {
    nkv::target::progress p = memory_.submit(op);
    while (p == nkv::target::progress::more) p = memory_.proceed(op);
  }

  bool lies(lie_type how, unsigned one_in) noexcept { return lie_ == how && ++chances_ % one_in == 0; }

  /// Does it, and writes down what it changed: one at a time, so that the file has the memory's order.
  void perform(nkv::target::store_operation& op) noexcept {
    const std::lock_guard lock(performing_);
    const bool stores = op.verb == nkv::target::store_verb::store;
    const bool retrieves = op.verb == nkv::target::store_verb::retrieve;
    if (stores && lies(lie_type::loses, 50)) {
      op.result = nkv::target::store_result::ok;
      return;
    }
    const nkv::byte_span key = op.key;
    const std::string other = last_key_;
    if (retrieves && lies(lie_type::mixes, 50)) op.key = {bytes_of(other), other.size()};
    run(op);
    op.key = key;
    if (op.result != nkv::target::store_result::ok) return;
    if (retrieves) last_key_ = text_of(key);
    if (retrieves && lies(lie_type::tears, 50) && op.true_length > 100 && op.data_bytes > 100)
      *op.data[0].data() ^= std::byte{1};
    if ((!stores && op.verb != nkv::target::store_verb::remove) || lie_ == lie_type::forgets) return;
    std::string value(stores ? op.data_bytes : 0, '\0');
    if (stores) nkv::target::scatter_cursor{}.read(op.data, reinterpret_cast<std::byte*>(value.data()), value.size());
    append(text_of(key), value, !stores);
  }

  void work() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      const auto first =
          std::min_element(held_.begin(), held_.end(), [](const held& a, const held& b) { return a.due < b.due; });
      if (first == held_.end()) {
        changed_.wait(lock);
        continue;
      }
      if (first->due > clock::now()) {
        changed_.wait_until(lock, clock::time_point(first->due));
        continue;
      }
      nkv::target::store_operation& op = *first->op;
      held_.erase(first);
      if (lies(lie_type::swallows, 100)) continue;
      lock.unlock();
      std::byte* const buffer = op.verb == nkv::target::store_verb::retrieve ? op.data[0].data() : nullptr;
      perform(op);
      op.finish(op.result, op.true_length);
      if (buffer != nullptr && lies(lie_type::scribbles, 20)) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        *buffer = std::byte{0x5a};
      }
      lock.lock();
    }
  }

  inline static std::atomic<std::uint64_t> delays_{0};

  const lie_type lie_;
  nkv::target::memory_store memory_;
  int file_ = -1;

  std::mutex performing_;
  std::string last_key_;  ///< that had a value
  unsigned chances_ = 0;  ///< to lie

  std::mutex mutex_;
  std::condition_variable changed_;
  std::minstd_rand dice_;
  std::vector<held> held_;
  bool stopping_ = false;
  std::thread worker_;
};

}  // namespace nkv_test
