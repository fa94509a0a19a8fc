// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "ptx/kernels/operations.hpp"

#include <nkv/nkv.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace nkv_test {

/// The operations of all users, with their memory, and what is to come of them.
template <class Memory>
class operations_work {
 public:
  enum step : std::uint32_t { store, exist, retrieve, list, execute, touch, remove, exist_after, steps };

  /// @param memory `allocate(name, bytes, alignment)`, `allocate_array<T>(name, count)` for kernels and host threads at
  ///               one address, and `address_of(at)`, by which a controller reaches it
  /// @param head   keys of up to 255 bytes
  operations_work(Memory& memory, std::uint32_t users, std::uint32_t rounds, bool head)
      : users_(users), rounds_(rounds) {
    const std::size_t each = std::size_t{users} * rounds;
    operations_ = memory.template allocate_array<nkv::operation>("operations", each * steps);
    takes_part_ = memory.template allocate_array<std::uint8_t>("who takes part", each * steps);
    outcomes_ = memory.template allocate_array<nkv::outcome>("outcomes", each * steps);
    std::byte* const rooms = memory.allocate("users' memory", each * room, 64);
    for (std::uint32_t u = 0; u < users; ++u) {
      for (std::uint32_t n = 0; n < rounds; ++n) {
        turn& t = turns_.emplace_back();
        t.memory = rooms + (turns_.size() - 1) * room;
        // Every length that there is, of the long keys too.
        const std::uint32_t key_bytes = head ? 8 + (u * 31 + n * 89) % 248 : 8 + (u + n) % 9;
        std::memcpy(t.memory, &u, 4);
        std::memcpy(t.memory + 4, &n, 4);
        for (std::uint32_t i = 8; i < key_bytes; ++i) t.memory[i] = static_cast<std::byte>(i * 7 + u);
        t.key.assign(reinterpret_cast<const char*>(t.memory), key_bytes);
        t.value.resize(1 + (u * 13 + n * 5) % (value_room - 1));
        for (std::size_t i = 0; i < t.value.size(); ++i) t.value[i] = static_cast<char>(u * 3 + n * 17 + i + 1);
        std::memcpy(t.memory + value_at, t.value.data(), t.value.size());
        t.input = "in" + std::to_string(u);
        std::memcpy(t.memory + execute_at + 2 + key_bytes, t.input.data(), t.input.size());
        t.op_id = u % 2 == 0 ? 11 : 12;  // the value, or the input

        const nkv::key_view key(t.memory, key_bytes);
        const auto at = [&](std::size_t from, std::size_t bytes) {
          return nkv::value_ref{memory.address_of(t.memory + from), bytes, 0};
        };
        nkv::store_options options;
        options.must_not_exist = u % 3 == 1;
        options.no_compress = u % 4 == 1;
        options.ephemeral = u % 4 == 2;
        options.ttl_s = u % 4 == 3 ? 60 + u : 0;
        nkv::store_options again;
        again.touch = true;
        again.must_exist = u % 2 == 1;
        again.ttl_s = 9;
        nkv::operation* const ops = operations_ + (turns_.size() - 1) * steps;
        ops[store] = nkv::operation::store(key, at(value_at, t.value.size()), options);
        ops[exist] = nkv::operation::exist(key);
        ops[retrieve] = nkv::operation::retrieve(key, at(buffer_at, value_room));
        ops[list] = nkv::operation::list(key, at(page_at, page_room), t.memory + page_at);
        ops[execute] = nkv::operation::execute(t.op_id, key, at(execute_at, execute_room), t.memory + execute_at,
                                               static_cast<std::uint32_t>(t.input.size()), value_room);
        ops[touch] = nkv::operation::store(key, {}, again);
        ops[remove] = nkv::operation::remove(key);
        ops[exist_after] = nkv::operation::exist(key);
        for (std::uint32_t i = 0; i < steps; ++i) {
          const std::size_t index = (turns_.size() - 1) * steps + i;
          ops[i].user_tag = index + 1000;
          takes_part_[index] = i != remove || (u + n) % 3 != 0;
        }
      }
    }
  }

  [[nodiscard]] operations_job job(std::uint64_t timeout_ns) const {
    operations_job j;
    j.per_user = rounds_ * steps;
    j.timeout_ns = timeout_ns;
    j.operations = operations_;
    j.takes_part = takes_part_;
    j.outcomes = outcomes_;
    return j;
  }
  [[nodiscard]] std::uint64_t commands_of(std::uint32_t u) const {
    std::uint64_t n = 0;
    for (std::size_t i = std::size_t{u} * rounds_ * steps; i < std::size_t{u + 1} * rounds_ * steps; ++i)
      n += takes_part_[i];
    return n;
  }

