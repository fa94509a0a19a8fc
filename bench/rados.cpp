// SPDX-License-Identifier: BSD-3-Clause
#include "failure.hpp"
#include "machine.hpp"
#include "processors.hpp"
#include "served_target.hpp"
#include "statistics.hpp"
#include "subcommand.hpp"

#include "common/human.hpp"
#include "common/table.hpp"

#include <nkv/client/operation.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/connect.hpp>
#include <nkv/kv/checksum.hpp>
#include <nkv/kv/key.hpp>

#include <fmt/format.h>
#include <openssl/evp.h>
#include <nlohmann/json.hpp>
#include <rados/librados.hpp>

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bench {

namespace {

struct rados_options {
  std::string json;
  std::string target;
  std::vector<std::string> filters;
  bool quick = false;
  unsigned rounds = 5;
  unsigned window_ms = 500;
};

enum class verb { store, retrieve };
constexpr const char* name_of(verb v) { return v == verb::store ? "store" : "retrieve"; }

struct load {
  verb what = verb::retrieve;
  std::uint32_t block_bytes = 4096;
  std::uint32_t depth = 1;
  [[nodiscard]] std::string name() const {
    return fmt::format("{}/{}/depth{}", name_of(what), tools::human_bytes(block_bytes), depth);
  }
  /// Values that it takes turns with: more than are under way.
  [[nodiscard]] std::uint32_t values() const { return block_bytes > (1u << 20) ? 96 : 1024; }
};

/// What one window came to.
struct window {
  double operations_per_s = 0;
  double p50_ns = 0;
  double p99_ns = 0;
};

std::uint64_t now_ns() { return nkv::host::steady_clock::now_ns(); }

std::string key_of(std::uint32_t block_bytes, std::uint32_t index) {
  return fmt::format("{:07x}.{:05x}", block_bytes, index);
}
nkv::key_view view_of(const std::string& key) { return nkv::key_view::from_text(key.data(), key.size()); }
/// The object that holds a key's value.
std::string object_of(const std::string& key) {
  std::string out;
  for (const char c : key) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return out;
}

/// Counts what ends within a window's time.
class window_clock {
 public:
  explicit window_clock(unsigned ms) : begin_ns_(now_ns()), until_ns_(begin_ns_ + std::uint64_t{ms} * 1'000'000) {}
  [[nodiscard]] bool over() const { return now_ns() >= until_ns_; }
  void ended(std::uint64_t began_ns) {
    last_ns_ = now_ns();
    latencies_.push_back(last_ns_ - began_ns);
  }
  [[nodiscard]] window result() {
    window w;
    w.operations_per_s = static_cast<double>(latencies_.size()) * 1e9 / static_cast<double>(last_ns_ - begin_ns_);
    w.p50_ns = static_cast<double>(percentile(latencies_, 50));
    w.p99_ns = static_cast<double>(percentile(latencies_, 99));
    return w;
  }

 private:
  std::uint64_t begin_ns_, until_ns_, last_ns_ = 0;
  std::vector<std::uint64_t> latencies_;
};

// librados
// ---------------------------------------------------------------------------------------------------------------------

/// The objects by librados's asynchronous operations, which is what a program without nkv would use: the data stays in
/// the buffers that librados received it in. Sleeps where nothing has come.
class native_client {
 public:
  native_client(const std::string& conf, const std::string& pool, const std::string& space) {
    const auto must = [](int r, const char* what) {
      if (r < 0) throw failure(fmt::format("{}: {}", what, std::strerror(-r)));
    };
    must(rados_.init("admin"), "librados");
    must(rados_.conf_read_file(conf.c_str()), "librados: the configuration");
    must(rados_.conf_set("log_file", ""), "librados: log_file");
    must(rados_.connect(), "librados: no cluster");
    must(rados_.ioctx_create(pool.c_str(), io_), "librados: the pool");
    io_.set_namespace(space);
  }
  ~native_client() {
    io_.close();
    rados_.shutdown();
  }

  window run(const load& l, unsigned ms) {
    if (value_.size() != l.block_bytes) value_.assign(l.block_bytes, 'v');
    slots_.clear();
    for (std::uint32_t i = 0; i < l.depth; ++i) slots_.push_back(std::make_unique<slot>(*this));
    window_clock clock(ms);
    std::uint32_t next = 0, under_way = 0;
    for (auto& s : slots_) {
      begin(l, *s, next++);
      ++under_way;
    }
    std::vector<slot*> ended;
    while (under_way != 0) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !ended_.empty(); });
        ended.swap(ended_);
      }
      for (slot* s : ended) {
        clock.ended(s->began_ns);
        const int r = s->done->get_return_value();
        s->done->release();
        if (r < 0 || (l.what == verb::retrieve && s->read.length() != l.block_bytes))
          throw failure(l.name() + ": a native operation failed");
        if (clock.over()) {
          --under_way;
        } else {
          begin(l, *s, next++);
        }
      }
      ended.clear();
    }
    return clock.result();
  }

 private:
  struct slot {
    explicit slot(native_client& c) : of(&c) {}
    native_client* of;
    librados::AioCompletion* done = nullptr;
    librados::bufferlist read;
    std::uint64_t began_ns = 0;
  };

  void begin(const load& l, slot& s, std::uint32_t index) {
    s.done = librados::Rados::aio_create_completion(&s, [](rados_completion_t, void* arg) {
      slot& ended = *static_cast<slot*>(arg);
      const std::lock_guard lock(ended.of->mutex_);
      ended.of->ended_.push_back(&ended);
      ended.of->changed_.notify_one();
    });
    const std::string name = object_of(key_of(l.block_bytes, index % l.values()));
    s.read.clear();
    s.began_ns = now_ns();
    int r = 0;
    if (l.what == verb::store) {
      librados::bufferlist bl;
      bl.push_back(ceph::buffer::create_static(static_cast<unsigned>(value_.size()), value_.data()));
      r = io_.aio_write_full(name, s.done, bl);
    } else {
      r = io_.aio_read(name, s.done, &s.read, l.block_bytes, 0);
    }
    if (r != 0) throw failure(l.name() + ": librados takes no operation");
  }

  librados::Rados rados_;
  librados::IoCtx io_;
  std::vector<char> value_;
  std::vector<std::unique_ptr<slot>> slots_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<slot*> ended_;
};

