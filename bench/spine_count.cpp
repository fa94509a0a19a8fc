// SPDX-License-Identifier: BSD-3-Clause
#include "spine_count.hpp"

#include "failure.hpp"
#include "spine_load.hpp"
#include "subcommand.hpp"

#include <nkv/client/namespace_ref.hpp>
#include <nkv/host/doorbell.hpp>
#include <nkv/host/memory_transport.hpp>
#include <nkv/kv/namespace_profile.hpp>
#include <nkv/queue/queue_pair_ref.hpp>
#include <nkv/queue/sharing.hpp>
#include <nkv/spec/registers.hpp>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <utility>

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#define NKV_BENCH_CALLGRIND 1
#else
#define NKV_BENCH_CALLGRIND 0
#endif

namespace bench {

namespace {

constexpr const char* calibration = "calibration";
constexpr const char* empty_poll = "empty_poll";
constexpr unsigned rounds = 320;
constexpr std::array<std::uint32_t, 2> batch_sizes = {1, 32};

std::string part_name(const char* operation, std::uint32_t batch, const char* half) {
  return std::string(operation) + "." + std::to_string(batch) + "." + half;
}

#if NKV_BENCH_CALLGRIND

/// Two doorbell words and the word of a target that never sleeps: what a client maps of a target.
class doorbells_alone final : public nkv::host::memory_transport {
 public:
  nkv::result<std::uint64_t> read_register(std::uint32_t, unsigned, nkv::host::deadline) override { return nowhere(); }
  nkv::status write_register(std::uint32_t, unsigned, std::uint64_t, nkv::host::deadline) override { return nowhere(); }
  nkv::status map_dma(const nkv::host::dma_memory&, nkv::host::deadline) override { return {}; }
  nkv::status unmap_dma(const nkv::host::dma_memory&, nkv::host::deadline) override { return {}; }
  nkv::status reset(nkv::host::deadline) override { return {}; }
  [[nodiscard]] nkv::host::doorbell_page doorbells() const noexcept override {
    nkv::host::doorbell_page page;
    page.base = const_cast<std::uint32_t*>(words_);
    page.length_bytes = sizeof words_;
    page.asleep = words_ + sizeof words_ / 4 - 1;
    return page;
  }
  [[nodiscard]] bool shares_by_fd() const noexcept override { return false; }
  [[nodiscard]] bool connected() noexcept override { return true; }
  [[nodiscard]] bool peer_gone() noexcept override { return false; }
  [[nodiscard]] std::uint32_t sq_tail(std::uint16_t qid) const noexcept {
    return __atomic_load_n(words_ + 2 * qid, __ATOMIC_ACQUIRE);
  }

 private:
  static nkv::status nowhere() noexcept { return nkv::client_status::unsupported; }
  alignas(64) std::uint32_t words_[1024] = {};
};

/// A queue pair and a controller that completes what was rung when it is told to, in order: with success, and the
/// length of the buffer as the value's.
class counting_rig {
 public:
  using queue_type = nkv::queue_pair_ref<nkv::exclusive, nkv::host::host_doorbell>;

  counting_rig() : control_(nkv::queue_control_layout::of(shape).size_bytes / 64 + 1) {
    nkv::queue_pair_parts parts;
    parts.sq = sq_.data();
    parts.cq = cq_.data();
    parts.control = reinterpret_cast<std::byte*>(control_.data());
    parts.arena = {scratch_.data(), reinterpret_cast<std::uintptr_t>(scratch_.data()), scratch_.data(),
                   reinterpret_cast<std::uintptr_t>(scratch_.data()), 64};
    parts.shape = shape;
    parts.qid = qid;
    const queue_type queue(parts, nkv::host::host_doorbell(doorbells_, qid, 4));
    queue.initialize();
    nkv::namespace_profile profile;
    profile.limits.sgl = true;
    profile.limits.max_value_bytes = std::uint64_t{128} << 20;
    profile.limits.max_transfer_bytes = std::uint64_t{256} << 20;
    ns_ = {queue, profile};
  }

  [[nodiscard]] const nkv::namespace_ref<queue_type>& ns() const noexcept { return ns_; }

