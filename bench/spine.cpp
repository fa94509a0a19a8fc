// SPDX-License-Identifier: BSD-3-Clause
#include "allocation_count.hpp"
#include "failure.hpp"
#include "far_side.hpp"
#include "machine.hpp"
#include "processors.hpp"
#include "served_target.hpp"
#include "spine_client.hpp"
#include "spine_count.hpp"
#include "spine_floors.hpp"
#include "spine_idle.hpp"
#include "spine_load.hpp"
#include "spine_report.hpp"
#include "spine_skeleton.hpp"
#include "statistics.hpp"
#include "subcommand.hpp"
#include "syscall_counter.hpp"
#include "tick_clock.hpp"

#include "common/progress_bar.hpp"

#include <nkv/host/connect.hpp>
#include <nkv/host/controller/controller.hpp>
#include <nkv/host/controller/controller_options.hpp>
#include <nkv/target/inproc_server.hpp>
#include <nkv/target/kv_namespace.hpp>
#include <nkv/target/memory_store.hpp>
#include <nkv/target/subsystem.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <utility>

namespace bench {

namespace {

constexpr std::uint64_t kib = 1024;
constexpr std::uint64_t mib = 1024 * kib;
constexpr std::uint64_t small_set = 1 * mib;
constexpr std::uint64_t large_set = 256 * mib;
constexpr std::uint32_t copied_bytes = 64 * mib;  // what the memcpy floor copies

struct spine_options {
  std::string json;
  bool quick = false;
  std::string transport = "vfio-user";
  std::vector<std::string> filters;
  std::string target;
  std::vector<int> processors;
  unsigned windows = 15;
  double window_ms = 2;
  bool instructions = true;
};

/// Every load, those of one block size together: their values are stored once for all.
std::vector<load> all_loads() {
  std::vector<load> out;
  const auto add = [&](verb v, std::uint64_t block, std::uint32_t depth, std::uint64_t set, bool touched,
                       call_style style = call_style::tickets) {
    out.push_back({v, style, static_cast<std::uint32_t>(block), depth, set, touched});
  };
  for (const std::uint64_t set : {small_set, large_set}) {
    for (const std::uint32_t depth : {1u, 32u, 128u}) {
      add(verb::exist, 4 * kib, depth, set, false);
      for (const bool touched : {false, true}) add(verb::retrieve, 4 * kib, depth, set, touched);
      for (const bool touched : {false, true}) add(verb::store, 4 * kib, depth, set, touched);
    }
  }
  for (const verb v : {verb::exist, verb::retrieve}) {
    add(v, 4 * kib, 1, small_set, false, call_style::blocking);
    add(v, 4 * kib, 32, small_set, false, call_style::batch);
  }
  for (const verb v : {verb::retrieve, verb::store})
    for (const std::uint64_t set : {small_set, large_set})
      for (const bool touched : {false, true}) add(v, 128 * kib, 8, set, touched);
  for (const verb v : {verb::retrieve, verb::store})
    for (const bool touched : {false, true}) add(v, copied_bytes, 1, large_set, touched);
  return out;
}

/// A target, a controller of it, and memory that it reaches.
struct served_transport {
  std::string name;
  std::unique_ptr<served_target> process;
  std::unique_ptr<nkv::target::inproc_server> server;
  std::unique_ptr<nkv::host::controller> controller;
  std::unique_ptr<nkv::host::registration> memory;
  pid_t far_process = 0;
  pid_t far_thread = 0;  ///< the target's polling thread
};

/// One window of the real thing or of the skeleton.
struct measured_window {
  double operations_per_s = 0;
  double avg_ns = 0;
  double p50_ns = 0;
  std::vector<std::uint32_t> latencies;  ///< ticks
  bool disturbed = false;
};

struct counted {
  std::uint64_t operations = 0;
  std::uint64_t allocations = 0;
  std::uint64_t sq_doorbells = 0;
  std::uint64_t cq_doorbells = 0;
  std::uint64_t staged_bytes = 0;
};

std::uint64_t own_preemptions() noexcept {
  rusage used{};
  return ::getrusage(RUSAGE_THREAD, &used) == 0 ? static_cast<std::uint64_t>(used.ru_nivcsw) : 0;
}

class spine {
 public:
  explicit spine(const spine_options& options)
      : options_(options),
        processors_(chosen_processors(options)),
        alone_(processors_.size() < 2 || processors_[0] == processors_[1]),
        pinned_(pin_to(processors_[0])),
        far_(processors_.back()),
        round_trip_(far_, alone_) {}

