// SPDX-License-Identifier: BSD-3-Clause
//
// Stores every file below a folder and three large generated values, lists them, and retrieves them over and over with
// many commands in flight, comparing every byte. One thread, one exclusive queue pair, registered memory: what a
// program that cares about speed does. And a kernel's warps, whose lanes retrieve by the device side's templates: on a
// GPU, or run by host threads. examples/quickstart starts a target for it.
#include "common/kernel.hpp"

/// A value that is stored, and where its original lies in the arena.
struct stored_value {
  nkv::key key;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

/// What a kernel's warps do: every lane retrieves a value into memory of its own and compares it.
template <class Namespace>
struct retrieve_and_compare {
  Namespace ns;
  const stored_value* values = nullptr;
  std::uint64_t value_count = 0;
  std::uint64_t count = 0;               ///< of Retrieves
  const std::byte* originals = nullptr;  ///< where value::offset begins
  std::byte* buffers = nullptr;          ///< `stride` bytes a lane, as this code reaches them
  std::uint64_t address = 0;             ///< and as the target does
  std::uint64_t stride = 0;
  std::uint64_t* good = nullptr;  ///< how many values came back as they were, one number a lane

  template <nkv::device::group Warp>
  NKV_HD void operator()(const Warp& warp, std::uint32_t index, std::uint32_t warps) const {
    const std::uint64_t lane = std::uint64_t{index} * warp.size() + warp.rank();
    const std::uint64_t lanes = std::uint64_t{warps} * warp.size();
    std::byte* const buffer = buffers + lane * stride;
    for (std::uint64_t at = 0; at < count; at += lanes) {
      const bool mine = at + lane < count;
      const stored_value& v = values[(at + lane) % value_count];
      // Bytes that the last value left here must not pass for this one's.
      for (std::uint64_t i = 0; mine && i < v.bytes; ++i)
        buffer[i] = static_cast<std::byte>(static_cast<unsigned>(originals[v.offset + i]) ^ 0xffu);
      const nkv::outcome o =
          nkv::device::run_each(warp, ns, nkv::operation::retrieve(v.key, {address + lane * stride, v.bytes, 0}),
                                nkv::device::deadline::after_ms(60'000), mine);
      if (!mine || !o.ok() || (o.length_known && o.length_bytes != v.bytes)) continue;
      std::uint64_t same = 0;
      while (same < v.bytes && buffer[same] == originals[v.offset + same]) ++same;
      if (same == v.bytes) ++good[lane];
    }
  }
};

#if NKV_CUDA || NKV_HIP

EXAMPLE_KERNEL void quickstart_demo(retrieve_and_compare<nkv::device::namespace_ref<nkv::shared>> job,
                                    std::uint32_t warps) {
  job(nkv::device::warp_group::whole(), example::block_index(), warps);
}

#else

#include "common/gpu.hpp"
#include "common/human.hpp"
#include "common/lanes.hpp"
#include "common/latency_histogram.hpp"
#include "common/progress_bar.hpp"
#include "common/table.hpp"

#include <nkv/host/host.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using clock_type = nkv::host::steady_clock;
using namespace_type = nkv::host::kv_namespace<nkv::exclusive>;

constexpr std::uint64_t mib = std::uint64_t{1} << 20;
constexpr std::uint64_t longest_file_bytes = 64 * mib;
constexpr std::uint64_t most_tree_bytes = 1024 * mib;
constexpr std::uint64_t generated_bytes[] = {1 * mib, 16 * mib, 64 * mib};

[[noreturn]] void fail(const std::string& text) {
  fmt::print(stderr, "quickstart_demo: {}\n", text);
  std::exit(1);
}

template <class Result>
auto need(Result&& result, const char* what) {
  if (!result) fail(fmt::format("{}: {}", what, nkv::host::describe(result.error())));
  return *std::forward<Result>(result);
}

struct file {
  std::filesystem::path path;
  std::uint64_t bytes = 0;
};

struct row {
  std::string operation;
  std::string values;
  std::uint64_t operations = 0;
  std::uint64_t bytes = 0;
  std::size_t depth = 1;
  double seconds = 0;
  tools::latency_histogram latency{};
};

std::vector<file> files_below(const std::filesystem::path& folder, std::uint64_t& left_out) {
  std::vector<file> out;
  std::uint64_t total = 0;
  std::error_code error;
  std::filesystem::recursive_directory_iterator at(folder, std::filesystem::directory_options::skip_permission_denied,
                                                   error);
  if (error) fail(fmt::format("{}: {}", folder.string(), error.message()));
  for (; at != std::filesystem::recursive_directory_iterator(); at.increment(error)) {
    if (error) fail(fmt::format("{}: {}", folder.string(), error.message()));
    if (at->is_symlink(error) || !at->is_regular_file(error)) continue;
    const std::uint64_t bytes = at->file_size(error);
    if (error || bytes > longest_file_bytes || total + bytes > most_tree_bytes) {
      ++left_out;
      continue;
    }
    total += bytes;
    out.push_back({at->path(), bytes});
  }
  if (out.empty()) fail(folder.string() + ": no files");
  return out;
}

/// Bytes that no compressor and no cache makes anything of (xorshift64*).
void generate(std::byte* to, std::uint64_t bytes, std::uint64_t seed) {
  std::uint64_t x = seed * 2685821657736338717u + 1;
  for (std::uint64_t at = 0; at < bytes; at += 8) {
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    const std::uint64_t word = x * 2685821657736338717u;
    std::memcpy(to + at, &word, std::min<std::uint64_t>(8, bytes - at));
  }
}

/// Who sends the Retrieves of files.
enum class initiator : std::uint8_t {
  automatic,  ///< cpu, then a kernel for a part
  cpu,        ///< one thread with many commands in flight
  kernel,     ///< a kernel's warps: on a GPU, or their lanes being host threads
};

class demo {
 public:
  demo(const std::string& endpoint, std::filesystem::path folder, std::uint64_t operations, std::size_t depth,
       initiator who, example::gpu gpu)
      : gpu_(std::move(gpu)),
        controller_(need(nkv::host::connect(endpoint, options_of(gpu_)), "connect")),
        ns_(need(controller_.open_namespace(1), "open namespace 1")),
        folder_(std::move(folder)),
        operations_(operations),
        depth_(std::clamp<std::size_t>(depth, 1, ns_.queue().capacity())),
        who_(who) {}

  void run() {
    if (gpu_.driver() != nullptr) doorbells_of_gpu_ = need(controller_.map_doorbells(gpu_.driver()), "the doorbells");
    load();
    store(files_, fmt::format("{} files", tools::human_count(files_.size())), depth_);
    for (const stored_value& v : large_) store({v}, tools::human_bytes(v.bytes) + ", generated", 1);
    list();
    retrieve_all();
    each_key(nkv::kv_opcode::exist, "Exist");
    each_key(nkv::kv_opcode::remove, "Delete");
    report();
  }

 private:
  static nkv::host::connect_options options_of(const example::gpu& gpu) {
    nkv::host::connect_options how;
    // A kernel wakes nobody: the target has to look now and then.
    how.vfio_user.wake = gpu.driver() == nullptr;
    return how;
  }

  /// For this thread, the target, and the GPU where there is one.
  [[nodiscard]] nkv::host::pinned_memory memory(std::uint64_t size_bytes) const {
    std::vector<std::shared_ptr<nkv::host::gpu_driver>> gpus;
    if (gpu_.driver() != nullptr) gpus.push_back(gpu_.driver());
    return need(controller_.allocate_pinned(size_bytes, gpus), "allocate");
  }
  /// Where a kernel finds what stands in it: on a GPU, or in a host thread.
  [[nodiscard]] std::byte* for_kernel(const nkv::host::pinned_memory& m) const {
    return gpu_.driver() != nullptr ? m.on_device() : m.data();
  }

  /// Every original, in one piece of memory that the target reaches: values are stored from here without a copy, and
  /// what comes back is compared with it.
  void load() {
    std::uint64_t left_out = 0;
    const std::vector<file> files = files_below(folder_, left_out);
    std::uint64_t total = 0;
    for (const file& f : files) total += f.bytes;
    const std::uint64_t tree_bytes = total;
    for (const std::uint64_t bytes : generated_bytes) total += bytes;
    originals_ = memory(total);
    std::uint64_t at = 0;
    for (const file& f : files) {
      const std::string name = f.path.string();
      std::ifstream in(f.path, std::ios::binary);
      in.read(reinterpret_cast<char*>(originals_.data() + at), static_cast<std::streamsize>(f.bytes));
      const auto got = static_cast<std::uint64_t>(in.gcount());
      const nkv::key_view text = nkv::key_view::from_text(name.data(), name.size());
      files_.push_back({nkv::content_key(text.bytes()), at, got});
      at += f.bytes;
      longest_file_ = std::max(longest_file_, got);
    }
    for (const std::uint64_t bytes : generated_bytes) {
      generate(originals_.data() + at, bytes, bytes);
      const std::string name = fmt::format("generated {}", bytes);
      large_.push_back({nkv::content_key(nkv::key_view::from_text(name.data(), name.size()).bytes()), at, bytes});
      at += bytes;
    }
    fmt::print("{}: {} files, {}", folder_.string(), tools::human_count(files_.size()), tools::human_bytes(tree_bytes));
    if (left_out != 0) fmt::print(" ({} more left out: unreadable or too large)", tools::human_count(left_out));
    fmt::print("; and values of 1, 16 and 64 MiB\n");
    std::fflush(stdout);
  }

  /// Keeps up to `depth` operations under way until `count` have ended, and times each.
  /// @param next `operation next(index, slot)`
  /// @param done `void done(operation, outcome, slot)`; operation::user_tag is the index
  template <class Next, class Done>
  void pipeline(row& r, std::uint64_t count, std::size_t depth, Next&& next, Done&& done) {
    struct slot {
      nkv::operation op;
      nkv::kv_ticket ticket;
      std::uint64_t begin_ns = 0;
      bool used = false;
    };
    std::vector<slot> slots(depth);
    tools::progress_bar bar(tools::progress_bar::on_terminal(tools::progress_bar::style::lines),
                            fmt::format("{} {}", r.operation, r.values), count);
    r.depth = depth;
    std::uint64_t sent = 0;
    std::uint64_t ended = 0;
    std::uint64_t last_ns = clock_type::now_ns();
    const std::uint64_t begin_ns = last_ns;
    const auto& ns = ns_.ref();
    for (std::uint32_t idle = 0; ended < count;) {
      bool posted = false;
      for (std::size_t i = 0; i < depth; ++i) {
        slot& s = slots[i];
        if (!s.used) {
          if (sent == count) continue;
          s.op = next(sent, i);
          s.op.user_tag = sent++;
          s.begin_ns = clock_type::now_ns();
          s.ticket = need(ns.submit(s.op, nkv::submit_mode::defer), nkv::opcode_text(s.op.opcode));
          s.used = posted = true;
          continue;
        }
        const nkv::outcome o = ns.poll(s.ticket);
        if (o.status == nkv::status(nkv::client_status::would_block)) continue;
        last_ns = clock_type::now_ns();
        r.latency.record(last_ns - s.begin_ns);
        s.used = false;
        ++ended;
        done(s.op, o, i);
        r.bytes += s.op.value.length_bytes;
        bar.update(ended, r.bytes);
        idle = 0;
      }
      // One doorbell for everything that was posted in this pass.
      if (posted) ns.ring();
      if (!posted && ++idle > 1) wait(idle, last_ns);
    }
    r.seconds += static_cast<double>(clock_type::now_ns() - begin_ns) / 1e9;
    r.operations += count;
  }

  /// Nothing has come back in this pass. A target that is gone does not say so in the queue, so look at the connection.
  void wait(std::uint32_t idle, std::uint64_t last_ns) const {
    clock_type::relax(idle);
    if (idle % 4096 != 0) return;
    if (const nkv::status s = controller_.check(); !s.ok()) fail("the target is lost: " + nkv::host::describe(s));
    if (clock_type::now_ns() - last_ns > 60'000'000'000) fail("nothing has come back for 60 s");
  }

  void check(const nkv::operation& op, const nkv::outcome& o) const {
    if (!o.ok()) fail(nkv::host::describe(o, op, ns_.nsid()));
  }

  void store(const std::vector<stored_value>& values, const std::string& what, std::size_t depth) {
    row r{"Store", what};
    pipeline(
        r, values.size(), depth,
        [&](std::uint64_t i, std::size_t) {
          const stored_value& v = values[i];
          return nkv::operation::store(v.key, need(originals_.value(v.offset, v.bytes), "value"));
        },
        [&](const nkv::operation& op, const nkv::outcome& o, std::size_t) { check(op, o); });
    rows_.push_back(std::move(r));
  }

  /// Every key must come once, and no other.
  void list() {
    row r{"List", "pages of 64 KiB"};
    const nkv::host::registration page_memory = need(controller_.allocate(64 * 1024), "allocate");
    std::set<std::string> missing;
    for (const auto* values : {&files_, &large_})
      for (const stored_value& v : *values) missing.insert(text_of(v.key));
    std::uint64_t seen = 0;
    nkv::key last;
    for (;;) {
      const std::uint64_t begin = clock_type::now_ns();
      const nkv::outcome o = ns_.run(nkv::operation::list(last, page_memory.value(), page_memory.data()));
      const std::uint64_t taken = clock_type::now_ns() - begin;
      if (!o.ok()) fail("List: " + nkv::host::describe(o.status));
      r.latency.record(taken);
      r.seconds += static_cast<double>(taken) / 1e9;
      ++r.operations;
      const std::uint64_t before = seen;
      nkv::list_page page(page_memory.bytes(), ns_.profile().quirks.list_padding);
      while (!page.done()) {
        const nkv::key_view key = need(page.next(), "List");
        // A page begins with the key that it was asked to begin with.
        if (key == last.view()) continue;
        if (missing.erase(text_of(key)) == 0) fail("List: a key that was never stored, or one twice");
        ++seen;
        last = need(nkv::key::from(key), "List");
      }
      if (seen == before) break;
    }
    if (!missing.empty()) fail(fmt::format("List: {} keys are missing", missing.size()));
    fmt::print("listed {} keys: every one that was stored, and no other\n", tools::human_count(seen));
    std::fflush(stdout);
    rows_.push_back(std::move(r));
  }

  void retrieve_all() {
    // So many that each large size moves about 1 GiB; the files take the rest.
    std::uint64_t left = operations_;
    std::vector<std::uint64_t> counts;
    for (const stored_value& v : large_) {
      counts.push_back(std::clamp<std::uint64_t>(1024 * mib / v.bytes, 1, operations_ / 64 + 1));
      left -= std::min(left, counts.back());
    }
    const std::uint64_t by_lanes = who_ == initiator::cpu ? 0 : std::clamp<std::uint64_t>(left / 100, 1, 10'000);
    left -= std::min(left, by_lanes);
    const std::uint64_t alone = std::min<std::uint64_t>(left / 10, 20'000);
    if (who_ == initiator::automatic || who_ == initiator::cpu) {
      retrieve(files_, longest_file_, left - alone, depth_,
               fmt::format("{} files, again and again", tools::human_count(files_.size())));
      retrieve(files_, longest_file_, alone, 1, "files, one at a time");
    }
    if (who_ != initiator::cpu) retrieve_on_lanes(by_lanes);
    for (std::size_t i = 0; i < large_.size(); ++i)
      retrieve({large_[i]}, large_[i].bytes, counts[i], 2, tools::human_bytes(large_[i].bytes));
  }

  void retrieve(const std::vector<stored_value>& values, std::uint64_t longest, std::uint64_t count, std::size_t depth,
                const std::string& what) {
    if (count == 0) return;
    row r{"Retrieve", what};
    const std::uint64_t stride = (std::max<std::uint64_t>(longest, 1) + 4095) / 4096 * 4096;
    depth = std::clamp<std::size_t>(static_cast<std::size_t>(256 * mib / stride), 1, depth);
    const nkv::host::registration buffers = need(controller_.allocate(stride * depth), "allocate");
    pipeline(
        r, count, depth,
        [&](std::uint64_t i, std::size_t slot) {
          const stored_value& v = values[i % values.size()];
          // Bytes that the last value left here must not pass for this one's.
          std::memset(buffers.data() + slot * stride, static_cast<int>(i * 37 % 256), v.bytes);
          return nkv::operation::retrieve(v.key, need(buffers.value(slot * stride, v.bytes), "value"));
        },
        [&](const nkv::operation& op, const nkv::outcome& o, std::size_t slot) {
          check(op, o);
          const stored_value& v = values[op.user_tag % values.size()];
          if (o.length_known && o.length_bytes != v.bytes)
            fail(fmt::format("a value of {} bytes came back with {}", v.bytes, o.length_bytes));
          if (std::memcmp(buffers.data() + slot * stride, originals_.data() + v.offset, v.bytes) != 0)
            fail(fmt::format("Retrieve {}: the value of key 0x{} differs from what was stored", op.user_tag,
                             text_of(v.key)));
          compared_bytes_ += v.bytes;
        });
    retrieves_ += r.operations;
    rows_.push_back(std::move(r));
  }

  /// The device side's templates: by a kernel where there is a GPU, and by host threads elsewhere. The table says
  /// which.
  void retrieve_on_lanes(std::uint64_t count) {
    const bool on_gpu = gpu_.driver() != nullptr;
    const std::uint64_t stride = (std::max<std::uint64_t>(longest_file_, 1) + 4095) / 4096 * 4096;
    const std::uint32_t lanes = on_gpu ? 32 : 8;
    const auto warps =
        static_cast<std::uint32_t>(std::clamp<std::uint64_t>(256 * mib / (stride * lanes), 1, on_gpu ? 16 : 4));
    nkv::host::namespace_options wide;
    wide.queue.entries = 2 * warps * lanes + 1;
    wide.queue.gpu = gpu_.driver();
    const auto shared = need(controller_.open_namespace<nkv::shared>(1, wide), "open namespace 1");
    const nkv::host::pinned_memory buffers = memory(stride * warps * lanes);
    const std::size_t values_bytes = sizeof(stored_value) * files_.size();
    const nkv::host::pinned_memory table = memory(values_bytes + sizeof(std::uint64_t) * warps * lanes);
    std::memcpy(table.data(), files_.data(), values_bytes);
    const auto* const good = reinterpret_cast<const std::uint64_t*>(table.data() + values_bytes);
    const auto job = [&](const auto& ns) {
      return retrieve_and_compare<std::decay_t<decltype(ns)>>{
          ns,
          reinterpret_cast<const stored_value*>(for_kernel(table)),
          files_.size(),
          count,
          for_kernel(originals_),
          for_kernel(buffers),
          need(buffers.value(0, stride * warps * lanes), "value").address,
          stride,
          reinterpret_cast<std::uint64_t*>(for_kernel(table) + values_bytes)};
    };
    row r{"Retrieve",
          fmt::format("files, {} warps of {} lanes ({})", warps, lanes, on_gpu ? gpu_.name() : "host threads, no GPU")};
    const std::uint64_t begin_ns = clock_type::now_ns();
    if (on_gpu) {
      const nkv::device::namespace_ref<nkv::shared> ns(
          need(shared.queue().device_ref<nkv::device::queue_pair_ref<nkv::shared>>(doorbells_of_gpu_), "the queue"),
          shared.profile());
      if (const std::string wrong = gpu_.run("quickstart_demo", job(ns), warps, lanes); !wrong.empty()) fail(wrong);
    } else {
      example::run_on_lanes(job(shared.ref()), warps, lanes);
    }
    r.seconds = static_cast<double>(clock_type::now_ns() - begin_ns) / 1e9;
    r.operations = count;
    r.depth = std::size_t{warps} * lanes;
    std::uint64_t same = 0;
    for (std::uint32_t n = 0; n < warps * lanes; ++n) same += good[n];
    if (same != count) fail(fmt::format("{} of {} Retrieves by lanes differ or failed", count - same, count));
    for (std::uint64_t i = 0; i < count; ++i) r.bytes += files_[i % files_.size()].bytes;
    compared_bytes_ += r.bytes;
    retrieves_ += count;
    rows_.push_back(std::move(r));
  }

  void each_key(nkv::kv_opcode opcode, const char* name) {
    row r{name, "every key"};
    std::vector<nkv::key> keys;
    for (const auto* values : {&files_, &large_})
      for (const stored_value& v : *values) keys.push_back(v.key);
    pipeline(
        r, keys.size(), depth_,
        [&](std::uint64_t i, std::size_t) {
          return opcode == nkv::kv_opcode::exist ? nkv::operation::exist(keys[i]) : nkv::operation::remove(keys[i]);
        },
        [&](const nkv::operation& op, const nkv::outcome& o, std::size_t) { check(op, o); });
    rows_.push_back(std::move(r));
  }

  void report() const {
    using tools::table;
    table t({{"operation"},
             {"values"},
             {"operations", table::align::right},
             {"in flight", table::align::right},
             {"op/s", table::align::right},
             {"data", table::align::right},
             {"p50", table::align::right},
             {"p99", table::align::right}});
    for (const row& r : rows_) {
      t.add({r.operation, r.values, tools::human_count(r.operations), fmt::format("{}", r.depth),
             tools::human_count(static_cast<std::uint64_t>(static_cast<double>(r.operations) / r.seconds)),
             r.bytes != 0 ? tools::human_rate(r.bytes, r.seconds) : "", time_of(r, 50), time_of(r, 99)});
    }
    fmt::print("\n{}\n{} Retrieves, {}: every byte compared with the original, no difference\n", t.text(),
               tools::human_count(retrieves_), tools::human_bytes(compared_bytes_));
  }

  static std::string time_of(const row& r, double percent) {
    return r.latency.count() != 0 ? tools::human_time(r.latency.percentile_ns(percent)) : "";
  }

  static std::string text_of(nkv::key_view key) {
    std::string digits(2 * key.size(), '0');
    key.to_hex(digits.data());
    return digits;
  }

  example::gpu gpu_;
  nkv::host::controller controller_;
  nkv::host::gpu_doorbells doorbells_of_gpu_;
  namespace_type ns_;
  std::filesystem::path folder_;
  std::uint64_t operations_;
  std::size_t depth_;
  initiator who_;

  nkv::host::pinned_memory originals_;
  std::vector<stored_value> files_;
  std::vector<stored_value> large_;
  std::uint64_t longest_file_ = 0;
  std::uint64_t retrieves_ = 0;
  std::uint64_t compared_bytes_ = 0;
  std::vector<row> rows_;
};

}  // namespace

int main(int argc, char** argv) {
  std::string endpoint;
  std::string folder = "/usr/include";
  std::uint64_t operations = 1'000'000;
  std::size_t depth = 64;
  CLI::App app("Stores a directory tree and large values, and retrieves them over and over, comparing every byte");
  app.add_option("--endpoint", endpoint, "Where the target is")->envname("NKV_ENDPOINT")->required();
  app.add_option("--operations", operations, "Retrieves in all")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000'000));
  app.add_option("--depth", depth, "Commands in flight")->capture_default_str()->check(CLI::Range(1, 4096));
  std::string who = "auto";
  app.add_option(
         "--initiator", who,
         "Who sends the Retrieves of files: cpu, one thread; cuda or hip, a kernel's warps on a GPU, a hundredth as "
         "many; simt, such warps run by host threads, as the last two without a GPU; auto, cpu and a GPU or simt")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "cpu", "simt", "cuda", "hip"}));
  std::string kernels;
  app.add_option("--kernels", kernels, "The compiled kernel (default: beside this program)");
  app.add_option("DIR", folder, "The directory tree")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  example::gpu gpu;
  for (const std::string vendor : {"cuda", "hip"}) {
    if (gpu.driver() != nullptr || (who != "auto" && who != vendor)) continue;
    const std::string file = !kernels.empty() ? kernels : argv[0] + std::string(example::kernel_suffix(vendor));
    const std::string missing = gpu.open(vendor, file);
    if (!missing.empty()) fmt::print("not on a GPU by {}: {}\n", vendor, missing);
  }
  const initiator by = who == "auto" ? initiator::automatic : who == "cpu" ? initiator::cpu : initiator::kernel;
  demo(endpoint, folder, operations, depth, by, std::move(gpu)).run();
  return 0;
}

#endif
