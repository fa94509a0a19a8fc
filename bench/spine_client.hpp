// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "failure.hpp"
#include "spine_load.hpp"

#include <nkv/client/batch.hpp>
#include <nkv/client/namespace_ref.hpp>
#include <nkv/client/operation.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/controller/kv_namespace.hpp>
#include <nkv/kv/key.hpp>
#include <nkv/kv/value_ref.hpp>
#include <nkv/queue/sharing.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bench {

using namespace_ref = nkv::host::kv_namespace<nkv::exclusive>::ref_type;

/// What the three ways of asking have in common: which memory an operation uses, and whether it went well.
///
/// @tparam What known when it is compiled, as in a caller's own code
template <verb What>
class client_port {
 public:
  client_port(const load& l, const namespace_ref& ns, std::byte* local, std::uint64_t address)
      : load_(l), ns_(ns), local_(local), address_(address), indices_(l.depth) {}

  /// Throws failure where an operation did not do what it should.
  void check() const {
    if (failures_ != 0) throw failure(load_.name() + ": " + std::to_string(failures_) + " operations failed", first_);
  }

 protected:
  [[nodiscard]] nkv::operation operation_of(const made_key& k, std::uint32_t index) const noexcept {
    const nkv::key_view key(reinterpret_cast<const std::byte*>(k.words), sizeof k.words);
    const std::uint64_t offset = std::uint64_t{index} * load_.block_bytes;
    const nkv::value_ref value{address_ + offset, load_.block_bytes, 0};
    if constexpr (What == verb::exist) {
      return nkv::operation::exist(key);
    } else if constexpr (What == verb::retrieve) {
      return nkv::operation::retrieve(key, value);
    } else {
      return nkv::operation::store(key, value);
    }
  }
  void before(std::uint32_t slot, std::uint32_t index) noexcept {
    indices_[slot] = index;
    if (What == verb::store && load_.touched)
      write_lines(local_ + std::size_t{index} * load_.block_bytes, load_.block_bytes, index);
  }
  void after(std::uint32_t slot, const nkv::outcome& o) noexcept {
    if (!o.ok() || (What == verb::retrieve && o.length_bytes != load_.block_bytes)) [[unlikely]] {
      if (failures_++ == 0) first_ = o.status;
    }
    if (What == verb::retrieve && load_.touched)
      read_lines(local_ + std::size_t{indices_[slot]} * load_.block_bytes, load_.block_bytes);
  }

  load load_;
  namespace_ref ns_;
  std::byte* local_;
  std::uint64_t address_;
  std::vector<std::uint32_t> indices_;

 private:
  std::uint64_t failures_ = 0;
  nkv::status first_{};
};

/// submit() without ringing, ring(), poll().
template <verb What>
class ticket_port : public client_port<What> {
  using base = client_port<What>;

 public:
  ticket_port(const load& l, const namespace_ref& ns, std::byte* local, std::uint64_t address)
      : base(l, ns, local, address), tickets_(l.depth) {}

  void submit(std::uint32_t slot, std::uint32_t index) noexcept {
    this->before(slot, index);
    const made_key key(index, this->load_.block_bytes);
    const nkv::result<nkv::kv_ticket> t = this->ns_.submit(this->operation_of(key, index), nkv::submit_mode::defer);
    if (t) {
      tickets_[slot] = *t;
    } else {
      tickets_[slot] = {};
    }
  }
  void ring() const noexcept { this->ns_.ring(); }
  [[nodiscard]] bool poll(std::uint32_t slot) noexcept {
    const nkv::outcome o = this->ns_.poll(tickets_[slot]);
    if (o.status == nkv::status(nkv::client_status::would_block)) return false;
    this->after(slot, o);
    return true;
  }

 private:
  std::vector<nkv::kv_ticket> tickets_;
};

/// The blocking calls, one at a time.
template <verb What>
class blocking_port : public client_port<What> {
  using base = client_port<What>;

 public:
  using base::base;

  void submit(std::uint32_t slot, std::uint32_t index) noexcept { this->before(slot, index); }
  void ring() const noexcept {}
  [[nodiscard]] bool poll(std::uint32_t slot) noexcept {
    const made_key key(this->indices_[slot], this->load_.block_bytes);
    this->after(slot, this->ns_.run(this->operation_of(key, this->indices_[slot]), until_));
    return true;
  }

 private:
  // One for all: a deadline is a moment, and making one costs a look at the clock.
  nkv::host::deadline until_ = nkv::host::deadline::after_ms(60'000);
};

/// nkv::batch, `depth` operations each time.
template <verb What>
class batch_port : public client_port<What> {
  using base = client_port<What>;

 public:
  batch_port(const load& l, const namespace_ref& ns, std::byte* local, std::uint64_t address)
      : base(l, ns, local, address),
        keys_(l.depth, made_key(0, 0)),
        operations_(l.depth),
        entries_(l.depth),
        batch_(ns, {operations_.data(), operations_.size()}, {entries_.data(), entries_.size()}) {}

  void submit(std::uint32_t slot, std::uint32_t index) noexcept {
    this->before(slot, index);
    keys_[slot] = made_key(index, this->load_.block_bytes);
    operations_[slot] = this->operation_of(keys_[slot], index);
  }
  void ring() noexcept { submitted_ = batch_.submit(); }
  [[nodiscard]] bool poll(std::uint32_t slot) noexcept {
    if (!batch_.poll()) return false;
    nkv::outcome o = batch_.result_of(slot);
    if (!submitted_.ok()) o.status = submitted_;
    this->after(slot, o);
    return true;
  }

 private:
  std::vector<made_key> keys_;
  std::vector<nkv::operation> operations_;
  std::vector<nkv::batch_entry> entries_;
  nkv::batch<nkv::host::queue_pair<nkv::exclusive>::ref_type> batch_;
  nkv::status submitted_{};
};

}  // namespace bench