  /// Goes through what user u did, one operation after the other, and says what ended otherwise than it must.
  /// @param strikes `bool strikes(operation, status)`: whether that may have become of it
  /// @param struck  counts those of which it has
  /// @param stored  what the controller has of the user at the end
  template <class Strikes>
  [[nodiscard]] std::string wrong(std::uint32_t u, const Strikes& strikes, std::uint64_t& struck,
                                  std::map<std::string, std::string>& stored) const {
    for (std::uint32_t n = 0; n < rounds_; ++n) {
      const std::size_t turn_index = std::size_t{u} * rounds_ + n;
      const turn& t = turns_[turn_index];
      bool there = false;
      for (std::uint32_t i = 0; i < steps; ++i) {
        const std::size_t index = turn_index * steps + i;
        const nkv::outcome& o = outcomes_[index];
        const auto bad = [&](const char* text) {
          return "user " + std::to_string(u) + ", round " + std::to_string(n) + ", step " + std::to_string(i) + ": " +
                 text + ", status " + std::to_string(o.status.bits());
        };
        if (o.user_tag != index + 1000) return bad("the tag");
        if (takes_part_[index] == 0) {
          if (!(o.status == nkv::status(nkv::client_status::would_block))) return bad("left out");
          continue;
        }
        if (strikes(operations_[index], o.status)) {
          ++struck;
          continue;
        }
        if (i == list) {
          if (!o.ok() || (first_of_page(t) == t.key) != there) return bad("the page");
          continue;
        }
        const bool needed = i != store && !there;
        if (needed ? !o.status.is_key_does_not_exist() : !o.ok()) return bad("the status");
        if (i == store) there = true;
        if (i == remove) there = false;
        if (needed) continue;
        if (i == retrieve && (o.length_bytes != t.value.size() || bytes(t, buffer_at, t.value.size()) != t.value))
          return bad("the value");
        const std::string& result = t.op_id == 11 ? t.value : t.input;
        if (i == execute && (o.length_bytes != result.size() || bytes(t, execute_at, result.size()) != result))
          return bad("the result");
      }
      if (there) stored[t.key] = t.value;
    }
    return {};
  }

 private:
  static constexpr std::size_t value_room = 96, page_room = 300, execute_room = 400;
  static constexpr std::size_t value_at = 256, buffer_at = 384, page_at = 512, execute_at = 832, room = 1280;

  struct turn {
    std::byte* memory = nullptr;
    std::string key;
    std::string value;
    std::string input;
    std::uint32_t op_id = 0;
  };

  static std::string bytes(const turn& t, std::size_t at, std::size_t count) {
    return {reinterpret_cast<const char*>(t.memory + at), count};
  }
  static std::string first_of_page(const turn& t) {
    std::uint32_t count = 0;
    std::uint16_t length = 0;
    std::memcpy(&count, t.memory + page_at, sizeof count);
    std::memcpy(&length, t.memory + page_at + 4, sizeof length);
    return count == 0 || length > 255 ? std::string() : bytes(t, page_at + 6, length);
  }

  std::uint32_t users_;
  std::uint32_t rounds_;
  nkv::operation* operations_ = nullptr;
  std::uint8_t* takes_part_ = nullptr;
  nkv::outcome* outcomes_ = nullptr;
  std::vector<turn> turns_;
};

/// What groups are asked of some keys, of which the controller is to have those of there(), and what is to come of it.
class asking_work {
 public:
  static constexpr std::uint32_t keys = 75;

  /// @param memory as of operations_work
  /// @param group  how many threads a group has, but for the last
  template <class Memory>
  asking_work(Memory& memory, std::uint32_t threads, std::uint32_t group, std::uint64_t timeout_ns)
      : threads_(threads), group_(group) {
    const std::uint32_t groups = (threads + group - 1) / group;
    job.timeout_ns = timeout_ns;
    job.key_count = keys;
    job.words = (keys + 63) / 64;
    auto* const views = memory.template allocate_array<nkv::key_view>("keys", keys);
    std::byte* const bytes = memory.allocate("bytes of the keys", std::size_t{keys} * 16, 64);
    for (std::uint32_t i = 0; i < keys; ++i) {
      std::memset(bytes + std::size_t{i} * 16, static_cast<int>(i + 1), 16);
      views[i] = nkv::key_view(bytes + std::size_t{i} * 16, 16);
    }
    job.keys = views;
    job.found = memory.template allocate_array<std::uint64_t>("found", groups * job.words);
    job.counted = memory.template allocate_array<std::uint64_t>("counted", threads);
    job.tickets = memory.template allocate_array<nkv::kv_ticket>("tickets", groups * std::size_t{keys});
    job.ended = memory.template allocate_array<std::uint32_t>("ended", threads * std::size_t{keys});
    job.statuses = memory.template allocate_array<std::uint32_t>("statuses", threads * std::size_t{keys});
  }

  static bool there(std::uint32_t i) { return i * i % 7 < 3; }

  /// What is otherwise than it must be; empty for nothing.
  [[nodiscard]] std::string wrong() const {
    std::uint64_t count = 0;
    for (std::uint32_t i = 0; i < keys; ++i) count += there(i) ? 1u : 0u;
    for (std::uint32_t t = 0; t < threads_; ++t) {
      const auto bad = [&](const char* text) { return "thread " + std::to_string(t) + ": " + text; };
      if (job.counted[t] != count) return bad("how many exist");
      std::set<std::uint32_t> indexes;
      for (std::uint32_t n = 0; n < keys; ++n) {
        const std::uint32_t index = job.ended[t * keys + n];
        if (index >= keys || index != job.ended[t / group_ * group_ * keys + n]) return bad("which ended");
        indexes.insert(index);
        const nkv::status s = nkv::status::from_bits(job.statuses[t * keys + n]);
        if (there(index) ? !s.ok() : !s.is_key_does_not_exist()) return bad("how it ended");
      }
      if (indexes.size() != keys) return bad("one ended twice");
    }
    for (std::uint32_t g = 0; g < (threads_ + group_ - 1) / group_; ++g)
      for (std::uint32_t i = 0; i < job.words * 64; ++i)
        if ((job.found[g * job.words + i / 64] >> i % 64 & 1u) != (i < keys && there(i) ? 1u : 0u))
          return "group " + std::to_string(g) + ": which exist";
    return {};
  }

  asking_job job{};

 private:
  std::uint32_t threads_;
  std::uint32_t group_;
};

}  // namespace nkv_test
