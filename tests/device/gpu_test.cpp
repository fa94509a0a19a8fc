// SPDX-License-Identifier: BSD-3-Clause
//
// Kernels on a GPU, against the embedded target over vfio-user: the kernels that tests/ptx runs in its interpreter.
// Run by tests/device/gpu.py, which compiles them, for a GPU of either vendor or for the model of a driver that has the
// interpreter behind it.
//
// NKV_GPU          cuda or hip
// NKV_GPU_KERNELS  the folder of the compiled kernels
// NKV_GPU_SLOW     set where a kernel takes a million times as long
#include <ptx/kernels/sharded.hpp>
#include <ptx/operations_work.hpp>
#include <support/gated_store.hpp>
#include <support/skip.hpp>
#include <support/temporary_folder.hpp>

#include <doctest/doctest.h>
#include <nkv/device/device.hpp>
#include <nkv/host/host.hpp>
#include <nkv/host/memory/cuda_driver.hpp>
#include <nkv/host/memory/hip_driver.hpp>
#include <nkv/target/target.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace host = nkv::host;
using nkv::client_status;
using nkv::operation;
using nkv::status;
using nkv_test::operations_job;
using nkv_test::sharded_job;

// What a failed check prints of a status.
namespace doctest {
template <>
struct StringMaker<nkv::status> {
  static String convert(const nkv::status& s) { return nkv::host::describe(s).c_str(); }
};
}  // namespace doctest

