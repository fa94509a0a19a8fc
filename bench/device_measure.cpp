// SPDX-License-Identifier: BSD-3-Clause
#include "device_measure.hpp"

#include "device/baseline_setup.hpp"
#include "device/cost.hpp"
#include "failure.hpp"

#include "ptx/guest_queue.hpp"

#include <nkv/device/queue_pair.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace bench {

namespace {

using nkv_test::guest_queue;
using nkv_test::kernel_run;
using nkv_test::nvme_model;
using nkv_test::nvme_model_options;
using nkv_test::ptx_result;

constexpr std::uint32_t value_bytes = 64;
constexpr std::uint32_t rounds_before = 8;
constexpr std::uint32_t rounds_each = 4;  // of many threads
constexpr std::uint64_t seeds = 3;

struct shape {
  std::uint32_t threads = 1;
  std::uint32_t rounds = 1;
  std::uint32_t entries = 16;
  std::uint64_t latency_ticks = 0;
  std::uint64_t seed = 1;

  [[nodiscard]] std::uint64_t operations() const { return std::uint64_t{threads} * rounds; }
};

nvme_model_options model_options(const shape& s) {
  nvme_model_options model;
  model.sq_entries = s.entries;
  model.cq_entries = s.entries * 2;
  model.latency_ticks = s.latency_ticks;
  model.out_of_order = s.latency_ticks != 0;
  model.seed = s.seed;
  return model;
}

bool begins(const std::string& text, const char* with) { return text.compare(0, std::strlen(with), with) == 0; }
bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

/// Totals of a run.
device_cost totals(const ptx_result& r, const nvme_model& model) {
  device_cost c;
  c.instructions = static_cast<double>(r.instructions);
  c.atomics = static_cast<double>(r.of(nkv_test::ptx_class::atomic));
  c.loads = static_cast<double>(r.of(nkv_test::ptx_class::load));
  c.stores = static_cast<double>(r.of(nkv_test::ptx_class::store));
  for (const auto& [opcode, count] : r.opcodes) {
    if (!begins(opcode, "fence") && !begins(opcode, "membar")) continue;
    double& scope = has(opcode, ".sys") ? c.fences_system : has(opcode, ".cta") ? c.fences_block : c.fences_device;
    scope += static_cast<double>(count);
  }
  c.sq_doorbells = static_cast<double>(model.sq_doorbells());
  c.cq_doorbells = static_cast<double>(model.cq_doorbells());
  return c;
}

template <class Each>
device_cost combined(const device_cost& a, const device_cost& b, const Each& each) {
  device_cost out;
  for (double device_cost::* const field :
       {&device_cost::instructions, &device_cost::atomics, &device_cost::fences_system, &device_cost::fences_device,
        &device_cost::fences_block, &device_cost::loads, &device_cost::stores, &device_cost::sq_doorbells,
        &device_cost::cq_doorbells})
    out.*field = each(a.*field, b.*field);
  return out;
}
device_cost per_operation(const device_cost& more, const device_cost& less, double operations) {
  return combined(more, less, [operations](double a, double b) { return (a - b) / operations; });
}

[[noreturn]] void wrong(const std::string& entry, const std::string& what) { throw failure(entry + ": " + what); }

/// A kernel's run with keys and values, all of which the controller has.
class measured_run {
 public:
  measured_run(const measured_kernel& kernel, const shape& s) : entry_(kernel.entry), shape_(s), run_(kernel.text) {
    run_.options.schedule = nkv_test::ptx_schedule::round_robin;
    run_.options.most_steps = 400'000'000;
    keys_ = run_.memory().allocate("keys", std::size_t{s.threads} * 16, 16);
    for (std::uint32_t t = 0; t < s.threads; ++t) {
      std::memset(keys_ + std::size_t{t} * 16, 0x41, 16);
      std::memcpy(keys_ + std::size_t{t} * 16, &t, sizeof t);
    }
    buffers_ = run_.memory().allocate("values", std::size_t{s.threads} * value_bytes, 16);
  }

  device_cost ours() {
    const bool rings = entry_ == "exclusive_no_occupancy" || entry_ == "exclusive_bare";
    if (rings) return of_rings();
    if (begins(entry_, "exclusive_bar_")) return of<nkv::exclusive, nkv::device::bar_doorbell>();
    if (begins(entry_, "exclusive")) return of<nkv::exclusive, nkv::device::shared_doorbell>();
    if (begins(entry_, "block")) return of<nkv::block_shared, nkv::device::shared_doorbell>();
    return of<nkv::shared, nkv::device::shared_doorbell>();
  }

  device_cost baseline() {
    baseline_setup q(run_, model_options(shape_));
    fill(q.model);
    baseline_job job;
    job.rounds = shape_.rounds;
    job.value_words = value_bytes / 4;
    job.keys = keys_;
    job.buffers = reinterpret_cast<std::uint32_t*>(buffers_);
    return finish(launch(q.queue, job), q.model, true);
  }

