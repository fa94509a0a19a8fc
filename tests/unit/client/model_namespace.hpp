// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "support/model_controller.hpp"

#include <nkv/host/clock.hpp>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace nkv_test {

inline nkv::host::deadline soon() { return nkv::host::deadline::after_ms(20000); }

template <std::size_t N>
nkv::key_view text_key(const char (&literal)[N]) {
  return nkv::key_view::from_text(literal);
}

/// A KV namespace at the far end of a model controller, small enough to be read at a glance: it follows data pointers
/// byte by byte and keeps values in a map. A thread of its own answers.
template <class Sharing>
class model_namespace {
 public:
  explicit model_namespace(nkv::key_encoding encoding, const std::function<void(nkv::namespace_profile&)>& adjust = {})
      : rig(64, 0, 8192) {
    nkv::namespace_profile p;
    p.nsid = 1;
    p.quirks = nkv::quirks::of(encoding);
    p.quirks.reads_head_without_data_direction = true;
    p.limits.max_key_bytes = encoding == nkv::key_encoding::payload_head ? 255 : 16;
    p.limits.sgl = true;
    if (adjust) adjust(p);
    encoding_ = encoding;
    reads_head_ = p.quirks.reads_head_without_data_direction;
    result_after_head_ = p.quirks.execute_result_after_head;
    ref = {rig.ref, p};
    thread_ = std::thread([this] {
      while (!stop_.load()) {
        if (!hold.load()) {
          rig.controller.fetch();
          // Looked at again behind the fetch: what is submitted once `hold` is set is never answered.
          for (std::size_t i = rig.controller.pending().size(); i-- > 0 && !hold.load();) {
            const nkv::sqe c = rig.controller.pending()[i];
            const bool late = lost_.count(c.cid()) != 0;
            if (late && !answer_lost.load()) continue;
            const auto answered = answer(c, late);
            if (answered) {
              lost_.erase(c.cid());
              rig.controller.complete(i, answered->first, answered->second);
            } else {
              lost_.insert(c.cid());
            }
          }
        }
        rounds_.fetch_add(1);
        std::this_thread::yield();
      }
    });
  }
  ~model_namespace() { end(); }
  model_namespace(const model_namespace&) = delete;
  model_namespace& operator=(const model_namespace&) = delete;

  [[nodiscard]] nkv::value_ref memory(std::vector<std::byte>& v, std::size_t length = ~std::size_t{0}) const {
    return {reinterpret_cast<std::uint64_t>(v.data()), std::min(length, v.size()), 0};
  }

  /// Returns once all that was submitted is answered or lost; for the one thread that submits, without `hold`.
  void await_quiet() const {
    // The first may have begun before the last submission.
    for (const std::uint64_t from = rounds_.load(); rounds_.load() < from + 2;) std::this_thread::yield();
  }

  /// The controller is gone: nothing is written to any more, and the queue knows.
  void fence() {
    end();
    ref.queue().set_liveness(nkv::queue_liveness::fenced);
  }

  queue_rig<Sharing> rig;
  nkv::namespace_ref<typename queue_rig<Sharing>::ref_type> ref;
  std::atomic<bool> hold{false};  ///< commands are left in the ring
  bool answer_short_with_85 = false;
  bool leave_short_buffers = false;  ///< a value longer than the buffer leaves it as it was
  bool reports_length = true;
  bool malformed_list = false;
  std::vector<std::uint8_t> opcodes;  ///< of every command answered; look at it while nothing is in flight
  std::string executed_input;

  /// What becomes of a command.
  enum class fate {
    done,
    refused,           ///< 0/06h, and nothing has changed
    done_yet_refused,  ///< 0/06h, although it was done
    lost,              ///< no answer, and nothing has changed; done and answered once answer_lost is set
    done_yet_lost,     ///< done, without an answer
  };
  /// Asked about every command, on the model's thread; set it while nothing is in flight.
  std::function<fate(nkv::kv_opcode, const std::string& key)> decide;
  std::atomic<bool> answer_lost{false};
  /// What is stored; for use while nothing is in flight, or by `decide`.
  std::map<std::string, std::string>& values() { return values_; }

