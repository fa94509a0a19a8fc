// SPDX-License-Identifier: BSD-3-Clause
#include "failure.hpp"
#include "machine.hpp"
#include "processors.hpp"
#include "rados_client.hpp"
#include "rados_load.hpp"
#include "rados_native.hpp"
#include "rados_report.hpp"
#include "rados_target.hpp"
#include "served_target.hpp"
#include "statistics.hpp"
#include "subcommand.hpp"

#include <nkv/kv/checksum.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bench {

namespace {

// Its own loads and reports, beside the spine's.
using namespace rados;

struct rados_options {
  std::string json;
  std::string target;
  std::vector<std::string> filters;
  bool quick = false;
  unsigned rounds = 5;
  unsigned window_ms = 500;
};

class rados_measurement {
 public:
  explicit rados_measurement(const rados_options& options) : options_(options) {
    const char* const conf = std::getenv("NKV_CEPH_CONF");
    const char* const pool = std::getenv("NKV_CEPH_POOL");
    if (conf == nullptr || pool == nullptr)
      throw failure("no cluster: NKV_CEPH_CONF and NKV_CEPH_POOL name it; ./bench/run rados makes one");
    conf_ = conf;
    pool_ = pool;
    if (const char* const wasmtime = std::getenv("NKV_WASMTIME")) wasmtime_ = wasmtime;
  }

  int run(const std::vector<std::string>& arguments) {
    const nlohmann::ordered_json origin = provenance(arguments, allowed_processors());
    const configuration how(conf_, pool_, wasmtime_);
    const served_target target(options_.target.empty() ? target_program() : options_.target, -1,
                               {"--config", how.path()});
    native_client native(conf_, pool_, "bench");
    nkv_client plain(target.endpoint(), plain_nsid, std::uint64_t{nkv_client::most_depth} * long_bytes);
    const unsigned rounds = options_.quick ? 1 : options_.rounds;
    const unsigned ms = options_.quick ? 50 : options_.window_ms;
    std::vector<row> rows;
    for (const std::uint32_t block : {short_bytes, long_bytes}) {
      // Every value is there before it is read, as long as each is written once.
      for (std::uint32_t i = 0; i < load{verb::store, block, 1}.values(); ++i)
        plain.store(key_of(block, i), {plain.data(), block});
      for (const verb v : {verb::store, verb::retrieve})
        for (const std::uint32_t depth : {1u, 16u, 64u}) {
          const load l{v, block, depth};
          if (chosen(l.name())) rows.push_back(compare(native, plain, l, rounds, ms));
        }
    }
    std::vector<goal> goals = goals_of(rows);
    nlohmann::ordered_json beside;
    if (chosen("cache")) caching(target.endpoint(), plain, rounds, ms, goals, beside);
    if (chosen("endless")) endless(target.endpoint(), plain, rounds, ms, goals, beside);
    print(rows, goals, beside);
    if (options_.json.empty()) return 0;
    std::ofstream file(options_.json);
    file << json_of(origin, rows, goals, beside).dump(2) << '\n';
    file.close();
    if (!file) throw failure("cannot write " + options_.json);
    return 0;
  }

 private:
  [[nodiscard]] bool chosen(const std::string& name) const {
    return options_.filters.empty() ||
           std::any_of(options_.filters.begin(), options_.filters.end(),
                       [&](const std::string& f) { return name.find(f) != std::string::npos; });
  }

  row compare(native_client& native, nkv_client& ours, const load& l, unsigned rounds, unsigned ms) const {
    std::vector<double> nkv_rates, native_rates, ratios, nkv_p50s, native_p50s, nkv_p99s, native_p99s, added;
    for (unsigned r = 0; r < rounds; ++r) {
      window a, b;
      // Neither is always the first.
      if (r % 2 == 0) a = ours.run(l, ms);
      b = native.run(l, ms);
      if (r % 2 != 0) a = ours.run(l, ms);
      nkv_rates.push_back(a.operations_per_s);
      native_rates.push_back(b.operations_per_s);
      ratios.push_back(a.operations_per_s / b.operations_per_s);
      nkv_p50s.push_back(a.p50_ns);
      native_p50s.push_back(b.p50_ns);
      nkv_p99s.push_back(a.p99_ns);
      native_p99s.push_back(b.p99_ns);
      added.push_back(a.p50_ns - b.p50_ns);
    }
    row row;
    row.what = l;
    row.nkv_per_s = median(nkv_rates);
    row.native_per_s = median(native_rates);
    row.ratio = median(ratios);
    row.nkv_p50_ns = median(nkv_p50s);
    row.native_p50_ns = median(native_p50s);
    row.nkv_p99_ns = median(nkv_p99s);
    row.native_p99_ns = median(native_p99s);
    row.added_ns = median(added);
    row.rados_bench_per_s = rados_bench(conf_, pool_, l, options_.quick ? 1 : 2);
    return row;
  }