  void complete_all() noexcept {
    for (const std::uint32_t tail = doorbells_.sq_tail(qid); head_ != tail; head_ = (head_ + 1) % shape.sq_entries) {
      const nkv::sqe& command = sq_[head_];
      const auto next = static_cast<std::uint16_t>((head_ + 1) % shape.sq_entries);
      const nkv::cqe entry = nkv::cqe::make(command.cdw(10), next, qid, command.cid(), {}, phase_);
      std::memcpy(&cq_[cq_tail_], &entry, sizeof entry);
      cq_tail_ = (cq_tail_ + 1) % shape.cq_entries;
      if (cq_tail_ == 0) phase_ = !phase_;
    }
    __asm__ volatile("" : : : "memory");
  }

 private:
  static constexpr nkv::queue_shape shape{128, 256};
  static constexpr std::uint16_t qid = 1;
  struct alignas(64) line {
    std::byte bytes[64];
  };

  std::array<nkv::sqe, shape.sq_entries> sq_{};
  std::array<nkv::cqe, shape.cq_entries> cq_{};
  std::vector<line> control_;
  std::array<std::byte, nkv::scratch::head_bytes * shape.cids()> scratch_{};
  doorbells_alone doorbells_;
  nkv::namespace_ref<queue_type> ns_;
  std::uint32_t head_ = 0;
  std::uint32_t cq_tail_ = 0;
  bool phase_ = true;
};

template <verb What>
nkv::operation made(nkv::key_view key, const nkv::value_ref& value) noexcept {
  if constexpr (What == verb::exist) {
    return nkv::operation::exist(key);
  } else if constexpr (What == verb::retrieve) {
    return nkv::operation::retrieve(key, value);
  } else {
    return nkv::operation::store(key, value);
  }
}

/// Counts either half of `rounds` operations; one `half` is collected, the other only done. One at a time there is
/// nothing between the two switches but the call.
template <verb What, std::uint32_t Batch>
void count(bool submitting) {
  const auto rig = std::make_unique<counting_rig>();
  const nkv::namespace_ref<counting_rig::queue_type> ns = rig->ns();
  alignas(64) static std::byte value[4096];
  const nkv::value_ref where{reinterpret_cast<std::uintptr_t>(value), sizeof value, 0};
  for (unsigned round = 0; round < rounds; round += Batch) {
    const made_key bytes(round, sizeof value);
    const nkv::key_view key(reinterpret_cast<const std::byte*>(bytes.words), sizeof bytes.words);
    bool good = true;
    if constexpr (Batch == 1) {
      if (submitting) CALLGRIND_TOGGLE_COLLECT;
      const nkv::result<nkv::kv_ticket> t = ns.submit(made<What>(key, where));
      if (submitting) CALLGRIND_TOGGLE_COLLECT;
      rig->complete_all();
      if (!submitting) CALLGRIND_TOGGLE_COLLECT;
      const nkv::outcome o = ns.poll(*t);
      if (!submitting) CALLGRIND_TOGGLE_COLLECT;
      good = t.has_value() && o.ok();
    } else {
      std::array<nkv::kv_ticket, Batch> tickets{};
      if (submitting) CALLGRIND_TOGGLE_COLLECT;
      for (nkv::kv_ticket& ticket : tickets) {
        const nkv::result<nkv::kv_ticket> t = ns.submit(made<What>(key, where), nkv::submit_mode::defer);
        good &= t.has_value();
        ticket = *t;
      }
      ns.ring();
      if (submitting) CALLGRIND_TOGGLE_COLLECT;
      rig->complete_all();
      if (!submitting) CALLGRIND_TOGGLE_COLLECT;
      for (const nkv::kv_ticket& ticket : tickets) good &= ns.poll(ticket).ok();
      if (!submitting) CALLGRIND_TOGGLE_COLLECT;
    }
    if (!good) throw failure("spine-count: an operation failed");
  }
  // A name of its own: the macro is several statements.
  const std::string part = part_name(name_of(What), Batch, submitting ? "submit" : "complete");
  CALLGRIND_DUMP_STATS_AT(part.c_str());
}

template <std::uint32_t Batch>
void count_all() {
  for (const bool submitting : {true, false}) {
    count<verb::exist, Batch>(submitting);
    count<verb::retrieve, Batch>(submitting);
    count<verb::store, Batch>(submitting);
  }
}

int run_under_callgrind() {
  if (RUNNING_ON_VALGRIND == 0) throw failure("spine-count is for nkv-bench spine, which runs it under valgrind");
  for (unsigned i = 0; i < rounds; ++i) {
    CALLGRIND_TOGGLE_COLLECT;
    __asm__ volatile("" : : : "memory");
    CALLGRIND_TOGGLE_COLLECT;
  }
  CALLGRIND_DUMP_STATS_AT(calibration);
  {
    const auto rig = std::make_unique<counting_rig>();
    const nkv::namespace_ref<counting_rig::queue_type> ns = rig->ns();
    const made_key bytes(1, 1);
    const nkv::result<nkv::kv_ticket> t =
        ns.submit(nkv::operation::exist({reinterpret_cast<const std::byte*>(bytes.words), sizeof bytes.words}));
    bool good = t.has_value();
    for (unsigned i = 0; i < rounds; ++i) {
      CALLGRIND_TOGGLE_COLLECT;
      const nkv::outcome o = ns.poll(*t);
      good &= o.status == nkv::status(nkv::client_status::would_block);
      CALLGRIND_TOGGLE_COLLECT;
    }
    if (!good) throw failure("spine-count: a look found what was not there");
    CALLGRIND_DUMP_STATS_AT(empty_poll);
  }
  count_all<batch_sizes[0]>();
  count_all<batch_sizes[1]>();
  return 0;
}

#else

int run_under_callgrind() { throw failure("spine-count: built without valgrind's headers"); }

#endif

/// What callgrind wrote: each part's name and the instructions in it.
std::map<std::string, double> read_parts(const std::filesystem::path& folder) {
  std::map<std::string, double> out;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream file(entry.path());
    std::string part;
    constexpr const char* trigger = "desc: Trigger: Client Request: ";
    for (std::string line; std::getline(file, line);) {
      if (line.rfind(trigger, 0) == 0) part = line.substr(std::strlen(trigger));
      if (line.rfind("totals: ", 0) == 0 && !part.empty()) out[part] = std::atof(line.c_str() + 8);
    }
  }
  return out;
}

std::string run_valgrind(const std::string& out) {
  std::error_code error;
  const std::string self = std::filesystem::read_symlink("/proc/self/exe", error).string();
  const std::string output = "--callgrind-out-file=" + out;
  std::array<const char*, 10> argv = {"valgrind",     "-q",         "--tool=callgrind", "--collect-atstart=no",
                                      output.c_str(), self.c_str(), "spine-count",      nullptr};
  const pid_t child = ::fork();
  if (child == 0) {
    const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nowhere >= 0) ::dup2(nowhere, STDERR_FILENO);
    ::execvp(argv[0], const_cast<char* const*>(argv.data()));
    _exit(errno == ENOENT ? 127 : 126);
  }
  int state = 0;
  while (child > 0 && ::waitpid(child, &state, 0) < 0 && errno == EINTR) {
  }
  if (child < 0) return std::strerror(errno);
  if (WIFEXITED(state) && WEXITSTATUS(state) == 0) return {};
  if (WIFEXITED(state) && WEXITSTATUS(state) == 127) return "valgrind is not installed";
  return "valgrind, or the program under it, failed";
}

}  // namespace