 private:
  template <class Sharing, class Doorbell>
  device_cost of() {
    guest_queue<Sharing> q(run_, model_options(shape_));
    fill(q.model);
    const ptx_result r = launch(ref_of<Sharing, Doorbell>(q), job());
    if (q.queue.outstanding() != 0) wrong(entry_, "commands are left over");
    if (q.queue.counters().stray_completions + q.queue.counters().late_completions != 0)
      wrong(entry_, "completions that nobody waited for");
    return checked(r, q.model);
  }
  device_cost of_rings() {
    guest_queue<nkv::exclusive> q(run_, model_options(shape_));
    fill(q.model);
    const nkv::queue_pair_parts& p = q.parts;
    const cost_rings rings{ref_of<nkv::exclusive, nkv::device::shared_doorbell>(q),
                           {p.sq, p.control, p.shape},
                           {p.cq, p.control, p.shape},
                           {q.model.sq_doorbell(), q.model.cq_doorbell()}};
    return checked(launch(rings, job()), q.model);
  }
  template <class Sharing, class Doorbell>
  static cost_namespace<Sharing, Doorbell> ref_of(const guest_queue<Sharing>& q) {
    return {{q.parts, Doorbell{q.model.sq_doorbell(), q.model.cq_doorbell()}}, q.profile};
  }

  cost_job job() {
    sums_ = run_.memory().allocate_array<cost_sum>("sums", shape_.threads);
    cost_job job;
    job.rounds = shape_.rounds;
    job.value_bytes = value_bytes;
    job.timeout_ns = 1'000'000'000;
    job.keys = keys_;
    job.buffers = buffers_;
    job.sums = sums_;
    return job;
  }

  void fill(nvme_model& model) {
    for (std::uint32_t t = 0; t < shape_.threads; ++t)
      model.values()[std::string(reinterpret_cast<const char*>(keys_ + std::size_t{t} * 16), 16)] =
          std::string(value_bytes, static_cast<char>('a' + t % 26));
  }

  template <class... Arguments>
  ptx_result launch(const Arguments&... arguments) {
    return run_.run(entry_, {1, 1, 1}, {shape_.threads, 1, 1}, arguments...);
  }

  device_cost checked(const ptx_result& r, const nvme_model& model) {
    const bool gives_length = !has(entry_, "_exist") && !has(entry_, "_store");
    for (std::uint32_t t = 0; r.finished() && t < shape_.threads; ++t) {
      if (sums_[t].status_bits != 0) wrong(entry_, fmt::format("status {:x}h", sums_[t].status_bits));
      if (gives_length && sums_[t].length_bytes != std::uint64_t{shape_.rounds} * value_bytes)
        wrong(entry_, fmt::format("{} bytes were retrieved", sums_[t].length_bytes));
    }
    return finish(r, model, gives_length);
  }

  device_cost finish(const ptx_result& r, const nvme_model& model, bool retrieves) {
    if (!r.finished()) wrong(entry_, r.error);
    if (!model.errors().empty()) wrong(entry_, "the controller: " + model.errors().front());
    if (model.completed() != shape_.operations() || model.outstanding() != 0)
      wrong(entry_, fmt::format("{} of {} operations were carried out", model.completed(), shape_.operations()));
    for (std::uint32_t t = 0; retrieves && t < shape_.threads; ++t) {
      const std::byte* const value = buffers_ + std::size_t{t} * value_bytes;
      const auto right = static_cast<std::byte>('a' + t % 26);
      if (std::any_of(value, value + value_bytes, [right](std::byte b) { return b != right; }))
        wrong(entry_, fmt::format("thread {} has a wrong value", t));
    }
    return totals(r, model);
  }

  std::string entry_;
  shape shape_;
  kernel_run run_;
  std::byte* keys_ = nullptr;
  std::byte* buffers_ = nullptr;
  cost_sum* sums_ = nullptr;
};

device_cost run(const measured_kernel& kernel, const shape& s) {
  measured_run r(kernel, s);
  return begins(kernel.entry, "baseline") ? r.baseline() : r.ours();
}

device_cost difference(const measured_kernel& kernel, std::uint32_t rounds) {
  shape less;
  less.rounds = rounds_before;
  shape more;
  more.rounds = rounds_before + rounds;
  return per_operation(run(kernel, more), run(kernel, less), rounds);
}

}  // namespace

device_cost cost_of_one(const measured_kernel& kernel) { return difference(kernel, 1); }
device_cost cost_of_many(const measured_kernel& kernel) { return difference(kernel, 64); }

contended_cost cost_contended(const measured_kernel& kernel, std::uint32_t threads, std::uint64_t latency_ticks) {
  contended_cost out;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    shape s;
    s.threads = threads;
    s.rounds = rounds_each;
    s.entries = 1024;
    s.latency_ticks = latency_ticks;
    s.seed = seed;
    const device_cost c = per_operation(run(kernel, s), {}, static_cast<double>(s.operations()));
    out.least_instructions = seed == 1 ? c.instructions : std::min(out.least_instructions, c.instructions);
    out.most_instructions = std::max(out.most_instructions, c.instructions);
    out.mean = combined(out.mean, c, [](double sum, double one) { return sum + one / seeds; });
  }
  return out;
}

std::uint64_t static_instructions(const measured_kernel& kernel) {
  kernel_run run(kernel.text);
  return run.module().entry(kernel.entry).code.size();
}

}  // namespace bench