  spine_result run() {
    spine_result result;
    const std::uint64_t begin = nkv::host::steady_clock::now_ns();
    result.clock_read_ns = clock_.ns(clock_.read_ticks());
    result.allocations_counted = allocations_counted();
    std::vector<load> loads;
    std::vector<std::string> transports;
    for (const char* const t : {"vfio-user", "inproc"})
      if (options_.transport == t || options_.transport == "both") transports.emplace_back(t);
    for (const load& l : all_loads())
      if (options_.filters.empty() ||
          std::any_of(options_.filters.begin(), options_.filters.end(),
                      [&](const std::string& f) { return l.name().find(f) != std::string::npos; }))
        loads.push_back(l);
    if (loads.empty()) throw failure("no row has such a name");
    tools::progress_bar progress(tools::progress_bar::on_terminal(), "spine", loads.size() * transports.size());
    for (const std::string& name : transports) {
      served_transport t = open(name);
      // Each of these was made on this thread's processor or moved: what follows runs here.
      for (std::size_t i = 0; i < loads.size();) {
        std::size_t end = i;
        while (end < loads.size() && loads[end].block_bytes == loads[i].block_bytes) ++end;
        const value_memory held(large_set, loads[i].block_bytes >= 2 * mib);
        if (held.data() == nullptr) throw failure("no memory for the skeleton");
        fill(t, loads[i].block_bytes);
        for (; i < end; ++i) {
          result.rows.push_back(measure(t, loads[i], held.data()));
          progress.update(result.rows.size());
        }
        clear(t, loads[i - 1].block_bytes);
      }
      // In this process the target's time cannot be told from the client's.
      if (options_.filters.empty() && t.process != nullptr) result.idle = idle(t);
    }
    progress.clear();
    result.round_trips_ns = round_trips_ns_;
    result.memcpys_gb_per_s = memcpys_;
    result.syscalls_not_counted = syscalls_.why();
    result.seconds = static_cast<double>(nkv::host::steady_clock::now_ns() - begin) / 1e9;
    return result;
  }

  [[nodiscard]] const std::vector<int>& processors() const noexcept { return processors_; }

 private:
  static std::vector<int> chosen_processors(const spine_options& options) {
    if (!options.processors.empty()) return options.processors;
    std::vector<int> all = allowed_processors();
    if (all.empty()) throw failure("no processor");
    all.resize(std::min<std::size_t>(all.size(), 2));
    return all;
  }

  served_transport open(const std::string& name) {
    served_transport t;
    t.name = name;
    std::string endpoint;
    if (name == "vfio-user") {
      t.process = std::make_unique<served_target>(options_.target.empty() ? target_program() : options_.target,
                                                  processors_.back(), std::vector<std::string>{});
      endpoint = t.process->endpoint();
      t.far_process = t.process->process();
    } else {
      endpoint = "inproc:nkv-bench";
      const auto subsystem = std::make_shared<nkv::target::subsystem>();
      const nkv::status added = subsystem->add(std::make_shared<nkv::target::kv_namespace>(
          nkv::target::namespace_options{}, std::make_shared<nkv::target::memory_store>()));
      if (!added.ok()) throw failure("a namespace", added);
      // Its thread stays where this one is when it is made.
      pin_to(processors_.back());
      t.server = std::make_unique<nkv::target::inproc_server>("nkv-bench", subsystem);
      pin_to(processors_[0]);
      if (!t.server->error().ok()) throw failure("a target in this process", t.server->error());
      t.far_process = ::getpid();
    }
    auto controller = nkv::host::connect(endpoint);
    if (!controller) throw failure(endpoint, controller.error());
    t.controller = std::make_unique<nkv::host::controller>(*std::move(controller));
    auto memory = t.controller->allocate(large_set);
    if (!memory) throw failure("memory for values", memory.error());
    t.memory = std::make_unique<nkv::host::registration>(*std::move(memory));
    // Touched once, so that no window pays for it.
    std::memset(t.memory->data(), 0x5a, t.memory->size_bytes());
    t.far_thread = thread_named(t.far_process, "nkv-poller");
    return t;
  }