instruction_counts count_instructions() {
  instruction_counts out;
  if constexpr (NKV_BENCH_CALLGRIND == 0) {
    out.skipped = "built without valgrind's headers";
    return out;
  }
  std::string folder = std::filesystem::temp_directory_path().string() + "/nkv-count-XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) {
    out.skipped = std::string("no folder: ") + std::strerror(errno);
    return out;
  }
  out.skipped = run_valgrind(folder + "/out");
  const std::map<std::string, double> parts = read_parts(folder);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  if (!out.skipped.empty()) return out;
  const auto each = [&](const std::string& part, std::uint32_t batch) {
    const auto at = parts.find(part);
    const auto toggles = parts.find(calibration);
    if (at == parts.end() || toggles == parts.end()) throw failure("callgrind did not count " + part);
    // What switching the collection on and off costs is not the operation's: once a batch.
    return (at->second - toggles->second / batch) / rounds;
  };
  for (const std::uint32_t batch : batch_sizes) {
    for (const verb v : {verb::exist, verb::retrieve, verb::store})
      out.rows.push_back({name_of(v), batch, each(part_name(name_of(v), batch, "submit"), batch),
                          each(part_name(name_of(v), batch, "complete"), batch)});
  }
  out.empty_poll = each(empty_poll, 1);
  return out;
}

void add_spine_count(CLI::App& app, program& p) {
  CLI::App* const command = app.add_subcommand("spine-count", "The part of spine that runs under valgrind");
  command->group("");  // not in the help
  command->callback([&p] { p.run = run_under_callgrind; });
}

}  // namespace bench