 private:
  void end() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }

  using bytes = std::vector<std::byte*>;

  /// Every byte that a command's data pointer names, at most `most`.
  static bytes data_of(const nkv::sqe& c, std::size_t most) {
    bytes out;
    const auto add = [&](std::uint64_t address, std::size_t length) {
      for (std::size_t i = 0; i < length && out.size() < most; ++i)
        out.push_back(reinterpret_cast<std::byte*>(address) + i);
    };
    const nkv::data_pointer p = c.dptr();
    if (p.format == nkv::psdt::prp) {
      if (most == 0 || p.low == 0) return out;
      add(p.low, 4096 - p.low % 4096);
      if (out.size() == most) return out;
      if (most - out.size() <= 4096) {
        add(p.high, 4096);
        return out;
      }
      const std::uint64_t* list = reinterpret_cast<const std::uint64_t*>(p.high);
      while (out.size() < most) {
        const bool chain = reinterpret_cast<std::uint64_t>(list) % 4096 == 4088 && most - out.size() > 4096;
        if (chain) {
          list = reinterpret_cast<const std::uint64_t*>(*list);
        } else {
          add(*list++, 4096);
        }
      }
      return out;
    }
    nkv::sgl_descriptor d = p.sgl1();
    if (d.type() == nkv::sgl_type::data_block) {
      add(d.address, d.length_bytes);
      return out;
    }
    const auto* list = reinterpret_cast<const nkv::sgl_descriptor*>(d.address);
    for (std::uint32_t i = 0; i < d.length_bytes / 16; ++i) add(list[i].address, list[i].length_bytes);
    return out;
  }

  static std::string text(const bytes& b, std::size_t from, std::size_t length) {
    std::string s;
    for (std::size_t i = from; i < from + length && i < b.size(); ++i) s.push_back(static_cast<char>(*b[i]));
    return s;
  }

  static std::string head_of(const bytes& b) {
    if (b.size() < 2) return {};
    return text(b, 2, static_cast<std::size_t>(*b[0]) | static_cast<std::size_t>(*b[1]) << 8);
  }

  using answer_type = std::pair<nkv::status, std::uint32_t>;

  std::optional<answer_type> answer(const nkv::sqe& c, bool late) {
    using nkv::status;
    std::string k;
    bytes data;
    const std::optional<answer_type> refused = read(c, k, data);
    if (refused) return refused;
    const fate f = !late && decide ? decide(static_cast<nkv::kv_opcode>(c.opc()), k) : fate::done;
    const answer_type failed = {status(nkv::status_code_type::generic, nkv::generic_status::internal_error), 0};
    if (f == fate::refused || k == "broken") return failed;
    if (f == fate::lost) return std::nullopt;
    const answer_type did = carry_out(c, k, data);
    if (f == fate::done_yet_lost) return std::nullopt;
    return f == fate::done ? did : failed;
  }

  /// Finds key and data of a command. @return the answer of one that has none
  std::optional<answer_type> read(const nkv::sqe& c, std::string& k, bytes& data) {
    using namespace nkv;
    const bool head = encoding_ == key_encoding::payload_head;
    const auto opc = static_cast<kv_opcode>(c.opc());
    opcodes.push_back(c.opc());
    const bool bare = opc == kv_opcode::exist || opc == kv_opcode::remove;
    if (head || opc == kv_opcode::execute) {
      const std::size_t all = bare || opc != kv_opcode::list ? ~std::size_t{0} : c.cdw(10);
      if (!(bare && c.dptr().low == 0))
        data = data_of(c, opc == kv_opcode::execute ? c.cdw(10) + c.cdw(12) + 300 : all);
      k = head_of(data);
    } else {
      data = data_of(c, bare ? 0 : c.cdw(10));
    }
    if (!head || (bare && (c.cdw(11) & 0xff) != 0)) {
      if (opc != kv_opcode::execute) {
        k.clear();
        for (unsigned i = 0; i < (c.cdw(11) & 0xff); ++i)
          k.push_back(static_cast<char>(c.cdw(i < 4 ? 2 : i < 8 ? 3 : i < 12 ? 14 : 15) >> (8 * (i % 4))));
      }
    } else if (bare && !reads_head_) {
      return answer_type(status(status_code_type::generic, generic_status::invalid_field), 0);
    }
    return std::nullopt;
  }

  answer_type carry_out(const nkv::sqe& c, const std::string& k, const bytes& data) {
    using namespace nkv;
    const bool head = encoding_ == key_encoding::payload_head;
    const auto type = head ? status_code_type::command_specific : status_code_type::generic;
    const auto miss = status(type, generic_status::key_does_not_exist);
    const auto opc = static_cast<kv_opcode>(c.opc());
    const bool bare = opc == kv_opcode::exist || opc == kv_opcode::remove;
    const std::size_t at = head && !bare ? 2 + k.size() : 0;
    switch (opc) {
      case kv_opcode::store:
        if ((c.cdw(11) & 0x100) != 0 && values_.count(k) == 0) return {miss, 0};
        if ((c.cdw(11) & 0x200) != 0 && values_.count(k) != 0) return {status(type, generic_status::key_exists), 0};
        values_[k] = text(data, at, c.cdw(10));
        return {{}, 0};
      case kv_opcode::retrieve: {
        const auto v = values_.find(k);
        if (v == values_.end()) return {miss, 0};
        const std::size_t room = data.size() > at ? data.size() - at : 0;
        const bool leave = leave_short_buffers && v->second.size() > room;
        for (std::size_t i = 0; !leave && i < std::min(room, v->second.size()); ++i)
          *data[at + i] = static_cast<std::byte>(v->second[i]);
        const auto length = static_cast<std::uint32_t>(v->second.size());
        if (length > room && answer_short_with_85)
          return {status(status_code_type::generic, generic_status::invalid_value_size), 0};
        if (length > room && head)
          return {status(status_code_type::command_specific, command_status::value_truncated), length};
        return {{}, reports_length ? length : 0};
      }
      case kv_opcode::exist: return {values_.count(k) != 0 ? status{} : miss, 0};
      case kv_opcode::remove: values_.erase(k); return {{}, 0};
      case kv_opcode::list: {
        std::vector<std::byte> page(4);
        std::uint32_t count = 0;
        for (auto v = values_.lower_bound(k); v != values_.end(); ++v) {
          const std::size_t entry = (2 + v->first.size() + 3) / 4 * 4;
          if (page.size() + entry > data.size()) break;
          const std::size_t from = page.size();
          page.resize(from + entry);
          store_le(page.data() + from, static_cast<std::uint16_t>(v->first.size()));
          std::memcpy(page.data() + from + 2, v->first.data(), v->first.size());
          ++count;
        }
        store_le(page.data(), malformed_list ? count + 1000 : count);
        for (std::size_t i = 0; i < page.size() && i < data.size(); ++i) *data[i] = page[i];
        return {{}, 0};
      }
      case kv_opcode::execute: {
        const auto v = values_.find(k);
        if (v == values_.end()) return {miss, 0};
        executed_input = text(data, 2 + k.size(), c.cdw(10) - 2 - k.size());
        const std::size_t out = result_after_head_ ? 2 + k.size() : 0;
        for (std::size_t i = 0; i < std::min<std::size_t>(c.cdw(12), v->second.size()); ++i)
          *data[out + i] = static_cast<std::byte>(v->second[i]);
        return {{}, static_cast<std::uint32_t>(v->second.size())};
      }
      default: return {status(status_code_type::generic, generic_status::invalid_opcode), 0};
    }
  }

  nkv::key_encoding encoding_{};
  bool reads_head_ = false;
  bool result_after_head_ = false;
  std::map<std::string, std::string> values_;
  std::set<std::uint16_t> lost_;
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> rounds_{0};
  std::thread thread_;
};

}  // namespace nkv_test
