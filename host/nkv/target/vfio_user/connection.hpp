// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/atomic.hpp>
#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/unique_fd.hpp>
#include <nkv/host/vfio_user/protocol.hpp>
#include <nkv/host/vfio_user/socket.hpp>
#include <nkv/spec/registers.hpp>
#include <nkv/spec/status_code.hpp>
#include <nkv/target/controller.hpp>
#include <nkv/target/poller.hpp>
#include <nkv/target/subsystem.hpp>
#include <nkv/target/vfio_user/client_memory.hpp>
#include <nkv/target/vfio_user/doorbell_memory.hpp>
#include <nkv/target/vfio_user/interrupts.hpp>
#include <nkv/target/vfio_user/message_parser.hpp>
#include <nkv/target/vfio_user/pci_config_space.hpp>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <nlohmann/json.hpp>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target::vfio_user {

namespace wire = host::vfio_user;

/// What a connection offers its client. A plain aggregate.
struct connection_options {
  controller_options controller;
  client_memory_options memory;
  pci_identity pci;
  /// Let the client map the doorbells. Without, each goes over the socket.
  bool map_doorbells = true;
};

/// One client: its socket, its controller, the memory it has shared. Everything on the poller's thread.
///
/// What the client sends is read only as fast as it is answered: while a reply waits for room in the socket, or a
/// request for operations in flight, nothing more is read. So what one client can make the server hold is bounded, and
/// a client that sends a byte at a time, or reads nothing, delays nobody else.
class connection final : public pollable {
 public:
  /// @param on_end called once on the poller's thread, when the connection has ended and may be destroyed (not from
  ///        within the call)
  connection(std::shared_ptr<target::subsystem> s, poller& p, host::unique_fd socket, const connection_options& options,
             std::function<void(connection&)> on_end)
      : subsystem_(std::move(s)),
        poller_(p),
        socket_(std::move(socket)),
        options_(options),
        on_end_(std::move(on_end)),
        config_(options.pci, layout(options)),
        interrupts_(vectors(options)) {}
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;
  /// @pre on_end was called, or begin() failed, or the poller's thread has ended and quiet() holds
  ~connection() {
    memory_.reset();
    controller_.reset();
  }

  /// Begins to listen to the client. @return as poller::add_fd
  [[nodiscard]] status begin() {
    events_ = EPOLLIN | EPOLLRDHUP;
    return poller_.add_fd(socket_.get(), events_, [this](std::uint32_t events) { on_events(events); });
  }

  /// Cuts the client off. on_end follows, at once or when the last operation in flight has ended.
  void end() noexcept {
    if (ending_) return;
    ending_ = true;
    poller_.remove_fd(socket_.get());
    socket_.reset();
    fds_.clear();
    out_.clear();
    if (controller_ != nullptr) controller_->close();
    wait_for(waiting::end);
  }

  /// Whether VERSION was agreed on: the client is one.
  [[nodiscard]] bool negotiated() const noexcept { return controller_ != nullptr; }
  [[nodiscard]] bool ending() const noexcept { return ending_; }
  [[nodiscard]] std::uint64_t began_ns() const noexcept { return began_ns_; }

  /// Waits for what is in flight; see waiting.
  unsigned poll() noexcept override {
    if (!done_waiting()) return 0;
    const waiting what = std::exchange(waiting_, waiting::nothing);
    poller_.remove(*this);
    if (what == waiting::end) {
      finish();
      return 1;
    }
    send_pending();
    update_events();
    return 1;
  }

 private:
  /// What keeps the next message waiting.
  enum class waiting : std::uint8_t { nothing, unmap, reset, end };

  struct out_message {
    std::vector<std::byte> bytes;
    std::size_t sent = 0;
    int fd = -1;  ///< goes with the first byte; lives as long as the connection
  };

  static constexpr unsigned messages_per_event = 32;
  static constexpr std::uint16_t msix_entry_bytes = 16;
  static constexpr std::uint32_t msix_table_bytes = 0x1000;
  static constexpr std::uint64_t max_json_bytes = 8192;
  static constexpr unsigned max_client_fds = 1024;
  static constexpr std::uint32_t bar0_bytes = doorbell_memory::size_bytes;
  static constexpr std::uint32_t config_bytes = pci_config_space::size_bytes;