/// What `rados bench` says of itself. Its objects are its own, written before they are read, and taken away: the
/// cluster is small, and a full one keeps it waiting. 0 where it is not there.
double rados_bench(const std::string& conf, const std::string& pool, const load& l, unsigned seconds) {
  const std::string common =
      fmt::format("timeout 60 rados -c '{}' -p '{}' -N rados-bench bench {} ", conf, pool, seconds);
  const std::string set = fmt::format(" -t {} --run-name nkv{} --no-hints 2>/dev/null", l.depth, l.block_bytes);
  const auto write = common + fmt::format("write -b {} --no-cleanup --max-objects {}", l.block_bytes, l.values()) + set;
  const std::string measured = l.what == verb::store ? write : write + " >/dev/null && " + common + "rand" + set;
  const std::string command =
      measured +
      fmt::format("; timeout 60 rados -c '{}' -p '{}' -N rados-bench cleanup --run-name nkv{} >/dev/null 2>&1", conf,
                  pool, l.block_bytes);
  FILE* const out = ::popen(command.c_str(), "r");
  if (out == nullptr) return 0;
  double per_s = 0;
  char line[256];
  while (std::fgets(line, sizeof line, out) != nullptr) {
    double value = 0;
    if (std::sscanf(line, "Average IOPS: %lf", &value) == 1) per_s = value;
  }
  ::pclose(out);
  return per_s;
}

// nkv
// -----------------------------------------------------------------------------------------------------------------------

/// One namespace of the target, in memory that the target maps. Sleeps where nothing has come.
class nkv_client {
 public:
  static constexpr std::uint32_t most_depth = 64;

  nkv_client(const std::string& endpoint, std::uint32_t nsid, std::uint64_t memory_bytes)
      : controller_(must(nkv::host::connect(endpoint), "connect")),
        ns_(must(controller_.open_namespace(nsid, options()), "the namespace")),
        memory_(must(controller_.allocate(memory_bytes), "memory")) {
    std::memset(memory_.data(), 'v', memory_bytes);
  }

  [[nodiscard]] std::byte* data() const { return memory_.data(); }