  static nkv::host::kv_namespace<nkv::exclusive> open_namespace(const served_transport& t, std::uint32_t depth) {
    nkv::host::namespace_options how;
    how.queue.entries = std::max(128u, std::bit_ceil(depth + 1));
    auto ns = t.controller->open_namespace(1, how);
    if (!ns) throw failure("namespace 1", ns.error());
    return *std::move(ns);
  }

  /// Does `each(ns, key, index)` with every value of the large set.
  template <class Each>
  static void for_every_value(const served_transport& t, std::uint32_t block_bytes, Each&& each) {
    const auto ns = open_namespace(t, 1);
    const auto keys = static_cast<std::uint32_t>(large_set / block_bytes);
    for (std::uint32_t i = 0; i < keys; ++i) {
      const made_key key(i, block_bytes);
      const nkv::outcome o =
          each(ns.ref(), nkv::key_view(reinterpret_cast<const std::byte*>(key.words), sizeof key.words), i);
      if (!o.ok()) throw failure(fmt::format("value {} of {}", i, tools::human_bytes(block_bytes)), o.status);
    }
  }

  /// Stores every value, reads some back and compares.
  void fill(const served_transport& t, std::uint32_t block_bytes) {
    std::byte* const data = t.memory->data();
    const auto value = [&](std::uint32_t i) { return *t.memory->value(std::size_t{i} * block_bytes, block_bytes); };
    const auto words = reinterpret_cast<std::uint64_t*>(data);
    for (std::size_t i = 0; i < large_set / 8; ++i) words[i] = i * 0x9e3779b97f4a7c15u;
    const auto until = nkv::host::deadline::after_ms(60'000);
    for_every_value(t, block_bytes, [&](const namespace_ref& ns, nkv::key_view key, std::uint32_t i) {
      return ns.store(key, value(i), until);
    });
    std::memset(data, 0, large_set);
    for_every_value(t, block_bytes, [&](const namespace_ref& ns, nkv::key_view key, std::uint32_t i) {
      return ns.retrieve(key, value(i), until);
    });
    for (std::size_t i = 0; i < large_set / 8; ++i)
      if (words[i] != i * 0x9e3779b97f4a7c15u) throw failure("a value came back changed");
  }

  static void clear(const served_transport& t, std::uint32_t block_bytes) {
    const auto until = nkv::host::deadline::after_ms(60'000);
    for_every_value(t, block_bytes,
                    [&](const namespace_ref& ns, nkv::key_view key, std::uint32_t) { return ns.remove(key, until); });
  }

  /// A pause is longer than the target spins for, and than it takes to go to sleep.
  idle_cost idle(const served_transport& t) {
    const auto ns = open_namespace(t, 1);
    idle_cost out =
        measure_idle(ns.ref(), clock_, t.far_process, options_.quick ? 20 : 1000, 2000, options_.quick ? 50 : 2000);
    out.transport = t.name;
    return out;
  }

  double round_trip() {
    const double ns = round_trip_.measure(clock_, options_.quick ? 8 : 24);
    round_trips_ns_.push_back(ns);
    return ns;
  }

  double copy_gb_per_s(std::byte* to, const std::byte* from) {
    // Not the part that was copied last.
    copy_at_ = (copy_at_ + copied_bytes) % large_set;
    const std::uint64_t start = tick_clock::now();
    std::memcpy(to + copy_at_, from + copy_at_, copied_bytes);
    __asm__ volatile("" : : "r"(to) : "memory");
    const double rate = copied_bytes / clock_.ns(tick_clock::now() - start);
    memcpys_.push_back(rate);
    return rate;
  }

  [[nodiscard]] window_limits limits_of(const load& l) const {
    window_limits w;
    w.ticks = clock_.ticks((options_.quick ? 0.5 : options_.window_ms) * 1e6);
    w.least_operations = l.block_bytes >= mib ? 2 : std::max(2 * l.depth, 16u);
    // A small set is gone through once, so that it is where it will be.
    w.warm_operations = std::max<std::uint64_t>(2 * l.depth, l.working_set_bytes <= small_set ? l.keys() : 256);
    if (l.block_bytes >= mib) w.warm_operations = 1;
    return w;
  }

  measured_window to_window(const window_times& times, bool disturbed) {
    measured_window w;
    w.operations_per_s = static_cast<double>(times.operations) / clock_.ns(times.ticks) * 1e9;
    w.latencies = scratch_;
    double sum = 0;
    for (const std::uint32_t t : w.latencies) sum += clock_.ns(t);
    if (!w.latencies.empty()) w.avg_ns = sum / static_cast<double>(w.latencies.size());
    w.p50_ns = clock_.ns(percentile(w.latencies, 50));
    w.disturbed = disturbed;
    return w;
  }

  template <verb What>
  measured_window skeleton_window(const load& l, std::byte* client, std::byte* held, std::uint32_t entries) {
    skeleton<What> s(l, client, held, entries);
    scratch_.clear();
    const std::uint64_t near = own_preemptions();
    const std::uint64_t far = preemptions(::getpid(), far_.thread_id());
    window_times times;
    {
      const far_work responding(far_, [&](const std::atomic<bool>& stop) { s.respond(stop, alone_); });
      times = drive(s, l, limits_of(l), clock_, alone_, scratch_, [] {}, [] {});
    }
    return to_window(times, own_preemptions() != near || preemptions(::getpid(), far_.thread_id()) != far);
  }

  template <class Port>
  measured_window real_window(const served_transport& t, const nkv::host::kv_namespace<nkv::exclusive>& ns,
                              const load& l, counted& counts) {
    Port port(l, ns.ref(), t.memory->data(), t.memory->value().address);
    const nkv::queue_counters& queue = ns.queue().ref().counters();
    const auto staged = [&] {
      const nkv::host::controller_statistics s = t.controller->statistics();
      return s.staged_in_bytes + s.staged_out_bytes;
    };
    scratch_.clear();
    counted before;
    const auto begin = [&] {
      before.staged_bytes = staged();
      before.sq_doorbells = queue.sq_doorbells;
      before.cq_doorbells = queue.cq_doorbells;
      before.allocations = allocations_of_this_thread();
    };
    const auto end = [&] {
      counts.allocations += allocations_of_this_thread() - before.allocations;
      counts.sq_doorbells += queue.sq_doorbells - before.sq_doorbells;
      counts.cq_doorbells += queue.cq_doorbells - before.cq_doorbells;
      counts.staged_bytes += staged() - before.staged_bytes;
    };
    const std::uint64_t near = own_preemptions();
    const std::uint64_t far = preemptions(t.far_process, t.far_thread);
    const window_times times = drive(port, l, limits_of(l), clock_, alone_, scratch_, begin, end);
    port.check();
    counts.operations += times.operations;
    return to_window(times, own_preemptions() != near || preemptions(t.far_process, t.far_thread) != far);
  }

  /// A window of its own, since each call of a traced thread takes long.
  template <class Port>
  void count_syscalls(const served_transport& t, const nkv::host::kv_namespace<nkv::exclusive>& ns, const load& l,
                      spine_row& row) {
    if (!syscalls_.attach()) return;
    Port port(l, ns.ref(), t.memory->data(), t.memory->value().address);
    window_limits limits = limits_of(l);
    limits.ticks = 0;
    limits.least_operations = l.block_bytes >= mib ? 3 : options_.quick ? 4 * l.depth : 2000;
    scratch_.clear();
    const window_times times = drive(
        port, l, limits, clock_, alone_, scratch_, [] { syscall_counter::begin(); }, [] { syscall_counter::end(); });
    const syscall_counts counts = syscalls_.detach();
    port.check();
    if (!syscalls_.why().empty()) return;
    row.syscalls_per_op = static_cast<double>(counts.others) / static_cast<double>(times.operations);
    row.yields_per_op = static_cast<double>(counts.yields) / static_cast<double>(times.operations);
    row.wakes_per_op = static_cast<double>(counts.wakes) / static_cast<double>(times.operations);
  }

  spine_row measure(const served_transport& t, const load& l, std::byte* held) {
    switch (l.what) {
      case verb::exist: return measure<verb::exist>(t, l, held);
      case verb::retrieve: return measure<verb::retrieve>(t, l, held);
      default: return measure<verb::store>(t, l, held);
    }
  }
  template <verb What>
  spine_row measure(const served_transport& t, const load& l, std::byte* held) {
    switch (l.style) {
      case call_style::blocking: return measure<What, blocking_port<What>>(t, l, held);
      case call_style::batch: return measure<What, batch_port<What>>(t, l, held);
      default: return measure<What, ticket_port<What>>(t, l, held);
    }
  }

  /// Windows of the skeleton and of the real thing in turn, the floors before and after.
  template <verb What, class Port>
  spine_row measure(const served_transport& t, const load& l, std::byte* held) {
    struct pair {
      measured_window skeleton;
      measured_window real;
      double round_trip_ns = 0;
      double memcpy_gb_per_s = 0;
      bool disturbed = false;
    };
    // With these more the floor has changed its mode within the window.
    constexpr double floor_moved = 1.5;
    const unsigned wanted = options_.quick ? 1 : options_.windows;
    const unsigned most = options_.quick ? 1 : 4 * wanted;
    const auto patience = nkv::host::deadline::after_ms(row_patience_ms);
    spine_row row;
    row.transport = t.name;
    row.what = l;
    const auto ns = open_namespace(t, l.depth);
    const bool copies = l.block_bytes == copied_bytes;
    std::vector<pair> pairs;
    counted counts;
    unsigned quiet = 0;
    for (unsigned i = 0; i < most && quiet < wanted && (i < least_windows || !patience.expired()); ++i) {
      pair p;
      const double before = round_trip();
      if (copies) p.memcpy_gb_per_s = copy_gb_per_s(t.memory->data(), held);
      // Neither is always the first.
      if (i % 2 == 0) p.skeleton = skeleton_window<What>(l, t.memory->data(), held, ns.queue().shape().sq_entries);
      const double between = round_trip();
      p.real = real_window<Port>(t, ns, l, counts);
      const double after = round_trip();
      if (i % 2 != 0) p.skeleton = skeleton_window<What>(l, t.memory->data(), held, ns.queue().shape().sq_entries);
      if (copies) p.memcpy_gb_per_s = (p.memcpy_gb_per_s + copy_gb_per_s(t.memory->data(), held)) / 2;
      const double last = i % 2 != 0 ? round_trip() : after;
      p.round_trip_ns = (between + after) / 2;
      const auto [least, greatest] = std::minmax({before, between, after, last});
      p.disturbed = p.skeleton.disturbed || p.real.disturbed || greatest > floor_moved * least;
      quiet += p.disturbed ? 0 : 1;
      row.disturbed_windows += p.disturbed ? 1 : 0;
      pairs.push_back(std::move(p));
    }
    // With too few quiet ones the others are better than nothing, and the row says so.
    row.disturbed = quiet < std::min(least_windows, wanted);
    std::vector<double> rates, averages, p50s, trips, in_trips, skeleton_rates, skeleton_p50s, ratios, copy_rates,
        of_copy;
    std::vector<std::uint32_t> pooled;
    for (pair& p : pairs) {
      if (p.disturbed && !row.disturbed) continue;
      ++row.windows;
      rates.push_back(p.real.operations_per_s);
      averages.push_back(p.real.avg_ns);
      p50s.push_back(p.real.p50_ns);
      trips.push_back(p.round_trip_ns);
      in_trips.push_back(p.real.p50_ns / p.round_trip_ns);
      skeleton_rates.push_back(p.skeleton.operations_per_s);
      skeleton_p50s.push_back(p.skeleton.p50_ns);
      ratios.push_back(p.real.operations_per_s / p.skeleton.operations_per_s);
      if (copies) {
        copy_rates.push_back(p.memcpy_gb_per_s);
        of_copy.push_back(p.real.operations_per_s * copied_bytes / 1e9 / p.memcpy_gb_per_s);
      }
      pooled.insert(pooled.end(), p.real.latencies.begin(), p.real.latencies.end());
    }
    row.operations_per_s = median(rates);
    row.latency_avg_ns = median(averages);
    row.latency_p50_ns = median(p50s);
    row.latency_p90_ns = clock_.ns(percentile(pooled, 90));
    row.latency_p99_ns = clock_.ns(percentile(pooled, 99));
    row.round_trip_ns = median(trips);
    row.latency_in_round_trips = spread_of(in_trips);
    row.skeleton_operations_per_s = median(skeleton_rates);
    row.skeleton_latency_p50_ns = median(skeleton_p50s);
    row.ratio_to_skeleton = spread_of(ratios);
    if (copies) {
      row.memcpy_gb_per_s = median(copy_rates);
      row.ratio_to_memcpy = spread_of(of_copy);
    }
    const auto operations = static_cast<double>(counts.operations);
    row.allocations_per_op = static_cast<double>(counts.allocations) / operations;
    row.sq_doorbells_per_op = static_cast<double>(counts.sq_doorbells) / operations;
    row.cq_doorbells_per_op = static_cast<double>(counts.cq_doorbells) / operations;
    row.staged_bytes_per_op = static_cast<double>(counts.staged_bytes) / operations;
    count_syscalls<Port>(t, ns, l, row);
    return row;
  }

  static constexpr unsigned least_windows = 3;
  static constexpr std::uint64_t row_patience_ms = 2000;  // on a machine that others use too
  static constexpr std::size_t most_latencies = std::size_t{1} << 20;

  spine_options options_;
  syscall_counter syscalls_;  // before any thread
  std::vector<int> processors_;
  bool alone_;
  bool pinned_;
  tick_clock clock_;
  far_side far_;
  round_trip_floor round_trip_;
  std::vector<std::uint32_t> scratch_ = [] {
    std::vector<std::uint32_t> v;
    v.reserve(most_latencies);
    return v;
  }();
  std::vector<double> round_trips_ns_;
  std::vector<double> memcpys_;
  std::size_t copy_at_ = 0;
};

int run_spine(const spine_options& options, const std::vector<std::string>& arguments) {
  spine_result result;
  {
    spine s(options);
    nlohmann::ordered_json origin = provenance(arguments, s.processors());
    result = s.run();
    result.origin = std::move(origin);
  }
  if (options.instructions) result.instructions = count_instructions();
  print(result);
  if (options.json.empty()) return 0;
  std::ofstream file(options.json);
  file << json_of(result).dump(2) << '\n';
  file.close();
  if (!file) throw failure("cannot write " + options.json);
  return 0;
}

constexpr const char* spine_footer = R"(WHAT IS MEASURED
  Exist, Retrieve and Store through a client queue pair and a target that each have a processor of
  their own, beside three floors taken in the same run: a round trip of one line of the cache between
  two threads; a memcpy of 64 MiB; and the skeleton, two threads that store the same 64-byte entries,
  doorbell words, 16-byte completions and values on the same working set, with no logic at all.
  Windows of the skeleton and of the real thing alternate, a round trip before and after each; every
  ratio is taken within such a pair, and the median of them is given. Windows in which a processor was
  taken away, or the round trip changed by half, are measured again.
)";

}  // namespace

void add_spine(CLI::App& app, program& p) {
  CLI::App* const command = app.add_subcommand("spine", "What one operation costs between a client and nkv-target");
  command->footer(spine_footer);
  const auto o = std::make_shared<spine_options>();
  command->add_option("--json", o->json, "Write the results there too")->type_name("FILE");
  command->add_flag("--quick", o->quick, "Every row, for a moment: shows that it works, not how fast it is");
  command->add_option("--transport", o->transport, "vfio-user (default), inproc or both")
      ->check(CLI::IsMember({"vfio-user", "inproc", "both"}))
      ->type_name("NAME");
  command
      ->add_option("--filter", o->filters,
                   "Only the rows with this in their name, e.g. retrieve/4KiB or depth32; may be repeated")
      ->type_name("TEXT");
  command->add_option("--windows", o->windows, "Undisturbed windows of each row")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000))
      ->type_name("N");
  command->add_option("--window-ms", o->window_ms, "Length of a window")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 60000.0))
      ->type_name("MILLISECONDS");
  command->add_option("--cpus", o->processors, "The client's processor and the target's (default: the first two)")
      ->delimiter(',')
      ->expected(2)
      ->type_name("A,B");
  command->add_option("--target", o->target, "The program nkv-target (default: beside this one, or on the PATH)")
      ->type_name("FILE");
  command->add_flag("!--no-instructions", o->instructions, "Do not run valgrind to count instructions");
  command->callback([&p, o] { p.run = [&p, o] { return run_spine(*o, p.arguments); }; });
}

}  // namespace bench