  [[nodiscard]] static std::uint16_t vectors(const connection_options& options) noexcept {
    const unsigned wanted = options.controller.max_io_queue_pairs + 1u;
    constexpr unsigned most = msix_table_bytes / msix_entry_bytes;
    return static_cast<std::uint16_t>(wanted < most ? wanted : most);
  }
  [[nodiscard]] static pci_layout layout(const connection_options& options) noexcept {
    pci_layout l;
    l.bar0_bytes = bar0_bytes;
    l.msix_table_bytes = msix_table_bytes;
    l.msix_vectors = vectors(options);
    return l;
  }

  // Socket
  // ---------------------------------------------------------------------------------------------------------------

  void on_events(std::uint32_t events) {
    if (ending_) return;
    if ((events & EPOLLOUT) != 0) flush();
    if (!ending_ && (events & EPOLLIN) != 0) read();
    // A peer that has gone may have left bytes behind; they are of no use, since nobody takes the answers. Without
    // EPOLLIN there is nothing left, or nothing that is wanted now.
    if (!ending_ && (events & (EPOLLHUP | EPOLLERR)) != 0) return end();
    if (!ending_ && (events & EPOLLRDHUP) != 0 && (events & EPOLLIN) == 0) return end();
    if (!ending_) update_events();
  }

  [[nodiscard]] bool may_read() const noexcept { return out_.empty() && waiting_ == waiting::nothing; }

  void update_events() noexcept {
    if (ending_) return;
    const std::uint32_t wanted =
        (out_.empty() ? 0u : std::uint32_t{EPOLLOUT}) | (may_read() ? std::uint32_t{EPOLLIN | EPOLLRDHUP} : 0u);
    if (wanted == events_) return;
    if (!poller_.modify_fd(socket_.get(), wanted).ok()) return end();
    events_ = wanted;
  }

  void read() {
    for (unsigned messages = 0; messages < messages_per_event && !ending_ && may_read();) {
      const wire::received_bytes got = wire::receive_some(socket_.get(), parser_.want(), fds_);
      if (got.error == EAGAIN) return;
      if (got.error != 0 || got.bytes == 0 || got.too_many_fds) return end();
      switch (parser_.advance(got.bytes)) {
        case message_parser::state::incomplete: continue;
        case message_parser::state::malformed: return end();
        case message_parser::state::complete: break;
      }
      ++messages;
      handle();
      fds_.clear();
      parser_.next();
    }
  }

  void flush() noexcept {
    while (!out_.empty()) {
      out_message& m = out_.front();
      const iovec part{m.bytes.data() + m.sent, m.bytes.size() - m.sent};
      const ssize_t n = wire::send_some(socket_.get(), {&part, 1}, {&m.fd, m.sent == 0 && m.fd >= 0 ? 1u : 0u});
      if (n == -EAGAIN) return;
      if (n < 0) return end();
      m.sent += static_cast<std::size_t>(n);
      if (m.sent == m.bytes.size()) out_.erase(out_.begin());
    }
  }

  // Replies
  // --------------------------------------------------------------------------------------------------------------

  void answer(const wire::header& asked, byte_span payload, byte_span data, int fd) {
    if ((asked.flags & wire::message_flag::no_reply) != 0) return;
    wire::header head;
    head.message_id = asked.message_id;
    head.command = asked.command;
    head.flags = wire::message_flag::type_reply;
    head.message_bytes = static_cast<std::uint32_t>(sizeof(head) + payload.size() + data.size());
    out_message m;
    m.bytes.reserve(head.message_bytes);
    for (const byte_span part : {wire::bytes_of(head), payload, data})
      m.bytes.insert(m.bytes.end(), part.begin(), part.end());
    m.fd = fd;
    out_.push_back(std::move(m));
    flush();
  }
  void answer(byte_span payload = {}, byte_span data = {}, int fd = -1) { answer(parser_.header(), payload, data, fd); }
  /// An errno, or success without payload for 0.
  void answer_error(int error) {
    if (error == 0) return answer();
    if ((parser_.header().flags & wire::message_flag::no_reply) != 0) return;
    wire::header head = parser_.header();
    head.flags = wire::message_flag::type_reply | wire::message_flag::error;
    head.error = static_cast<std::uint32_t>(error);
    head.message_bytes = sizeof(head);
    out_message m;
    const byte_span bytes = wire::bytes_of(head);
    m.bytes.assign(bytes.begin(), bytes.end());
    out_.push_back(std::move(m));
    flush();
  }