  window run(const load& l, unsigned ms) {
    struct slot {
      nkv::kv_ticket ticket;
      std::string key;
      std::uint64_t began_ns = 0;
    };
    std::vector<slot> slots(l.depth);
    const auto ns = ns_.ref();
    std::uint32_t next = 0, under_way = 0;
    const auto begin = [&](std::uint32_t i) {
      slot& s = slots[i];
      s.key = key_of(l.block_bytes, next++ % l.values());
      const nkv::value_ref where{memory_.value().address + std::uint64_t{i} * l.block_bytes, l.block_bytes, 0};
      s.began_ns = now_ns();
      const auto t = ns.submit(l.what == verb::store ? nkv::operation::store(view_of(s.key), where)
                                                     : nkv::operation::retrieve(view_of(s.key), where));
      if (!t) throw failure(l.name(), t.error());
      s.ticket = *t;
    };
    window_clock clock(ms);
    for (std::uint32_t i = 0; i < l.depth; ++i) {
      begin(i);
      ++under_way;
    }
    const nkv::host::completion_event& event = ns_.queue().event();
    for (std::uint64_t idle_since_ns = now_ns(); under_way != 0;) {
      bool any = false;
      for (std::uint32_t i = 0; i < l.depth; ++i) {
        slot& s = slots[i];
        if (!s.ticket.valid()) continue;
        const nkv::outcome o = ns.poll(s.ticket);
        if (o.status == nkv::status(nkv::client_status::would_block)) continue;
        any = true;
        clock.ended(s.began_ns);
        s.ticket = {};
        if (!o.ok() || (l.what == verb::retrieve && o.length_bytes != l.block_bytes)) throw failure(l.name(), o.status);
        if (clock.over()) {
          --under_way;
        } else {
          begin(i);
        }
      }
      if (any) {
        idle_since_ns = now_ns();
      } else if (now_ns() - idle_since_ns > spin_ns) {
        pollfd readable{event.fd(), POLLIN, 0};
        if (::poll(&readable, 1, 10'000) != 1) throw failure(l.name() + ": no completion within 10 seconds");
        event.clear();
        idle_since_ns = now_ns();
      }
    }
    return clock.result();
  }

  /// One Execute, for as long as it takes. @return its result
  std::uint64_t execute(std::uint32_t op_id, const std::string& key, nkv::status& how) {
    const nkv::key_view k = view_of(key);
    const nkv::value_ref payload{memory_.value().address, 256, 0};
    const nkv::outcome o = ns_.run(nkv::operation::execute(op_id, k, payload, memory_.data(), 0, 8));
    how = o.status;
    std::uint64_t out = 0;
    if (o.ok()) std::memcpy(&out, memory_.data() + nkv::execute_result_offset(ns_.profile(), k), sizeof out);
    return out;
  }
  /// One Retrieve into the memory's beginning.
  void retrieve(const std::string& key, std::uint32_t bytes) {
    const nkv::outcome o = ns_.run(nkv::operation::retrieve(view_of(key), {memory_.value().address, bytes, 0}));
    if (!o.ok()) throw failure("Retrieve", o.status);
  }
  void store(const std::string& key, nkv::byte_span value) {
    if (const nkv::outcome o = ns_.store(view_of(key), value); !o.ok()) throw failure("Store", o.status);
  }

 private:
  static constexpr std::uint64_t spin_ns = 10'000;  // a cache hit's time, and little beside a cluster's

  template <class T>
  static T must(nkv::host::result<T> r, const char* what) {
    if (!r) throw failure(what, r.error());
    return *std::move(r);
  }
  static nkv::host::namespace_options options() {
    nkv::host::namespace_options o;
    o.queue.entries = 2 * most_depth;
    o.queue.completion_event = true;
    return o;
  }

  nkv::host::controller controller_;
  nkv::host::kv_namespace<nkv::exclusive> ns_;
  nkv::host::registration memory_;
};

/// A module whose only function never ends: (func (export "run") (param i32 i32) (result i32) (loop (br 0)) i32.const
/// 0).
constexpr unsigned char endless_module[] = {
    0x00, 'a',  's',  'm',  0x01, 0x00, 0x00, 0x00, 0x01, 0x07, 0x01, 0x60, 0x02, 0x7f, 0x7f, 0x01, 0x7f, 0x03, 0x02,
    0x01, 0x00, 0x05, 0x03, 0x01, 0x00, 0x01, 0x07, 0x10, 0x02, 0x06, 'm',  'e',  'm',  'o',  'r',  'y',  0x02, 0x00,
    0x03, 'r',  'u',  'n',  0x00, 0x00, 0x0a, 0x0b, 0x01, 0x09, 0x00, 0x03, 0x40, 0x0c, 0x00, 0x0b, 0x41, 0x00, 0x0b};
constexpr const char* endless_key = "endless";
constexpr std::uint32_t hash_op = 1, endless_op = 2;
constexpr std::uint32_t plain_nsid = 1, cached_nsid = 2;

std::string sha256_of(nkv::byte_span data) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  if (EVP_Digest(data.data(), data.size(), digest.data(), &length, EVP_sha256(), nullptr) != 1)
    throw failure("libcrypto has no SHA-256");
  std::string out;
  for (unsigned i = 0; i < length; ++i) out += fmt::format("{:02x}", digest[i]);
  return out;
}

/// The configuration of the target, in a file for this object's life.
class configuration {
 public:
  configuration(const std::string& conf, const std::string& pool, const std::string& wasmtime) {
    std::string path = std::filesystem::temp_directory_path().string() + "/nkv-bench-config-XXXXXX";
    const int fd = ::mkstemp(path.data());
    if (fd < 0) throw failure("no file for a configuration");
    ::close(fd);
    path_ = path;
    const nlohmann::json store = {{"type", "rados"}, {"rados_namespace", "bench"}};
    nlohmann::json execute = nlohmann::json::array();
    execute.push_back({{"op", hash_op}, {"runtime", "builtin"}, {"function", "xxh64"}, {"tier", "large"}});
    nlohmann::json all = {{"poller", {{"spin_us", 50}}}};
    if (!wasmtime.empty()) {
      all["execute"]["wasmtime"] = wasmtime;
      const nkv::byte_span module(reinterpret_cast<const std::byte*>(endless_module), sizeof endless_module);
      execute.push_back({{"op", endless_op},
                         {"runtime", "wasm"},
                         {"function", "run"},
                         {"module", {{"key", object_of(endless_key)}}},
                         {"sha256", sha256_of(module)},
                         {"tier", "small"}});
    }
    const nlohmann::json plain = {{"nsid", plain_nsid}, {"store", store}, {"execute", execute}};
    const nlohmann::json cached = {
        {"nsid", cached_nsid}, {"store", store}, {"execute", execute}, {"cache", {{"freshness", "immutable"}}}};
    all["subsystems"] = {{{"rados", {{"pool", pool}, {"conf", conf}}}, {"namespaces", {plain, cached}}}};
    std::ofstream file(path_);
    file << all.dump();
    file.close();
    if (!file) throw failure("cannot write " + path_);
  }
  configuration(const configuration&) = delete;
  configuration& operator=(const configuration&) = delete;
  ~configuration() { ::unlink(path_.c_str()); }

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// The measurement
// -----------------------------------------------------------------------------------------------------------

struct rados_row {
  load what;
  double nkv_per_s = 0, native_per_s = 0, rados_bench_per_s = 0;
  double ratio = 0;  ///< of the rates, round by round; the median
  double nkv_p50_ns = 0, native_p50_ns = 0, nkv_p99_ns = 0, native_p99_ns = 0;
  double added_ns = 0;  ///< by p50, round by round; the median
};

struct rados_goal {
  std::string text, wanted, measured;
  bool reached = false;
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
    std::vector<rados_row> rows;
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
    std::vector<rados_goal> goals = goals_of(rows);
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
  static constexpr std::uint32_t short_bytes = 4096, long_bytes = 4u << 20;

