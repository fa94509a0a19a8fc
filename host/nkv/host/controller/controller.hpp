// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/controller/async_event.hpp>
#include <nkv/host/controller/controller_core.hpp>
#include <nkv/host/controller/controller_options.hpp>
#include <nkv/host/controller/kv_namespace.hpp>
#include <nkv/host/controller/namespace_info.hpp>
#include <nkv/host/controller/queue_pair.hpp>
#include <nkv/host/memory/attachment.hpp>
#include <nkv/host/memory/gpu_doorbells.hpp>
#include <nkv/host/memory/gpu_driver.hpp>
#include <nkv/host/memory/gpu_memory.hpp>
#include <nkv/host/memory/pinned_memory.hpp>
#include <nkv/host/memory/placement.hpp>
#include <nkv/host/memory/registration.hpp>
#include <nkv/host/memory_transport.hpp>
#include <nkv/host/result.hpp>
#include <nkv/kv/limits.hpp>
#include <nkv/queue/sharing.hpp>
#include <nkv/queue/ticket.hpp>
#include <nkv/spec/identify.hpp>
#include <nkv/spec/registers.hpp>
#include <nkv/spec/sqe.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace host {

/// Bytes that were copied, bytes that are kept because a lost peer might still write into them, and what happened on
/// the queues that does not happen to every command; on those in GPU memory it is counted at their end. A snapshot.
struct controller_statistics {
  std::uint64_t staged_in_bytes = 0;   ///< copied to where the controller reaches them
  std::uint64_t staged_out_bytes = 0;  ///< copied back
  std::uint64_t mapped_bytes = 0;      ///< that the controller reaches now
  std::uint64_t buried_bytes = 0;      ///< of owned memory, kept until the controller is reset or its process has ended
  std::uint64_t abandoned_bytes = 0;   ///< of owned memory, mapped for the life of the process
  std::uint64_t unquiesced_bytes = 0;  ///< of callers' memory, into which the controller may still write
  std::uint64_t late_completions = 0;  ///< of commands that had been let go of, by a deadline or cancel()
  std::uint64_t stray_completions = 0;  ///< for CIDs that no command had; ignored
  std::uint64_t queue_full = 0;         ///< commands that found no room at first
  std::uint64_t retries = 0;            ///< commands that were sent again, with more room for their answer
};

/// An NVMe controller, brought up. The first thing a program has; it makes all others.
///
/// Namespaces, queue pairs and registrations may outlive it: they are dead then, but not dangling. Its end shuts the
/// controller down in order, within controller_options::teardown_ms; shutdown() does the same and says how it went.
///
/// In a child after fork() every call returns client/forked, queues have no room, and nothing is sent to the target.
///
/// Moves only. Every call from any thread; calls that talk to the controller go one at a time, each until its deadline.
class controller {
 public:
  /// Brings up the controller behind `transport`: enabled, identified, ready for namespaces.
  /// @return the controller, or what controller_core::create() returns
  [[nodiscard]] static host::result<controller> attach(std::unique_ptr<memory_transport> transport,
                                                       const controller_options& options = {},
                                                       deadline until = default_deadline()) {
    host::result<std::shared_ptr<controller_core>> core = controller_core::create(std::move(transport), options, until);
    if (!core) return core.error();
    return controller(*std::move(core));
  }

  controller(controller&&) noexcept = default;
  controller& operator=(controller&& other) noexcept {
    if (this != &other) {
      end();
      core_ = std::move(other.core_);
    }
    return *this;
  }
  ~controller() { end(); }

  // What it is

  [[nodiscard]] const controller_capabilities& capabilities() const noexcept { return core_->capabilities(); }
  /// VS: major, minor, tertiary in bits 31:16, 15:8, 7:0.
  [[nodiscard]] std::uint32_t version() const noexcept { return core_->version(); }
  [[nodiscard]] const identify_controller& identity() const noexcept { return core_->identity(); }
  /// I/O queue pairs that it grants.
  [[nodiscard]] std::uint32_t max_queue_pairs() const noexcept { return core_->max_queue_pairs(); }
  /// CC.MPS in bytes.
  [[nodiscard]] std::uint32_t page_bytes() const noexcept { return core_->page_bytes(); }
  /// Whether doorbells are stores into mapped memory, and not messages.
  [[nodiscard]] bool doorbells_mapped() const noexcept {
    return core_->attached()->transport().doorbells().base != nullptr;
  }
  [[nodiscard]] controller_statistics statistics() const {
    attachment& a = *core_->attached();
    const attachment::queue_sums queues = a.queue_counts();
    return {a.count().staged_in, a.count().staged_out, a.mapped_bytes(),        a.count().buried,
            a.count().abandoned, a.count().unquiesced, queues.late_completions, queues.stray_completions,
            queues.queue_full,   a.count().retries};
  }

  // Namespaces

  /// Every active namespace, of any command set.
  /// @return the list, at most 1024; or a status of Identify, client/disconnected, client/timed_out
  [[nodiscard]] host::result<std::vector<namespace_info>> namespaces(deadline until = default_deadline()) const {
    return core_->namespaces(until);
  }
  /// @return what the controller says of namespace `nsid`, or client/not_found, or as namespaces()
  [[nodiscard]] nkv::result<namespace_info> identify_namespace(std::uint32_t nsid,
                                                               deadline until = default_deadline()) const {
    return core_->identify_namespace(nsid, until);
  }