  // Waiting for operations in flight
  // -------------------------------------------------------------------------------------

  [[nodiscard]] bool done_waiting() noexcept {
    switch (waiting_) {
      case waiting::nothing: return false;
      case waiting::unmap: return memory_->finish_unmap();
      case waiting::reset:
      case waiting::end: return controller_ == nullptr || controller_->quiet();
    }
    return false;
  }

  /// Has poll() look until there is nothing left to wait for.
  void wait_for(waiting what) noexcept {
    const bool polled = waiting_ != waiting::nothing;
    waiting_ = what;
    // After the controller in the poller's list: what its poll has just ended is seen in the same round.
    if (!polled) poller_.add(*this);
  }
  /// Sends the reply to the request that waited.
  void send_pending() noexcept {
    const wire::header asked = std::exchange(pending_, {});
    const std::vector<std::byte> payload = std::exchange(pending_payload_, {});
    answer(asked, {payload.data(), payload.size()}, {}, -1);
  }

  void finish() noexcept {
    if (wake_registered_) poller_.remove_fd(wake_.get());
    wake_registered_ = false;
    if (controller_ != nullptr) poller_.remove(*controller_);
    on_end_(*this);
  }

  // Requests
  // -------------------------------------------------------------------------------------------------------------

  void handle() {
    const wire::header& head = parser_.header();
    // A server of ours asks nothing, so that there is nothing to reply to.
    if (!head.is_command()) return end();
    const auto what = static_cast<wire::command>(head.command);
    if (!negotiated()) {
      if (what == wire::command::version) return negotiate();
      return refuse_and_end(EINVAL);
    }
    // What comes along with other messages is closed before they are answered.
    if (what != wire::command::dma_map && what != wire::command::device_set_irqs) fds_.clear();
    switch (what) {
      case wire::command::version: return answer_error(EINVAL);
      case wire::command::dma_map: return dma_map();
      case wire::command::dma_unmap: return dma_unmap();
      case wire::command::device_get_info: return get_info();
      case wire::command::device_get_region_info: return get_region_info();
      case wire::command::device_get_region_io_fds: return get_region_io_fds();
      case wire::command::device_get_irq_info: return get_irq_info();
      case wire::command::device_set_irqs: return set_irqs();
      case wire::command::region_read: return region_read();
      case wire::command::region_write: return region_write();
      case wire::command::device_reset: return device_reset();
      default: return answer_error(ENOTSUP);
    }
  }

  /// Answers, and hangs up: the answer is the first on the connection, and the socket has room for it.
  void refuse_and_end(int error) {
    answer_error(error);
    end();
  }

  void negotiate() {
    wire::version proposed;
    if (!wire::read_at(parser_.payload(), 0, proposed) || proposed.major != wire::version_major || fds_.size() != 0) {
      return refuse_and_end(EINVAL);
    }
    if (const int error = read_capabilities(parser_.payload().subspan(sizeof(proposed))); error != 0) {
      return refuse_and_end(error);
    }
    if (const int error = make_controller(); error != 0) return refuse_and_end(error);
    wire::version agreed;
    agreed.minor = proposed.minor < wire::version_minor ? proposed.minor : wire::version_minor;
    nlohmann::json capabilities = {{"max_msg_fds", wire::max_message_fds},
                                   {"max_data_xfer_size", wire::max_transfer_bytes},
                                   {"max_dma_maps", options_.memory.max_regions}};
    // A reply may only name capabilities that the client proposed, where they are not everyone's.
    if (knows_wake_) capabilities["nkv_wake"] = {{"asleep_offset", reg::doorbells + asleep_word_offset}};
    const std::string text = nlohmann::json{{"capabilities", std::move(capabilities)}}.dump();
    answer(wire::bytes_of(agreed), {reinterpret_cast<const std::byte*>(text.c_str()), text.size() + 1});
  }

