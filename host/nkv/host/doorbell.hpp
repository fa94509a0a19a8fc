// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/memory_transport.hpp>
#include <nkv/queue/doorbell.hpp>
#include <nkv/spec/registers.hpp>

#include <unistd.h>

#include <cstdint>
#include <type_traits>

namespace nkv::inline NKV_ABI {
namespace host {

/// The doorbells of one queue pair as a host thread rings them: two words that the target polls, with a wake-up where
/// it sleeps; or, where the target lets nothing be mapped, register writes through the transport.
///
/// A plain value; the transport and the mapping outlive every copy. Any thread; mapped, it is one locked exchange and
/// one load of a word that seldom changes. What is mapped is memory: the BAR of a device takes no exchange.
class host_doorbell {
 public:
  constexpr host_doorbell() noexcept = default;
  /// @param stride_bytes CAP.DSTRD
  host_doorbell(memory_transport& transport, std::uint16_t qid, std::uint32_t stride_bytes) noexcept
      : transport_(&transport),
        sq_offset_(sq_tail_doorbell(qid, stride_bytes)),
        cq_offset_(cq_head_doorbell(qid, stride_bytes)) {
    const doorbell_page page = transport.doorbells();
    if (page.base == nullptr || cq_offset_ - reg::doorbells + 4 > page.length_bytes) return;
    sq_tail_ = page.base + (sq_offset_ - reg::doorbells) / 4;
    cq_head_ = page.base + (cq_offset_ - reg::doorbells) / 4;
    if (page.asleep != nullptr) asleep_ = page.asleep;
    wake_fd_ = page.wake_fd;
  }

  void ring_sq_tail(std::uint32_t value) const noexcept { ring(sq_tail_, sq_offset_, value); }
  void ring_cq_head(std::uint32_t value) const noexcept { ring(cq_head_, cq_offset_, value); }

  /// Whether ringing is a store, and not a call of the transport.
  [[nodiscard]] bool mapped() const noexcept { return sq_tail_ != nullptr; }

 private:
  /// How long a register write may take before it is left to the controller's check() to find out what is wrong.
  static constexpr std::uint64_t register_timeout_ms = 2000;
  static constexpr std::uint32_t never_asleep = 0;

  void ring(std::uint32_t* word, std::uint32_t offset, std::uint32_t value) const noexcept {
    if (word == nullptr) [[unlikely]] {
      write_register(offset, value);
      return;
    }
    // Two orders. Release: the SQE stores (the CQE loads) before the doorbell, which the target loads with acquire. And
    // store-load: the doorbell store before the load of `asleep`, as the target stores `asleep` before it looks at the
    // doorbells a last time; so either it sees the doorbell or we see that it sleeps. Release and acquire do not order
    // the second pair. On x86 the exchange is a full barrier; on arm64 it is no more than a release (`swpal`, `stlxr`),
    // and the load is an `ldar`, which does not pass an earlier release as an acquire's `ldapr` may.
    __atomic_exchange_n(word, value, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(asleep_, __ATOMIC_SEQ_CST) != 0) [[unlikely]]
      wake();
  }

  [[gnu::noinline, gnu::cold]] void wake() const noexcept {
    const std::uint64_t one = 1;
    // A full counter (EAGAIN) is a wake-up that is on its way already.
    [[maybe_unused]] const ssize_t written = ::write(wake_fd_, &one, sizeof one);
  }

  [[gnu::noinline, gnu::cold]] void write_register(std::uint32_t offset, std::uint32_t value) const noexcept {
    if (transport_ == nullptr) return;
    // A failed write leaves the command without a completion: its waiter's deadline and check() tell.
    static_cast<void>(transport_->write_register(offset, 4, value, deadline::after_ms(register_timeout_ms)).ok());
  }

  std::uint32_t* sq_tail_ = nullptr;
  std::uint32_t* cq_head_ = nullptr;
  const std::uint32_t* asleep_ = &never_asleep;
  memory_transport* transport_ = nullptr;
  std::uint32_t sq_offset_ = 0;
  std::uint32_t cq_offset_ = 0;
  int wake_fd_ = -1;
};
static_assert(doorbell<host_doorbell> && std::is_trivially_copyable_v<host_doorbell>);

}  // namespace host
}  // namespace nkv::inline NKV_ABI