  [[nodiscard]] bool chosen(const std::string& name) const {
    return options_.filters.empty() ||
           std::any_of(options_.filters.begin(), options_.filters.end(),
                       [&](const std::string& f) { return name.find(f) != std::string::npos; });
  }

  rados_row compare(native_client& native, nkv_client& ours, const load& l, unsigned rounds, unsigned ms) const {
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
    rados_row row;
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

  static rados_goal goal(std::string text, std::string wanted, std::string measured, bool reached) {
    return {std::move(text), std::move(wanted), std::move(measured), reached};
  }

  static std::vector<rados_goal> goals_of(const std::vector<rados_row>& rows) {
    std::vector<rados_goal> out;
    for (const rados_row& r : rows) {
      const double share = r.what.block_bytes == long_bytes ? 0.95 : 0.85;
      if (r.what.depth > 1)
        out.push_back(goal(r.what.name() + ", share of native librados's rate", fmt::format(">= {:.2f}", share),
                           fmt::format("{:.2f}", r.ratio), r.ratio >= share));
      else if (r.what.block_bytes == short_bytes)
        out.push_back(goal(r.what.name() + ", added to native librados's p50", "< 30 us",
                           fmt::format("{:.1f} us", r.added_ns / 1e3), r.added_ns < 30e3));
    }
    return out;
  }

  /// Hits against reads of the cluster, against a memcpy, and Execute beside a value against computing on the client.
  static void caching(const std::string& endpoint, nkv_client& plain, unsigned rounds, unsigned ms,
                      std::vector<rados_goal>& goals, nlohmann::ordered_json& beside) {
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
    goals.push_back(goal("4 KiB cache hit, times as fast as a read of the cluster (p50)", ">= 50",
                         fmt::format("{:.0f}", times), times >= 50));
    goals.push_back(goal("4 MiB cache hit, share of a memcpy", ">= 0.70", fmt::format("{:.2f}", share), share >= 0.7));
    goals.push_back(goal("Execute of XXH64 over a cached 4 MiB value, times as fast as Retrieve and the client's",
                         "> 1", fmt::format("{:.2f}", near_data), near_data > 1));
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
  void endless(const std::string& endpoint, nkv_client& plain, unsigned rounds, unsigned ms,
               std::vector<rados_goal>& goals, nlohmann::ordered_json& beside) const {
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
    goals.push_back(goal("4 KiB Retrieve's p99 beside endless modules, times that without", "< 1.5",
                         fmt::format("{:.2f}", times), times < 1.5));
    beside["retrieve_4KiB_p99_ns"] = median(alone);
    beside["retrieve_4KiB_p99_beside_endless_modules_ns"] = median(with);
    beside["endless_modules_killed"] = killed.load();
  }

  static std::string rate(double per_s, std::uint32_t block) {
    return block == long_bytes ? fmt::format("{:.2f} GB/s", per_s * block / 1e9)
                               : fmt::format("{:.1f} k/s", per_s / 1e3);
  }
  static std::string time(double ns) { return tools::human_time(static_cast<std::uint64_t>(ns)); }

  static void print(const std::vector<rados_row>& rows, const std::vector<rados_goal>& goals,
                    const nlohmann::ordered_json& beside) {
    using align = tools::table::align;
    tools::table t({{"load", align::left},
                    {"nkv", align::right},
                    {"librados", align::right},
                    {"ratio", align::right},
                    {"rados bench", align::right},
                    {"nkv p50", align::right},
                    {"librados p50", align::right},
                    {"nkv p99", align::right},
                    {"librados p99", align::right}});
    for (const rados_row& r : rows)
      t.add({r.what.name(), rate(r.nkv_per_s, r.what.block_bytes), rate(r.native_per_s, r.what.block_bytes),
             fmt::format("{:.2f}", r.ratio),
             r.rados_bench_per_s == 0 ? "-" : rate(r.rados_bench_per_s, r.what.block_bytes), time(r.nkv_p50_ns),
             time(r.native_p50_ns), time(r.nkv_p99_ns), time(r.native_p99_ns)});
    fmt::print("{}\n", t.text());
    for (const auto& [name, value] : beside.items()) fmt::print("{}: {}\n", name, value.dump());
    tools::table g(
        {{"to reach", align::left}, {"wanted", align::right}, {"measured", align::right}, {"", align::left}});
    for (const rados_goal& one : goals)
      g.add({one.text, one.wanted, one.measured, one.reached ? "reached" : "not reached"});
    fmt::print("\n{}", g.text());
  }

  static nlohmann::ordered_json json_of(const nlohmann::ordered_json& origin, const std::vector<rados_row>& rows,
                                        const std::vector<rados_goal>& goals, const nlohmann::ordered_json& beside) {
    nlohmann::ordered_json out = {{"origin", origin}, {"rows", nlohmann::json::array()}, {"beside", beside}};
    for (const rados_row& r : rows)
      out["rows"].push_back({{"name", r.what.name()},
                             {"operation", name_of(r.what.what)},
                             {"block_size_bytes", r.what.block_bytes},
                             {"depth", r.what.depth},
                             {"nkv_operations_per_s", r.nkv_per_s},
                             {"librados_operations_per_s", r.native_per_s},
                             {"ratio_to_librados", r.ratio},
                             {"rados_bench_operations_per_s", r.rados_bench_per_s},
                             {"nkv_latency_p50_ns", r.nkv_p50_ns},
                             {"librados_latency_p50_ns", r.native_p50_ns},
                             {"nkv_latency_p99_ns", r.nkv_p99_ns},
                             {"librados_latency_p99_ns", r.native_p99_ns},
                             {"added_latency_p50_ns", r.added_ns}});
    out["goals"] = nlohmann::json::array();
    for (const rados_goal& g : goals)
      out["goals"].push_back(
          {{"text", g.text}, {"wanted", g.wanted}, {"measured", g.measured}, {"reached", g.reached}});
    return out;
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