namespace {

template <class Sharing>
using ref = nkv::device::namespace_ref<Sharing>;

constexpr std::uint64_t kernel_timeout_ns = 60'000'000'000;

host::deadline soon() { return host::deadline::after_ms(60'000); }
host::deadline for_a_kernel() { return host::deadline::after_ms(300'000); }
bool is_slow() { return std::getenv("NKV_GPU_SLOW") != nullptr; }

/// The GPU, and nothing where there is none: then the test case is skipped, and why is printed.
std::shared_ptr<host::gpu_driver> gpu() {
  const char* const vendor = std::getenv("NKV_GPU");
  REQUIRE_MESSAGE(vendor != nullptr, "NKV_GPU is not set: this is run by tests/device/gpu.py");
  std::string why;
  auto driver = std::string(vendor) == "cuda" ? host::cuda_driver::open({}, why) : host::hip_driver::open({}, why);
  if (driver && (*driver)->facts().same_address) return *driver;
  if (driver) why = "kernels reach host memory at other addresses than the host, which these tests do not take";
  nkv_test::skip("no GPU by " + std::string(vendor) + ": " + why);
  return nullptr;
}

/// A target in this process, with every operation that the kernels ask for, and a client of it with a GPU.
class rig {
 public:
  explicit rig(std::shared_ptr<host::gpu_driver> driver) : driver_(std::move(driver)) {
    auto s = std::make_shared<nkv::target::subsystem>();
    for (const std::uint32_t nsid : {1u, 2u}) {
      nkv::target::namespace_options o;
      o.nsid = nsid;
      o.key_encoding = nsid == 1 ? nkv::key_encoding::inline_cdw : nkv::key_encoding::payload_head;
      const auto copy = [](nkv::byte_span bytes) { return std::vector<std::byte>(bytes.begin(), bytes.end()); };
      o.operations[11] = {[copy](nkv::byte_span value, nkv::byte_span) { return copy(value); }};
      o.operations[12] = {[copy](nkv::byte_span, nkv::byte_span input) { return copy(input); }};
      REQUIRE(s->add(std::make_shared<nkv::target::kv_namespace>(o, std::make_shared<nkv_test::gated_store>())).ok());
    }
    REQUIRE(poller_.start().ok());
    server_.emplace(std::move(s), poller_);
    REQUIRE(server_->start(folder_.path()).ok());
    host::connect_options how;
    how.vfio_user.wake = false;
    auto connected = host::connect("vfio-user:" + folder_.path(), how, soon());
    REQUIRE_MESSAGE(connected, host::describe(connected.error()));
    controller_.emplace(*std::move(connected));
    auto rung = controller_->map_doorbells(driver_);
    REQUIRE_MESSAGE(rung, driver_->describe(rung.error()));
    doorbells_ = *std::move(rung);
  }
  rig(const rig&) = delete;
  rig& operator=(const rig&) = delete;
  ~rig() {
    controller_.reset();
    server_.reset();
  }

  [[nodiscard]] const host::controller& controller() const { return *controller_; }
  [[nodiscard]] const std::shared_ptr<host::gpu_driver>& driver() const { return driver_; }

  template <class Sharing>
  [[nodiscard]] auto queue(std::uint32_t depth, host::memory_place place = host::memory_place::host_memory) const {
    host::queue_options how;
    how.entries = depth;
    how.gpu = driver_;
    how.place = place;
    auto q = controller_->create_queue_pair<Sharing>(how, soon());
    REQUIRE_MESSAGE(q, host::describe(q.error()));
    return *std::move(q);
  }
  /// As a kernel uses it.
  template <class Queue>
  [[nodiscard]] auto for_kernel(const Queue& queue, std::uint32_t nsid) const {
    using sharing = typename Queue::ref_type::sharing_type;
    const auto q = queue.template device_ref<nkv::device::queue_pair_ref<sharing>>(doorbells_);
    REQUIRE(q);
    return ref<sharing>(*q, of_host(nsid).profile());
  }

  /// For this thread.
  [[nodiscard]] host::kv_namespace<> of_host(std::uint32_t nsid) const {
    auto ns = controller_->open_namespace(nsid, {}, soon());
    REQUIRE_MESSAGE(ns, host::describe(ns.error()));
    return *std::move(ns);
  }

  /// Runs a kernel of one of the compiled files.
  template <class... Arguments>
  [[nodiscard]] std::string run(const std::string& file, const char* kernel, host::grid_shape shape,
                                const Arguments&... arguments) {
    host::gpu_module& m = modules_[file];
    if (const char* const folder = std::getenv("NKV_GPU_KERNELS"); !loaded_.count(file) && folder != nullptr) {
      std::ifstream in(std::string(folder) + "/" + file, std::ios::binary);
      const std::string image{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
      auto module = host::gpu_module::load(driver_, image);
      if (!module) return file + ": " + driver_->describe(module.error());
      m = *std::move(module);
      loaded_.insert(file);
    }
    const status s = m.run(kernel, shape, for_a_kernel(), arguments...);
    const std::string wrong = s.ok() ? std::string() : std::string(kernel) + ": " + driver_->describe(s);
    if (s == status(client_status::timed_out)) {
      // It runs on, over memory that a failed test gives back.
      std::printf("%s\n", wrong.c_str());
      std::fflush(stdout);
      std::_Exit(1);
    }
    return wrong;
  }

 private:
  std::shared_ptr<host::gpu_driver> driver_;
  nkv_test::temporary_folder folder_;
  nkv::target::poller poller_;
  std::optional<nkv::target::vfio_user::server> server_;
  std::optional<host::controller> controller_;
  host::gpu_doorbells doorbells_;
  std::map<std::string, host::gpu_module> modules_;
  std::set<std::string> loaded_;
};

/// Memory that the GPU, the target and this process reach, zero at the start, given out piece by piece.
class arena {
 public:
  arena(const rig& r, std::size_t size_bytes) {
    auto made = r.controller().allocate_pinned(size_bytes, {r.driver()}, {}, soon());
    REQUIRE_MESSAGE(made, r.driver()->describe(made.error()));
    memory_ = *std::move(made);
    const auto all = memory_.value(0, size_bytes);
    REQUIRE(all);
    address_ = all->address;
    left_ = size_bytes;
  }
  std::byte* allocate(const char* what, std::size_t bytes, std::size_t alignment = 64) {
    const std::size_t at = (used_ + alignment - 1) / alignment * alignment;
    REQUIRE_MESSAGE(at + bytes <= left_, what);
    used_ = at + bytes;
    return memory_.data() + at;
  }
  template <class T>
  T* allocate_array(const char* what, std::size_t count) {
    return reinterpret_cast<T*>(allocate(what, count * sizeof(T)));
  }
  [[nodiscard]] std::uint64_t address_of(const std::byte* at) const {
    return address_ + static_cast<std::uint64_t>(at - memory_.data());
  }
  template <class Byte = std::byte>
  [[nodiscard]] nkv::local_range<Byte> range(Byte* at, std::size_t bytes) const {
    return {{address_of(at), bytes, 0}, at};
  }

 private:
  host::pinned_memory memory_;
  std::uint64_t address_ = 0;
  std::size_t used_ = 0;
  std::size_t left_ = 0;
};

constexpr std::size_t mib = std::size_t{1} << 20;

/// How many threads a warp of this GPU has, as its kernels were compiled.
std::uint32_t lanes_of_warp(rig& r) {
  arena memory(r, 4096);
  auto* const lanes = memory.allocate_array<std::uint32_t>("lanes", 1);
  REQUIRE(r.run("operations", "lanes_of_warp", {1, 1}, lanes) == "");
  REQUIRE((*lanes == 32 || *lanes == 64));
  return *lanes;
}

struct shape {
  const char* kernel;
  std::uint32_t blocks;
  std::uint32_t threads;  ///< of a block
  std::uint32_t depth;
  bool head;
};

/// Makes `queues` queues and runs one row, and looks at everything.
/// @param refs_are_many the kernel takes all refs, else the first
template <class Sharing>
void run_row(rig& r, const shape& s, std::uint32_t users, std::uint32_t queues, bool refs_are_many,
             host::memory_place place = host::memory_place::host_memory) {
  CAPTURE(s.kernel);
  CAPTURE(s.depth);
  CAPTURE(s.head);
  CAPTURE(users);
  const std::uint32_t nsid = s.head ? 2 : 1;
  const std::uint32_t rounds = users < 64 && !is_slow() ? 20 : 2;
  arena memory(r, 4 * mib + std::size_t{users} * rounds * 4096 + queues * sizeof(ref<Sharing>));
  std::vector<decltype(r.queue<Sharing>(2))> made;
  auto* const refs = memory.allocate_array<ref<Sharing>>("refs", queues);
  for (std::uint32_t q = 0; q < queues; ++q)
    refs[q] = r.for_kernel(made.emplace_back(r.queue<Sharing>(s.depth, place)), nsid);
  const nkv_test::operations_work w(memory, users, rounds, s.head);
  const operations_job job = w.job(kernel_timeout_ns);
  const nkv::span<const ref<Sharing>> all(refs, queues);
  const std::string wrong = refs_are_many ? r.run("operations", s.kernel, {s.blocks, s.threads}, all, job)
                                          : r.run("operations", s.kernel, {s.blocks, s.threads}, refs[0], job);
  REQUIRE(wrong == "");

  std::map<std::string, std::string> stored;
  std::uint64_t struck = 0;
  for (std::uint32_t u = 0; u < users; ++u)
    CHECK(w.wrong(u, [](const operation&, status) { return false; }, struck, stored) == "");
  for (const auto& q : made) {
    if (place != host::memory_place::host_memory) continue;  // not for this thread to read
    CHECK(q.ref().outstanding() == 0);
    CHECK(q.ref().counters().stray_completions == 0);
    CHECK(q.ref().counters().late_completions == 0);
  }
  // What the target has, as a host thread finds it; then it is empty again.
  const auto ns = r.of_host(nsid);
  std::set<std::string> listed;
  const nkv::outcome o = ns.for_each_key(
      {},
      [&](nkv::key_view key) {
        listed.insert({reinterpret_cast<const char*>(key.data()), key.size()});
        return true;
      },
      soon());
  CHECK(o.status == status());
  CHECK(listed.size() == stored.size());
  for (const auto& [name, value] : stored) {
    const nkv::key_view key(reinterpret_cast<const std::byte*>(name.data()), name.size());
    const auto found = ns.retrieve_all(key, soon());
    REQUIRE(found);
    CHECK(found->size() == value.size());
    CHECK(std::memcmp(found->data(), value.data(), std::min(found->size(), value.size())) == 0);
    CHECK(ns.remove(key, soon()).ok());
  }
}

/// Which keys exist, and a ticket for each: what a group is asked.
template <class Sharing>
void ask(rig& r, const char* kernel, std::uint32_t threads, std::uint32_t group, std::uint32_t queues) {
  CAPTURE(kernel);
  CAPTURE(threads);
  arena memory(r, 8 * mib);
  std::vector<decltype(r.queue<Sharing>(2))> made;
  auto* const refs = memory.allocate_array<ref<Sharing>>("refs", queues);
  for (std::uint32_t q = 0; q < queues; ++q) refs[q] = r.for_kernel(made.emplace_back(r.queue<Sharing>(256)), 1);
  const auto ns = r.of_host(1);
  const nkv_test::asking_work work(memory, threads, group, kernel_timeout_ns);
  for (std::uint32_t i = 0; i < work.keys; ++i)
    if (work.there(i)) CHECK(ns.store(work.job.keys[i], nkv::byte_span(work.job.keys[i].data(), 1), soon()).ok());
  std::string wrong;
  if constexpr (std::is_same_v<Sharing, nkv::shared>)
    wrong = r.run("operations", kernel, {1, threads}, nkv::span<const ref<Sharing>>(refs, queues), work.job);
  else
    wrong = r.run("operations", kernel, {1, threads}, refs[0], work.job);
  REQUIRE(wrong == "");
  CHECK(work.wrong() == "");
  for (const auto& q : made) CHECK(q.ref().outstanding() == 0);
}

/// An object beyond one command, by one group.
template <class Sharing>
void shard(rig& r, const char* kernel, std::uint32_t threads) {
  CAPTURE(kernel);
  const std::size_t shard_bytes = is_slow() ? 20'000 : 32 * mib;
  const std::size_t object_bytes = 3 * shard_bytes + 12'345;
  constexpr std::size_t page_bytes = 4096;
  arena memory(r, 2 * object_bytes + shard_bytes + mib);
  const auto queue = r.queue<Sharing>(16);
  auto* const source = memory.allocate("source", object_bytes, page_bytes);
  auto* const destination = memory.allocate("destination", object_bytes, page_bytes);
  for (std::size_t i = 0; i < object_bytes; ++i) source[i] = static_cast<std::byte>(i * 7 + i / 253);
  auto* const name = memory.allocate("key", 8);
  std::memcpy(name, "an-objec", 8);
  auto* const job = memory.allocate_array<sharded_job>("job", 1);
  *job = {};
  job->puts = job->reads = true;
  job->nonce = 7;
  job->key = {name, 8};
  job->shard_bytes = shard_bytes;
  job->from_bytes = shard_bytes + 777;
  job->timeout_ns = kernel_timeout_ns;
  job->writer.manifest = memory.range(memory.allocate("manifest to write", page_bytes, page_bytes), page_bytes);
  job->writer.head = memory.range(memory.allocate("head", page_bytes, page_bytes), page_bytes);
  job->reader.manifest = memory.range(memory.allocate("manifest that is read", page_bytes, page_bytes), page_bytes);
  job->reader.bounce = memory.range(memory.allocate("bounce", shard_bytes, page_bytes), shard_bytes);
  job->source = memory.range<const std::byte>(source, object_bytes);
  job->destination = memory.range(destination, object_bytes - job->from_bytes);
  job->statuses = memory.allocate_array<std::uint32_t>("statuses", std::size_t{threads} * 4);
  job->lengths = memory.allocate_array<std::uint64_t>("lengths", threads);
  const auto all = [&](std::uint32_t step) {
    for (std::uint32_t t = 0; t < threads; ++t)
      CHECK(status::from_bits(job->statuses[std::size_t{t} * 4 + step]) == status());
  };
  REQUIRE(r.run("sharded", kernel, {1, threads}, r.for_kernel(queue, 1), static_cast<const sharded_job*>(job)) == "");
  for (std::uint32_t step = 0; step < 3; ++step) all(step);
  for (std::uint32_t t = 0; t < threads; ++t) CHECK(job->lengths[t] == object_bytes);
  CHECK(std::memcmp(destination, source + job->from_bytes, object_bytes - job->from_bytes) == 0);
  job->puts = job->reads = false;
  job->removes = true;
  REQUIRE(r.run("sharded", kernel, {1, threads}, r.for_kernel(queue, 1), static_cast<const sharded_job*>(job)) == "");
  all(3);
  CHECK(r.of_host(1).exist(job->key, soon()).status.is_key_does_not_exist());
  CHECK(queue.ref().outstanding() == 0);
}

}  // namespace

TEST_SUITE("device/gpu") {
  TEST_CASE("there is one") { static_cast<void>(gpu()); }

  TEST_CASE("the six operations, over every kind of queue and group: each its own outcome, every key and byte right") {
    const auto driver = gpu();
    if (driver == nullptr) return;
    rig r(driver);
    const std::uint32_t lanes = lanes_of_warp(r);
    std::printf("%s: warps of %u\n", driver->facts().name.c_str(), lanes);
    for (const bool head : {false, true}) {
      run_row<nkv::exclusive>(r, {"six_exclusive", 1, 1, 2, head}, 1, 1, true);
      run_row<nkv::exclusive>(r, {"six_exclusive", 2, 10, 4, head}, 20, 20, true);
      run_row<nkv::block_shared>(r, {"six_block", 1, 48, 4, head}, 48, 1, false);
      run_row<nkv::block_shared>(r, {"six_block", 1, 7, 2, head}, 7, 1, false);
      run_row<nkv::shared>(r, {"six_shared", 2, 128, 32, head}, 256, 3, true);
      run_row<nkv::shared>(r, {"six_shared", 1, 32, 1024, head}, 32, 1, true);
      run_row<nkv::shared>(r, {"six_each_warp", 3, 64, 256, head}, 192, 1, false);
      run_row<nkv::shared>(r, {"six_each_warp", 1, 33, 4, head}, 33, 1, false);
      run_row<nkv::shared>(r, {"six_each_side", 1, 48, 64, head}, 48, 1, false);
      run_row<nkv::block_shared>(r, {"six_each_block", 1, 200, 64, head}, 200, 1, false);
      run_row<nkv::exclusive>(r, {"six_together", 2, 2 * lanes, 4, head}, 4, 4, true);
    }
  }

  TEST_CASE("queues in the GPU's own memory: the same") {
    const auto driver = gpu();
    if (driver == nullptr) return;
    rig r(driver);
    for (const host::memory_place place : {host::memory_place::gpu_plain, host::memory_place::gpu_fine_grained}) {
      host::queue_options how;
      how.gpu = driver;
      how.place = place;
      if (const auto tried = r.controller().create_queue_pair<nkv::shared>(how, soon()); !tried) {
        nkv_test::skip(driver->describe(tried.error()));
        return;
      }
      run_row<nkv::shared>(r, {"six_each_warp", 1, 64, 64, false}, 64, 1, false, place);
      run_row<nkv::exclusive>(r, {"six_exclusive", 1, 5, 4, true}, 5, 5, true, place);
    }
  }

  TEST_CASE("which keys exist, and which of many tickets ends first, to all of a group") {
    const auto driver = gpu();
    if (driver == nullptr) return;
    rig r(driver);
    const std::uint32_t lanes = lanes_of_warp(r);
    for (const std::uint32_t threads : {1u, 20u, 70u, 128u}) {
      ask<nkv::shared>(r, "ask_warp", threads, lanes, 2);
      ask<nkv::block_shared>(r, "ask_block", threads, threads, 1);
    }
  }

  TEST_CASE("values beyond one command, by a warp and by a block") {
    const auto driver = gpu();
    if (driver == nullptr) return;
    rig r(driver);
    const std::uint32_t lanes = lanes_of_warp(r);
    shard<nkv::exclusive>(r, "by_warp", lanes);
    shard<nkv::exclusive>(r, "by_warp", 5);
    shard<nkv::block_shared>(r, "by_block", 48);
  }

  TEST_CASE("a target that does not answer: every call ends by its deadline, and the late completion frees the CID") {
    const auto driver = gpu();
    if (driver == nullptr) return;
    rig r(driver);
    arena memory(r, mib);
    const auto queue = r.queue<nkv::exclusive>(4);
    auto* const refs = memory.allocate_array<ref<nkv::exclusive>>("refs", 1);
    refs[0] = r.for_kernel(queue, 1);
    std::byte* const key = memory.allocate("keys", 8);
    std::memcpy(key, "holdfree", 8);
    std::byte* const value = memory.allocate("value", 64);
    const nkv::key_view held(key, 4);
    const nkv::key_view other(key + 4, 4);
    constexpr std::uint32_t count = 3;
    auto* const ops = memory.allocate_array<operation>("operations", count);
    ops[0] = operation::store(held, {memory.address_of(value), 64, 0});
    ops[1] = operation::exist(held);
    ops[2] = operation::exist(other);
    auto* const takes_part = memory.allocate_array<std::uint8_t>("who takes part", count);
    std::memset(takes_part, 1, count);
    auto* const outcomes = memory.allocate_array<nkv::outcome>("outcomes", count);
    const operations_job job{count, is_slow() ? 3'000'000u : 50'000'000u, ops, takes_part, outcomes};
    REQUIRE(r.run("operations", "six_exclusive", {1, 1}, nkv::span<const ref<nkv::exclusive>>(refs, 1), job) == "");
    CHECK(outcomes[0].status == status(client_status::outcome_unknown));
    CHECK(outcomes[1].status == status(client_status::timed_out));
    CHECK(outcomes[2].status.is_key_does_not_exist());
    CHECK(queue.ref().outstanding() >= 2);
    const auto by_host = r.of_host(1);
    CHECK(by_host.exist(nkv::key_view(reinterpret_cast<const std::byte*>("release"), 7), soon())
              .status.is_key_does_not_exist());
    const host::deadline until = soon();
    while (queue.ref().outstanding() != 0 && !until.expired()) static_cast<void>(queue.ref().reap(8));
    CHECK(queue.ref().outstanding() == 0);
    CHECK(queue.ref().counters().late_completions >= 2);
  }
}