  /// What the client says of itself: optional, and NUL-terminated where it is there. @return 0 or EINVAL
  [[nodiscard]] int read_capabilities(byte_span data) {
    client_fds_ = wire::default_message_fds;
    if (data.empty()) return 0;
    if (data.size() > max_json_bytes || data[data.size() - 1] != std::byte{0}) return EINVAL;
    const auto* const text = reinterpret_cast<const char*>(data.data());
    const nlohmann::json json = nlohmann::json::parse(text, text + data.size() - 1, nullptr, false);
    if (!json.is_object()) return EINVAL;
    const auto capabilities = json.find("capabilities");
    if (capabilities == json.end()) return 0;
    if (!capabilities->is_object()) return EINVAL;
    if (const auto fds = capabilities->find("max_msg_fds"); fds != capabilities->end()) {
      if (!fds->is_number_unsigned() || fds->get<std::uint64_t>() > max_client_fds) return EINVAL;
      client_fds_ = fds->get<std::uint32_t>();
    }
    knows_wake_ = capabilities->contains("nkv_wake");
    return 0;
  }

  [[nodiscard]] int make_controller() {
    if (const int error = doorbells_.open(); error != 0) return error;
    wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake_.valid()) return errno;
    controller_options options = options_.controller;
    options.pci_vendor = options_.pci.vendor_id;
    options.interrupt_vectors = vectors(options_);
    options.max_regions = options_.memory.max_regions;
    options.raise_interrupt = [this](std::uint16_t vector) { interrupts_.raise(vector); };
    auto made = controller::create(subsystem_, std::move(options), doorbells_.doorbells(), poller_);
    if (!made) return made.error() == status{client_status::busy} ? EBUSY : EINVAL;
    if (!poller_.add_wake_fd(wake_.get()).ok()) return ENOMEM;
    wake_registered_ = true;
    controller_ = *std::move(made);
    memory_ = std::make_unique<client_memory>(*controller_, options_.memory);
    poller_.add(*controller_);
    return 0;
  }

  void dma_map() {
    wire::dma_map request;
    int error = EINVAL;
    if (wire::read_at(parser_.payload(), 0, request) && fds_.size() <= 1) error = memory_->map(request, fds_.take(0));
    fds_.clear();
    answer_error(error);
  }

  void dma_unmap() {
    wire::dma_unmap request;
    if (!wire::read_at(parser_.payload(), 0, request)) return answer_error(EINVAL);
    if (request.flags != 0) return answer_error(ENOTSUP);
    if (!memory_->begin_unmap(request.address, request.size)) return answer_error(ENOENT);
    pend(wire::bytes_of(request), waiting::unmap);
  }

  void device_reset() {
    controller_->reset();
    pend({}, waiting::reset);
  }

  /// Answers when nothing is in flight any more, which is mostly now.
  void pend(byte_span payload, waiting what) {
    pending_ = parser_.header();
    pending_payload_.assign(payload.begin(), payload.end());
    const waiting before = std::exchange(waiting_, what);
    if (done_waiting()) {
      waiting_ = before;
      return send_pending();
    }
    waiting_ = before;
    wait_for(what);
  }

  void get_info() {
    wire::device_info info;
    if (!wire::read_at(parser_.payload(), 0, info) || info.argsz < sizeof(info)) return answer_error(EINVAL);
    info.argsz = sizeof(info);
    info.flags = wire::device_info::resettable | wire::device_info::pci;
    info.region_count = wire::region_count;
    info.irq_count = wire::irq_index_count;
    answer(wire::bytes_of(info));
  }

  void get_region_info() {
    wire::region_info info;
    if (!wire::read_at(parser_.payload(), 0, info) || info.argsz < sizeof(info) || info.index >= wire::region_count) {
      return answer_error(EINVAL);
    }
    const std::uint32_t room = info.argsz;
    info = {.index = info.index};
    constexpr std::uint32_t both = wire::region_info::readable | wire::region_info::writable;
    switch (static_cast<wire::region_index>(info.index)) {
      case wire::region_index::bar0: info.size = bar0_bytes; break;
      case wire::region_index::bar4: info.size = msix_table_bytes; break;
      case wire::region_index::bar5: info.size = msix_pending_bytes; break;
      case wire::region_index::config: info.size = config_bytes; break;
      default: break;
    }
    if (info.size != 0) info.flags = both;
    if (info.index != static_cast<std::uint32_t>(wire::region_index::bar0) || !options_.map_doorbells ||
        client_fds_ == 0) {
      return answer(wire::bytes_of(info));
    }
    struct {
      wire::capability_header head;
      wire::sparse_mmap sparse;
      wire::sparse_area area;
    } capability{{wire::capability_header::sparse_mmap, 1, 0}, {1, 0}, {reg::doorbells, doorbell_page_bytes}};
    info.argsz = sizeof(info) + sizeof(capability);
    // Without room for the capability its flags would say that all of BAR0 can be mapped.
    if (room < info.argsz) return answer(wire::bytes_of(info));
    info.flags |= wire::region_info::mappable | wire::region_info::has_capabilities;
    info.capability_offset = sizeof(info);
    answer(wire::bytes_of(info), wire::bytes_of(capability), doorbells_.fd());
  }

  void get_region_io_fds() {
    wire::region_io_fds info;
    if (!wire::read_at(parser_.payload(), 0, info) || info.argsz < sizeof(info) || info.flags != 0 ||
        info.index >= wire::region_count) {
      return answer_error(EINVAL);
    }
    const std::uint32_t room = info.argsz;
    info.argsz = sizeof(info);
    info.count = 0;
    // Only for who knows when to write it: others would take it for all that a doorbell is.
    if (info.index != static_cast<std::uint32_t>(wire::region_index::bar0) || !knows_wake_ || !options_.map_doorbells ||
        client_fds_ == 0) {
      return answer(wire::bytes_of(info));
    }
    wire::io_fd entry;
    entry.offset = reg::doorbells;
    entry.size = doorbell_page_bytes;
    info.argsz = sizeof(info) + sizeof(entry);
    if (room < info.argsz) return answer(wire::bytes_of(info));
    info.count = 1;
    controller_->set_client_can_wake(true);
    answer(wire::bytes_of(info), wire::bytes_of(entry), wake_.get());
  }

  void get_irq_info() {
    wire::irq_info info;
    if (!wire::read_at(parser_.payload(), 0, info) || info.argsz < sizeof(info) ||
        info.index >= wire::irq_index_count) {
      return answer_error(EINVAL);
    }
    info.argsz = sizeof(info);
    info.count = interrupts_.count(info.index);
    info.flags = info.count != 0 ? wire::irq_info::eventfd : 0;
    if (info.index == static_cast<std::uint32_t>(wire::irq_index::intx)) info.flags |= wire::irq_info::maskable;
    answer(wire::bytes_of(info));
  }

  void set_irqs() {
    wire::irq_set request;
    if (!wire::read_at(parser_.payload(), 0, request)) return answer_error(EINVAL);
    const int error = interrupts_.set(request, parser_.payload().subspan(sizeof(request)), fds_);
    fds_.clear();
    answer_error(error);
  }

  void region_read() {
    wire::region_access request;
    if (!wire::read_at(parser_.payload(), 0, request) || request.count == 0 ||
        request.count > wire::max_transfer_bytes) {
      return answer_error(EINVAL);
    }
    std::vector<std::byte> data(request.count);
    if (const int error = read_region(request, {data.data(), data.size()}); error != 0) return answer_error(error);
    answer(wire::bytes_of(request), {data.data(), data.size()});
  }

  void region_write() {
    wire::region_access request;
    if (!wire::read_at(parser_.payload(), 0, request) || request.count == 0 ||
        request.count > wire::max_transfer_bytes || parser_.payload().size() - sizeof(request) != request.count) {
      return answer_error(EINVAL);
    }
    if (const int error = write_region(request, parser_.payload().subspan(sizeof(request))); error != 0) {
      return answer_error(error);
    }
    // A function level reset was asked for by a write of the configuration space.
    if (std::exchange(reset_asked_, false)) {
      controller_->reset();
      return pend(wire::bytes_of(request), waiting::reset);
    }
    answer(wire::bytes_of(request));
  }

  [[nodiscard]] int read_region(const wire::region_access& request, mutable_byte_span into) noexcept {
    switch (static_cast<wire::region_index>(request.region)) {
      case wire::region_index::bar0: {
        if (request.offset >= reg::doorbells) {
          // A doorbell is write-only (NVMe over PCIe 1.0, 3.1.2): reading one back is an error in the client.
          return request.offset < bar0_bytes && request.count <= bar0_bytes - request.offset ? EPERM : EINVAL;
        }
        if (request.count != 4 && request.count != 8) return EINVAL;
        const nkv::result<std::uint64_t> value =
            controller_->read_register(static_cast<std::uint32_t>(request.offset), request.count);
        if (!value) return EINVAL;
        std::memcpy(into.data(), &*value, into.size());
        return 0;
      }
      case wire::region_index::bar4:
        if (request.offset > msix_table_bytes || request.count > msix_table_bytes - request.offset) return EINVAL;
        std::memcpy(into.data(), msix_table_.data() + request.offset, into.size());
        return 0;
      case wire::region_index::bar5:
        // No interrupt is ever pending: one that is masked is remembered by who masks it.
        if (request.offset > msix_pending_bytes || request.count > msix_pending_bytes - request.offset) return EINVAL;
        return 0;
      case wire::region_index::config: return config_.read(request.offset, into) ? 0 : EINVAL;
      default: return EINVAL;
    }
  }

  [[nodiscard]] int write_region(const wire::region_access& request, byte_span from) noexcept {
    switch (static_cast<wire::region_index>(request.region)) {
      case wire::region_index::bar0: {
        if ((request.count != 4 && request.count != 8) || request.offset >= bar0_bytes) return EINVAL;
        std::uint64_t value = 0;
        std::memcpy(&value, from.data(), from.size());
        return controller_->write_register(static_cast<std::uint32_t>(request.offset), request.count, value).ok()
                   ? 0
                   : EINVAL;
      }
      case wire::region_index::bar4:
        // Whoever maps the interrupts keeps the table; it only reads as it was written.
        if (request.offset > msix_table_bytes || request.count > msix_table_bytes - request.offset) return EINVAL;
        std::memcpy(msix_table_.data() + request.offset, from.data(), from.size());
        return 0;
      case wire::region_index::bar5:
        return request.offset > msix_pending_bytes || request.count > msix_pending_bytes - request.offset ? EINVAL : 0;
      case wire::region_index::config:
        switch (config_.write(request.offset, from)) {
          case pci_config_space::written::outside: return EINVAL;
          case pci_config_space::written::reset: reset_asked_ = true; break;
          case pci_config_space::written::done: break;
        }
        return 0;
      default: return EINVAL;
    }
  }

  static constexpr std::uint32_t msix_pending_bytes = 0x1000;

  const std::shared_ptr<target::subsystem> subsystem_;
  poller& poller_;
  host::unique_fd socket_;
  const connection_options& options_;
  const std::function<void(connection&)> on_end_;
  const std::uint64_t began_ns_ = host::steady_clock::now_ns();

  message_parser parser_;
  wire::received_fds fds_;
  std::vector<out_message> out_;
  std::uint32_t events_ = 0;
  bool ending_ = false;

  std::uint32_t client_fds_ = wire::default_message_fds;
  bool knows_wake_ = false;

  waiting waiting_ = waiting::nothing;
  wire::header pending_;
  std::vector<std::byte> pending_payload_;
  bool reset_asked_ = false;

  doorbell_memory doorbells_;
  host::unique_fd wake_;
  bool wake_registered_ = false;
  pci_config_space config_;
  vfio_user::interrupts interrupts_;
  std::array<std::byte, msix_table_bytes> msix_table_{};
  std::unique_ptr<controller> controller_;
  std::unique_ptr<client_memory> memory_;
};

}  // namespace target::vfio_user
}  // namespace nkv::inline NKV_ABI