  /// Opens a KV namespace with a queue pair of its own. Where the options do not say where it carries keys, that is
  /// found out by Retrieves of a random key, which change nothing.
  /// @tparam Sharing exclusive: one thread at a time uses the ref; shared: any number
  /// @return the namespace, or
  ///         - client/not_found          no such namespace
  ///         - client/wrong_command_set  it is not KV: nothing was sent to it
  ///         - client/encoding_unknown   the probe's answers fit no encoding: say which, see namespace_options
  ///         - client/protocol_error     its Identify data has no key format
  ///         - client/unsupported        a queue in GPU memory, which its calls cannot use: see create_queue_pair()
  ///         - what queue_pair::create() returns
  template <class Sharing = exclusive>
  [[nodiscard]] host::result<kv_namespace<Sharing>> open_namespace(std::uint32_t nsid,
                                                                   const namespace_options& options = {},
                                                                   deadline until = default_deadline()) const {
    return kv_namespace<Sharing>::open(core_, nsid, options, until);
  }

  // Memory and queues

  /// @see registration::allocate
  [[nodiscard]] host::result<registration> allocate(std::size_t size_bytes, const memory_options& options = {},
                                                    deadline until = default_deadline()) const {
    return registration::allocate(core_->attached(), size_bytes, options, until);
  }
  /// @see registration::caller_memory
  [[nodiscard]] host::result<registration> register_memory(void* memory, std::size_t size_bytes, int fd = -1,
                                                           std::uint64_t fd_offset = 0,
                                                           const memory_options& options = {},
                                                           deadline until = default_deadline()) const {
    return registration::caller_memory(core_->attached(), memory, size_bytes, fd, fd_offset, options, until);
  }
  /// Host memory that kernels reach too. @see pinned_memory::create
  [[nodiscard]] host::result<pinned_memory> allocate_pinned(std::size_t size_bytes,
                                                            const std::vector<std::shared_ptr<gpu_driver>>& gpus,
                                                            const memory_options& options = {},
                                                            deadline until = default_deadline()) const {
    return pinned_memory::create(core_->attached(), size_bytes, gpus, options, until);
  }
  /// GPU memory that the target reaches by itself. @see gpu_memory::create
  [[nodiscard]] host::result<gpu_memory> allocate_on_gpu(std::shared_ptr<gpu_driver> gpu, std::size_t size_bytes,
                                                         gpu_memory_kind kind = gpu_memory_kind::plain,
                                                         deadline until = default_deadline()) const {
    return gpu_memory::create(core_->attached(), std::move(gpu), size_bytes, kind, until);
  }
  /// The doorbells of all queues, for kernels of one GPU. @see gpu_doorbells::create
  [[nodiscard]] host::result<gpu_doorbells> map_doorbells(std::shared_ptr<gpu_driver> gpu) const {
    return gpu_doorbells::create(core_->attached(), std::move(gpu));
  }
  /// What of that this machine, GPU and target can do, and why not. @see host::what_works
  [[nodiscard]] std::vector<placement> what_works(const std::shared_ptr<gpu_driver>& gpu, const std::string& no_driver,
                                                  deadline until = default_deadline(),
                                                  const doorbell_bar& bar = {}) const {
    return host::what_works(gpu, no_driver, core_->attached(), until, bar);
  }
  /// A queue pair without a namespace. @see queue_pair::create
  template <class Sharing = exclusive>
  [[nodiscard]] host::result<queue_pair<Sharing>> create_queue_pair(const queue_options& options = {},
                                                                    deadline until = default_deadline()) const {
    return queue_pair<Sharing>::create(core_, options, limits_of_controller(), until);
  }
  /// What create_queue_pair() takes of queue_options::room, a multiple of a page.
  [[nodiscard]] std::size_t queue_room_bytes(const queue_options& options) const noexcept {
    return host::queue_room_bytes(*core_, options, limits_of_controller());
  }

  // Its life

  /// Looks whether it is still there and well. Costs a register read; for when something has timed out, and now and
  /// then.
  /// @see controller_core::check
  [[nodiscard]] status check(deadline until = default_deadline()) const { return core_->check(until); }
  /// @see controller_core::poll_event
  [[nodiscard]] nkv::result<async_event> poll_event(deadline until = default_deadline()) const {
    return core_->poll_event(until);
  }
  /// @see controller_core::reset
  [[nodiscard]] status reset(deadline until = default_deadline()) const { return core_->reset(until); }
  /// @see controller_core::shutdown
  [[nodiscard]] status shutdown(deadline until = default_deadline()) const { return core_->shutdown(until); }

  /// Any admin command. @see admin_queue::execute
  [[nodiscard]] completion admin(const sqe& command, mutable_byte_span into = {},
                                 deadline until = default_deadline()) const {
    return core_->execute(command, into, until);
  }

 private:
  explicit controller(std::shared_ptr<controller_core> core) noexcept : core_(std::move(core)) {}

  [[nodiscard]] limits limits_of_controller() const noexcept {
    limits what;
    what.page_bytes = core_->page_bytes();
    what.set_sgls(core_->identity().sgls);
    what.set_mdts(core_->identity().mdts, core_->capabilities().min_page_bytes());
    return what;
  }

  void end() noexcept {
    if (core_ == nullptr) return;
    static_cast<void>(core_->shutdown(deadline::after_ms(core_->options().teardown_ms)).ok());
    core_.reset();
  }

  std::shared_ptr<controller_core> core_;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