  /// Hits against reads of the cluster, against a memcpy, and Execute beside a value against computing on the client.
  static void caching(const std::string& endpoint, nkv_client& plain, unsigned rounds, unsigned ms,
                      std::vector<goal>& goals, nlohmann::ordered_json& beside) {
    constexpr std::uint32_t depth = 8;
    nkv_client cached(endpoint, cached_nsid, std::uint64_t{depth} * long_bytes);
    const load small{verb::retrieve, short_bytes, 1}, large{verb::retrieve, long_bytes, depth};
    // The first time round fills.
    static_cast<void>(cached.run(small, std::max(ms, 200u)));
    for (std::uint32_t i = 0; i < small.values(); ++i) cached.retrieve(key_of(short_bytes, i), short_bytes);
    for (std::uint32_t i = 0; i < large.values(); ++i) cached.retrieve(key_of(long_bytes, i), long_bytes);
    const std::size_t set_bytes = std::size_t{large.values()} * long_bytes;
    const std::unique_ptr<std::byte[]> set(new std::byte[set_bytes]);
    std::memset(set.get(), 'v', set_bytes);
    std::vector<double> faster, hits_ns, cold_ns, of_copy, copies_gb, execute_faster, executes_ns, clients_ns;
    for (unsigned r = 0; r < rounds; ++r) {
      const window cold = plain.run(small, ms), hit = cached.run(small, ms);
      cold_ns.push_back(cold.p50_ns);
      hits_ns.push_back(hit.p50_ns);
      faster.push_back(cold.p50_ns / hit.p50_ns);
      const double copy = copies_per_s(cached.data(), depth, set.get(), large.values(), ms);
      const window w = cached.run(large, ms);
      copies_gb.push_back(copy * long_bytes / 1e9);
      of_copy.push_back(w.operations_per_s / copy);
      std::vector<std::uint64_t> there, here;
      const std::uint64_t until = now_ns() + std::uint64_t{ms} * 1'000'000;
      for (std::uint32_t i = 0; now_ns() < until || i == 0; ++i) {
        const std::string key = key_of(long_bytes, i % large.values());
        const std::uint64_t a = now_ns();
        nkv::status how;
        const std::uint64_t by_target = cached.execute(hash_op, key, how);
        if (!how.ok()) throw failure("Execute of xxh64", how);
        const std::uint64_t b = now_ns();
        cached.retrieve(key, long_bytes);
        const std::uint64_t by_client = nkv::xxh64::of({cached.data(), long_bytes});
        const std::uint64_t c = now_ns();
        if (by_target != by_client) throw failure("the target's XXH64 is not the client's");
        there.push_back(b - a);
        here.push_back(c - b);
      }
      executes_ns.push_back(static_cast<double>(percentile(there, 50)));
      clients_ns.push_back(static_cast<double>(percentile(here, 50)));
      execute_faster.push_back(clients_ns.back() / executes_ns.back());
    }
    const double times = median(faster), share = median(of_copy), near_data = median(execute_faster);
    goals.push_back(goal{"4 KiB cache hit, times as fast as a read of the cluster (p50)", ">= 50",
                         fmt::format("{:.0f}", times), times >= 50});
    goals.push_back(goal{"4 MiB cache hit, share of a memcpy", ">= 0.70", fmt::format("{:.2f}", share), share >= 0.7});
    goals.push_back(goal{"Execute of XXH64 over a cached 4 MiB value, times as fast as Retrieve and the client's",
                         "> 1", fmt::format("{:.2f}", near_data), near_data > 1});
    beside["cold_retrieve_4KiB_p50_ns"] = median(cold_ns);
    beside["cache_hit_4KiB_p50_ns"] = median(hits_ns);
    beside["memcpy_4MiB_gb_per_s"] = median(copies_gb);
    beside["cache_hit_4MiB_share_of_memcpy"] = share;
    beside["execute_xxh64_4MiB_ns"] = median(executes_ns);
    beside["retrieve_and_xxh64_4MiB_ns"] = median(clients_ns);
  }

  static double copies_per_s(std::byte* to, std::uint32_t depth, const std::byte* from, std::uint32_t values,
                             unsigned ms) {
    const std::uint64_t begin = now_ns();
    const std::uint64_t until = begin + std::uint64_t{ms} * 1'000'000;
    std::uint64_t n = 0;
    do {
      std::memcpy(to + std::size_t{n % depth} * long_bytes, from + std::size_t{n % values} * long_bytes, long_bytes);
      // The copy counts although nobody looks at it.
      __asm__ volatile("" ::"r"(to) : "memory");
      ++n;
    } while (now_ns() < until);
    return static_cast<double>(n) * 1e9 / static_cast<double>(now_ns() - begin);
  }

  /// Retrieves beside as many endless modules as the target lets in.
  void endless(const std::string& endpoint, nkv_client& plain, unsigned rounds, unsigned ms, std::vector<goal>& goals,
               nlohmann::ordered_json& beside) const {
    if (wasmtime_.empty()) {
      fmt::print("not measured: Retrieve beside endless modules, for want of wasmtime (NKV_WASMTIME)\n");
      return;
    }
    plain.store(endless_key, {reinterpret_cast<const std::byte*>(endless_module), sizeof endless_module});
    const load l{verb::retrieve, short_bytes, 1};
    constexpr unsigned clients = 8;
    std::vector<double> alone, with, ratios;
    std::atomic<std::uint64_t> killed{0};
    for (unsigned r = 0; r < rounds; ++r) {
      alone.push_back(plain.run(l, ms).p99_ns);
      std::atomic<bool> stop{false};
      std::atomic<unsigned> running{0};
      std::vector<std::string> errors(clients);
      std::vector<std::jthread> threads;
      for (unsigned i = 0; i < clients; ++i)
        threads.emplace_back([&, i] {
          try {
            nkv_client c(endpoint, plain_nsid, 4096);
            running.fetch_add(1);
            while (!stop.load()) {
              nkv::status how;
              static_cast<void>(c.execute(endless_op, key_of(short_bytes, i), how));
              if (how != nkv::status(nkv::status_code_type::generic, nkv::generic_status::abort_requested))
                throw failure("an endless module", how);
              killed.fetch_add(1);
            }
          } catch (const std::exception& e) {
            errors[i] = e.what();
            running.fetch_add(1);
          }
        });
      while (running.load() != clients) std::this_thread::yield();
      // Until modules run.
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      std::string failed;
      try {
        with.push_back(plain.run(l, ms).p99_ns);
      } catch (const std::exception& e) {
        failed = e.what();
      }
      stop = true;
      threads.clear();
      if (!failed.empty()) throw failure(failed);
      for (const std::string& e : errors)
        if (!e.empty()) throw failure(e);
      ratios.push_back(with.back() / alone.back());
    }
    const double times = median(ratios);
    goals.push_back(goal{"4 KiB Retrieve's p99 beside endless modules, times that without", "< 1.5",
                         fmt::format("{:.2f}", times), times < 1.5});
    beside["retrieve_4KiB_p99_ns"] = median(alone);
    beside["retrieve_4KiB_p99_beside_endless_modules_ns"] = median(with);
    beside["endless_modules_killed"] = killed.load();
  }

  const rados_options options_;
  std::string conf_, pool_, wasmtime_;
};

constexpr const char* rados_footer = R"(WHAT IS MEASURED
  Store and Retrieve over vfio-user to nkv-target and its Ceph cluster, beside librados's own
  asynchronous operations on the same objects: windows of both in turn, every ratio within such a pair,
  the median given; and what `rados bench` says of the same sizes and depths. Everybody sleeps where
  nothing has come, since the OSD is on the same machine. Then cache hits beside reads of the cluster and
  a memcpy, Execute beside cached values, and Retrieve beside modules that never end.
  NKV_CEPH_CONF and NKV_CEPH_POOL name the cluster, NKV_WASMTIME the engine's library; ./bench/run rados
  makes the one, brings the other, and takes everything away again.
)";

}  // namespace

void add_rados(CLI::App& app, program& p) {
  CLI::App* const command = app.add_subcommand("rados", "What nkv-target adds to a Ceph cluster, and takes off it");
  command->footer(rados_footer);
  const auto o = std::make_shared<rados_options>();
  command->add_option("--json", o->json, "Write the results there too")->type_name("FILE");
  command->add_flag("--quick", o->quick, "Every row, for a moment: shows that it works, not how fast it is");
  command
      ->add_option(
          "--filter", o->filters,
          "Only the rows with this in their name, e.g. retrieve/4 KiB, depth64, cache or endless; may be repeated")
      ->type_name("TEXT");
  command->add_option("--rounds", o->rounds, "Windows of each row")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000))
      ->type_name("N");
  command->add_option("--window-ms", o->window_ms, "Length of a window")
      ->capture_default_str()
      ->check(CLI::Range(1, 60000))
      ->type_name("MILLISECONDS");
  command->add_option("--target", o->target, "The program nkv-target (default: beside this one, or on the PATH)")
      ->type_name("FILE");
  command->callback([&p, o] { p.run = [&p, o] { return rados_measurement(*o).run(p.arguments); }; });
}

}  // namespace bench
