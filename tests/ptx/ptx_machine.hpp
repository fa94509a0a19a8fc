// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "ptx/ptx_instruction.hpp"
#include "ptx/ptx_memory.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <string>
#include <utility>
#include <vector>

namespace nkv_test {

struct ptx_dim {
  std::uint32_t x = 1;
  std::uint32_t y = 1;
  std::uint32_t z = 1;
  [[nodiscard]] std::uint32_t count() const { return x * y * z; }
};

/// The registers of one call.
struct ptx_registers {
  std::vector<std::uint64_t> values;
  std::vector<std::uint8_t> written;
};

struct ptx_thread {
  enum class state : std::uint8_t { running, sleeping, waiting, exited };
  const ptx_function* function = nullptr;
  std::uint64_t* values = nullptr;
  std::uint8_t* written = nullptr;
  std::byte* frame = nullptr;
  std::uint32_t pc = 0;  ///< of the next instruction
  state is = state::running;
  bool carry = false;
  std::uint32_t slot = 0;  ///< among the runnable threads
  std::uint32_t index = 0;
  std::uint32_t block = 0;
  std::uint32_t lane = 0;
  std::uint32_t warp = 0;  ///< of the launch
  std::uint64_t executed = 0;
  std::byte* shared = nullptr;
  std::uint64_t wake = 0;
  std::uint32_t tid[3] = {};
  std::uint32_t ctaid[3] = {};

  struct call {
    const ptx_function* function;
    std::uint32_t pc;
    std::byte* frame;
  };
  std::vector<call> calls;
  std::deque<ptx_registers> files;
  std::unique_ptr<std::byte, void (*)(void*)> stack{nullptr, std::free};
  std::size_t depth = 0;
};

enum class ptx_schedule : std::uint8_t {
  round_robin,  ///< every thread one instruction, in turn
  random,       ///< each step is a thread's drawn by the seed
  bursts,       ///< a drawn thread goes on for 1 to 64 steps
};

struct ptx_options {
  ptx_schedule schedule = ptx_schedule::random;
  std::uint64_t seed = 1;
  std::uint64_t most_steps = 100'000'000;
  std::uint64_t ns_per_tick = 1;  ///< of %globaltimer; a tick: every live thread has had one step
  std::size_t stack_bytes = 65536;
  bool uninitialised_reads_zero = false;  ///< else reading a register before it was written is an error
  std::uint32_t dynamic_shared_bytes = 0;
};

/// How a launch ended and what it executed.
struct ptx_result {
  enum class end : std::uint8_t { finished, trapped, failed };
  end ended = end::finished;
  std::string error;  ///< empty where it finished
  std::uint64_t instructions = 0;
  std::uint64_t ticks = 0;
  std::vector<std::uint64_t> per_thread;
  std::map<std::string, std::uint64_t> opcodes;  ///< executed, by text; predicated-off ones left out
  std::uint64_t registers = 0;                   ///< declared in the entry
  std::uint64_t static_instructions = 0;         ///< in the entry

  [[nodiscard]] bool finished() const { return ended == end::finished; }
  /// Executed instructions of any of these ptx_class bits. One that its predicate switched off is in `instructions` and
  /// not here.
  [[nodiscard]] std::uint64_t of(std::uint32_t classes) const {
    std::uint64_t n = 0;
    for (const auto& [set, count] : classes_) {
      if ((set & classes) != 0) n += count;
    }
    return n;
  }
  /// Executed instructions whose opcode is `text` or begins with `text` and a dot.
  [[nodiscard]] std::uint64_t opcode(const std::string& text) const {
    std::uint64_t n = 0;
    for (const auto& [name, count] : opcodes) {
      if (name == text || name.compare(0, text.size() + 1, text + ".") == 0) n += count;
    }
    return n;
  }
  std::map<std::uint32_t, std::uint64_t> classes_;
};

/// Runs the threads of one launch, one PTX instruction a step, with sequentially consistent memory.
class ptx_machine {
 public:
  ptx_machine(const ptx_module& module, ptx_memory& memory, const ptx_options& options)
      : module_(module), memory_(memory), options_(options), random_(options.seed * 0x9e3779b97f4a7c15u + 1) {}

  /// Calls `agent(now)` at each tick: a controller that lives beside the kernel.
  void add_agent(std::function<void(std::uint64_t)> agent) { agents_.push_back(std::move(agent)); }

  /// @param arguments the bytes of each parameter, of the size that the entry declares
  ptx_result launch(const ptx_function& entry, ptx_dim grid, ptx_dim block,
                    const std::vector<std::vector<std::byte>>& arguments) {
    ptx_result r;
    module_.clear_counts();
    try {
      start(entry, grid, block, arguments);
      run();
    } catch (const trapped_by_kernel& e) {
      r.ended = ptx_result::end::trapped;
      r.error = std::string("trapped: ") + e.what();
    } catch (const ptx_error& e) {
      r.ended = ptx_result::end::failed;
      r.error = current_ == nullptr ? e.what() : where(*current_) + ": " + e.what();
    }
    r.instructions = steps_;
    r.ticks = now_;
    r.registers = entry.registers;
    r.static_instructions = entry.code.size();
    for (const auto& t : threads_) r.per_thread.push_back(t->executed);
    for (const auto& [name, f] : module_.functions) {
      for (const ptx_instruction& i : f->code) {
        if (i.executed == i.switched_off) continue;
        r.opcodes[module_.opcodes[i.opcode]] += i.executed - i.switched_off;
        r.classes_[i.classes] += i.executed - i.switched_off;
      }
    }
    return r;
  }

  [[nodiscard]] std::uint64_t now() const { return now_; }

  // ---- For the instructions ----

  struct trapped_by_kernel : std::runtime_error {
    using std::runtime_error::runtime_error;
  };

  /// An operand's bits, cut to T.
  template <class T>
  T get(const ptx_thread& t, const ptx_operand& o) const {
    switch (o.what) {
      case ptx_operand::kind::reg:
        if (t.written[o.reg] == 0) [[unlikely]]
          uninitialised(o);
        return static_cast<T>(t.values[o.reg]);
      case ptx_operand::kind::number: return static_cast<T>(o.number);
      case ptx_operand::kind::frame: return static_cast<T>(reinterpret_cast<std::uint64_t>(t.frame) + o.number);
      case ptx_operand::kind::special: return static_cast<T>(special(t, static_cast<ptx_special>(o.number)));
      default: throw ptx_error("an operand that has no value");
    }
  }
  bool predicate(const ptx_thread& t, const ptx_operand& o) const {
    return (get<std::uint8_t>(t, o) != 0) != o.negated;
  }

  /// Sets a register to the bits of `value` that it has room for.
  static void set(ptx_thread& t, const ptx_operand& o, std::uint64_t value) {
    if (o.what == ptx_operand::kind::sink) return;
    t.values[o.reg] = o.bits == 64 ? value : value & ((std::uint64_t{1} << o.bits) - 1);
    t.written[o.reg] = 1;
  }

  /// The host's address of an access, checked.
  std::byte* reach(const ptx_thread& t, const ptx_instruction& i, std::uint32_t bytes, bool write,
                   const ptx_memory::piece** watched = nullptr) {
    const std::uint64_t address = get<std::uint64_t>(t, i.a) + static_cast<std::uint64_t>(i.offset);
    if (address % bytes != 0 && i.space != ptx_space::param) [[unlikely]]
      throw ptx_error("misaligned access of " + std::to_string(bytes) + " bytes at " + ptx_hex(address));
    if (i.space == ptx_space::shared) {
      if (address > shared_bytes_ || bytes > shared_bytes_ - address) [[unlikely]]
        throw ptx_error("shared address " + ptx_hex(address) + " of " + std::to_string(shared_bytes_) + " bytes");
      return t.shared + address;
    }
    const auto stack = reinterpret_cast<std::uint64_t>(t.stack.get());
    if (address - stack < options_.stack_bytes) {
      if (address + bytes > reinterpret_cast<std::uint64_t>(t.frame) + t.function->frame_bytes) [[unlikely]]
        throw ptx_error("local access outside of the frames at " + ptx_hex(address));
      if (i.space == ptx_space::global || i.space == ptx_space::constant) [[unlikely]]
        throw ptx_error("a global access that reaches local memory");
      return reinterpret_cast<std::byte*>(address);
    }
    if (i.space == ptx_space::local || i.space == ptx_space::param) [[unlikely]]
      throw ptx_error("local access outside of the thread's memory at " + ptx_hex(address));
    const auto shared = reinterpret_cast<std::uint64_t>(t.shared);
    if (i.space == ptx_space::generic && address - shared < shared_bytes_) {
      if (address - shared + bytes > shared_bytes_) throw ptx_error("shared access across the end");
      return reinterpret_cast<std::byte*>(address);
    }
    const ptx_memory::piece* p = memory_.find(address, bytes, i.hint);
    if (p == nullptr) [[unlikely]]
      throw ptx_error("access of " + std::to_string(bytes) + " bytes at " + ptx_hex(address) +
                      " outside of allocated memory: " + memory_.describe(address));
    if (write) {
      if (!p->kernel_writes) [[unlikely]]
        throw ptx_error("store into " + p->name + ", which the kernel may only read");
      if (watched != nullptr && p->stored != nullptr) *watched = p;
    }
    return reinterpret_cast<std::byte*>(address);
  }
  static void tell(const ptx_memory::piece* watched, const std::byte* at, std::uint32_t bytes) {
    if (watched != nullptr) (*watched->stored)(reinterpret_cast<std::uint64_t>(at), bytes);
  }

  [[nodiscard]] bool is_local(const ptx_thread& t, std::uint64_t address) const {
    return address - reinterpret_cast<std::uint64_t>(t.stack.get()) < options_.stack_bytes;
  }
  [[nodiscard]] bool is_shared(const ptx_thread& t, std::uint64_t address) const {
    return address - reinterpret_cast<std::uint64_t>(t.shared) < shared_bytes_;
  }

  void call(ptx_thread& t, const ptx_instruction& i) {
    const ptx_function& f = *i.callee;
    if (!f.defined) throw ptx_error("call of " + f.name + ", which has no body here");
    std::byte* const from = t.frame;
    std::byte* const frame = from + (t.function->frame_bytes + 63) / 64 * 64;
    const auto used = static_cast<std::size_t>(frame - t.stack.get());
    if (used + f.frame_bytes > options_.stack_bytes) throw ptx_error("call of " + f.name + ": the stack is used up");
    t.calls.push_back({t.function, t.pc, from});
    enter(t, f, frame);
    for (std::size_t p = 0; p < f.params.size(); ++p) {
      std::memcpy(frame + f.params[p].frame_offset, from + i.table[f.results.size() + p], f.params[p].bytes);
    }
  }

  void leave(ptx_thread& t) {
    if (t.calls.empty()) return exit(t);
    const ptx_function& f = *t.function;
    const ptx_thread::call back = t.calls.back();
    t.calls.pop_back();
    const ptx_instruction& i = back.function->code[back.pc - 1];
    for (std::size_t r = 0; r < f.results.size(); ++r) {
      std::memcpy(back.frame + i.table[r], t.frame + f.results[r].frame_offset, f.results[r].bytes);
    }
    t.function = back.function;
    t.pc = back.pc;
    t.frame = back.frame;
    --t.depth;
    t.values = t.files[t.depth - 1].values.data();
    t.written = t.files[t.depth - 1].written.data();
  }

  void exit(ptx_thread& t) {
    t.is = ptx_thread::state::exited;
    unschedule(t);
    --live_;
    warp& w = warps_[t.warp];
    w.exited |= 1u << t.lane;
    for (const group& g : w.groups) {
      if ((g.mask >> t.lane & 1u) != 0)
        throw ptx_error("the lane exits while others wait for it with mask " + ptx_hex(g.mask));
    }
    block_state& b = blocks_[t.block];
    --b.live;
    for (std::uint32_t n = 0; n < b.barriers.size(); ++n) complete_barrier(b, n);
  }

  void sleep(ptx_thread& t, std::uint64_t ns) {
    const std::uint64_t ticks = (ns + options_.ns_per_tick - 1) / options_.ns_per_tick;
    if (ticks == 0) return;
    t.is = ptx_thread::state::sleeping;
    t.wake = now_ + ticks;
    unschedule(t);
    sleepers_.push({t.wake, t.index});
  }

  /// Tells the lanes of the warp that stand where this one does who they are. All of them carry the instruction out
  /// now: one that came to it later would see others gone, and no processor tells its lanes different things.
  void tell_active(ptx_thread& t, const ptx_instruction& i) {
    if (i.predicate.what != ptx_operand::kind::none) throw ptx_error("activemask under a predicate");
    const warp& w = warps_[t.warp];
    std::uint32_t mask = 1u << t.lane;
    for (std::uint32_t lane = 0; lane < w.lanes; ++lane) {
      // This lane has begun the instruction, so its pc is one further.
      const ptx_thread& other = *threads_[w.first + lane];
      if (other.is == ptx_thread::state::running && other.function == t.function && other.pc + 1 == t.pc &&
          other.depth == t.depth && came_alike(other, t))
        mask |= 1u << lane;
    }
    for (std::uint32_t lane = 0; lane < w.lanes; ++lane) {
      if ((mask >> lane & 1u) == 0) continue;
      ptx_thread& other = *threads_[w.first + lane];
      set(other, i.dst, mask);
      if (&other == &t) continue;
      ++other.pc;
      ++other.executed;
      ++i.executed;
    }
  }

  /// A warp's collective: waits for exactly the lanes of `mask`.
  void gather(ptx_thread& t, const ptx_instruction& i, std::uint32_t mask, std::uint64_t a, std::uint32_t b,
              std::uint32_t c) {
    warp& w = warps_[t.warp];
    // Lanes that a short last warp does not have are as if they had left long ago.
    mask &= w.lanes == 32 ? ~0u : (1u << w.lanes) - 1;
    if ((mask >> t.lane & 1u) == 0) throw ptx_error("the lane is not in its own mask " + ptx_hex(mask));
    if ((mask & w.exited) != 0)
      throw ptx_error("mask " + ptx_hex(mask) + " names lanes that have exited: " + ptx_hex(mask & w.exited));
    group* g = nullptr;
    for (group& other : w.groups) {
      if (other.mask == mask && other.like->together == i.together && other.like->lut == i.lut &&
          (other.arrived >> t.lane & 1u) == 0)
        g = &other;
    }
    if (g == nullptr) {
      w.groups.push_back({});
      g = &w.groups.back();
      g->mask = mask;
      g->like = &i;
    }
    g->arrived |= 1u << t.lane;
    g->a[t.lane] = a;
    g->b[t.lane] = b;
    g->c[t.lane] = c;
    g->what[t.lane] = &i;
    t.is = ptx_thread::state::waiting;
    unschedule(t);
    if (g->arrived != mask) return;
    const group whole = *g;
    w.groups.erase(w.groups.begin() + (g - w.groups.data()));
    for (std::uint32_t lane = 0; lane < 32; ++lane) {
      if ((mask >> lane & 1u) == 0) continue;
      ptx_thread& other = *threads_[w.first + lane];
      current_ = &other;
      answer(other, whole, lane);
      wake(other);
    }
    current_ = &t;
  }

  enum class reduction : std::uint8_t { none, popc, all, any };
  /// A block's barrier. @param expected threads; 0: all that have not exited
  void block_barrier(ptx_thread& t, const ptx_instruction& i, std::uint32_t id, std::uint32_t expected, bool waits,
                     reduction how, bool value) {
    if (id > 15) throw ptx_error("barrier " + std::to_string(id));
    if (expected % 32 != 0)
      throw ptx_error("a barrier's threads are a multiple of 32, not " + std::to_string(expected));
    block_state& b = blocks_[t.block];
    if (b.barriers.size() <= id) b.barriers.resize(id + 1);
    barrier_state& s = b.barriers[id];
    if (s.arrived == 0) {
      s.expected = expected;
      s.how = how;
      s.count = 0;
    } else if (s.expected != expected || s.how != how) {
      throw ptx_error("barrier " + std::to_string(id) + " is used with another count or reduction at the same time");
    }
    ++s.arrived;
    s.count += value ? 1 : 0;
    if (waits) {
      s.waiting.push_back({t.index, &i});
      t.is = ptx_thread::state::waiting;
      unschedule(t);
    }
    complete_barrier(b, id);
  }

  const ptx_options& options() const { return options_; }

 private:
  struct group {
    std::uint32_t mask = 0;
    std::uint32_t arrived = 0;
    const ptx_instruction* like = nullptr;
    std::array<std::uint64_t, 32> a{};
    std::array<std::uint32_t, 32> b{};
    std::array<std::uint32_t, 32> c{};
    std::array<const ptx_instruction*, 32> what{};
  };
  struct warp {
    std::uint32_t first = 0;
    std::uint32_t lanes = 0;
    std::uint32_t exited = 0;
    std::vector<group> groups;
  };
  struct barrier_state {
    std::uint32_t arrived = 0;
    std::uint32_t expected = 0;
    std::uint32_t count = 0;
    reduction how = reduction::none;
    std::vector<std::pair<std::uint32_t, const ptx_instruction*>> waiting;
  };
  struct block_state {
    std::uint32_t live = 0;
    std::vector<barrier_state> barriers;
    std::unique_ptr<std::byte, void (*)(void*)> shared{nullptr, std::free};
  };

  [[noreturn]] void uninitialised(const ptx_operand& o) const {
    throw ptx_error("register " + std::to_string(o.reg) + " is read before it was written");
  }

  std::uint64_t special(const ptx_thread& t, ptx_special s) const {
    switch (s) {
      case ptx_special::tid_x: return t.tid[0];
      case ptx_special::tid_y: return t.tid[1];
      case ptx_special::tid_z: return t.tid[2];
      case ptx_special::ntid_x: return block_.x;
      case ptx_special::ntid_y: return block_.y;
      case ptx_special::ntid_z: return block_.z;
      case ptx_special::ctaid_x: return t.ctaid[0];
      case ptx_special::ctaid_y: return t.ctaid[1];
      case ptx_special::ctaid_z: return t.ctaid[2];
      case ptx_special::nctaid_x: return grid_.x;
      case ptx_special::nctaid_y: return grid_.y;
      case ptx_special::nctaid_z: return grid_.z;
      case ptx_special::laneid: return t.lane;
      case ptx_special::warpid: return t.warp % warps_a_block_;
      case ptx_special::nwarpid: return warps_a_block_;
      case ptx_special::lanemask_eq: return std::uint64_t{1} << t.lane;
      case ptx_special::lanemask_lt: return (std::uint64_t{1} << t.lane) - 1;
      case ptx_special::lanemask_le: return (std::uint64_t{2} << t.lane) - 1;
      case ptx_special::lanemask_gt: return 0xffffffffu & ~((std::uint64_t{2} << t.lane) - 1);
      case ptx_special::lanemask_ge: return 0xffffffffu & ~((std::uint64_t{1} << t.lane) - 1);
      case ptx_special::clock: return now_ & 0xffffffffu;
      case ptx_special::clock64: return now_;
      case ptx_special::globaltimer: return time_ns();
      case ptx_special::globaltimer_lo: return time_ns() & 0xffffffffu;
      case ptx_special::globaltimer_hi: return time_ns() >> 32;
    }
    return 0;
  }
  // Far from zero, as the time of day is.
  std::uint64_t time_ns() const { return 0x1'8000'0000u + now_ * options_.ns_per_tick; }

  void enter(ptx_thread& t, const ptx_function& f, std::byte* frame) {
    t.function = &f;
    t.pc = 0;
    t.frame = frame;
    if (t.files.size() <= t.depth) t.files.emplace_back();
    ptx_registers& file = t.files[t.depth++];
    file.values.assign(f.registers + 1, 0);
    file.written.assign(f.registers + 1, options_.uninitialised_reads_zero ? 1 : 0);
    t.values = file.values.data();
    t.written = file.written.data();
    // What nobody wrote is not zero by chance.
    std::memset(frame, 0xcd, f.frame_bytes);
  }

  void start(const ptx_function& entry, ptx_dim grid, ptx_dim block,
             const std::vector<std::vector<std::byte>>& arguments) {
    grid_ = grid;
    block_ = block;
    const std::uint32_t a_block = block.count();
    if (a_block == 0 || a_block > 1024 || grid.count() == 0) throw ptx_error("a launch of no or too many threads");
    if (entry.required_threads != 0 && entry.required_threads != a_block)
      throw ptx_error(entry.name + " wants blocks of " + std::to_string(entry.required_threads));
    if (arguments.size() != entry.params.size())
      throw ptx_error(entry.name + " takes " + std::to_string(entry.params.size()) + " arguments, not " +
                      std::to_string(arguments.size()));
    for (std::size_t p = 0; p < arguments.size(); ++p) {
      if (arguments[p].size() != entry.params[p].bytes)
        throw ptx_error("argument " + std::to_string(p) + " of " + entry.name + " has " +
                        std::to_string(entry.params[p].bytes) + " bytes, not " + std::to_string(arguments[p].size()));
    }
    shared_bytes_ = module_.shared_bytes;
    if (module_.dynamic_shared) shared_bytes_ = (shared_bytes_ + 15) / 16 * 16 + options_.dynamic_shared_bytes;
    warps_a_block_ = (a_block + 31) / 32;
    live_ = grid.count() * a_block;
    for (std::uint32_t b = 0; b < grid.count(); ++b) {
      block_state state;
      state.live = a_block;
      state.shared.reset(static_cast<std::byte*>(std::aligned_alloc(256, (shared_bytes_ + 511) / 256 * 256)));
      std::memset(state.shared.get(), 0xcd, shared_bytes_);
      for (std::uint32_t i = 0; i < a_block; ++i) {
        auto t = std::make_unique<ptx_thread>();
        t->index = static_cast<std::uint32_t>(threads_.size());
        t->block = b;
        t->lane = i % 32;
        t->warp = b * warps_a_block_ + i / 32;
        t->tid[0] = i % block.x;
        t->tid[1] = i / block.x % block.y;
        t->tid[2] = i / block.x / block.y;
        t->ctaid[0] = b % grid.x;
        t->ctaid[1] = b / grid.x % grid.y;
        t->ctaid[2] = b / grid.x / grid.y;
        t->shared = state.shared.get();
        t->stack.reset(static_cast<std::byte*>(std::aligned_alloc(256, (options_.stack_bytes + 255) / 256 * 256)));
        if (i % 32 == 0) warps_.push_back({t->index, std::min(32u, a_block - i), 0, {}});
        if (entry.frame_bytes > options_.stack_bytes) throw ptx_error(entry.name + ": the stack is too small");
        enter(*t, entry, t->stack.get());
        for (std::size_t p = 0; p < arguments.size(); ++p) {
          std::memcpy(t->frame + entry.params[p].frame_offset, arguments[p].data(), arguments[p].size());
        }
        t->slot = static_cast<std::uint32_t>(runnable_.size());
        runnable_.push_back(t.get());
        threads_.push_back(std::move(t));
      }
      blocks_.push_back(std::move(state));
    }
  }

  void run() {
    std::uint64_t since_tick = 0;
    while (live_ != 0) {
      if (runnable_.empty()) {
        if (sleepers_.empty()) {
          current_ = nullptr;
          throw ptx_error("deadlock: every thread waits: " + waiting_threads());
        }
        tick();
        if (now_ > options_.most_steps) limit();
        continue;
      }
      std::uint32_t burst = 1;
      std::size_t at = 0;
      switch (options_.schedule) {
        case ptx_schedule::round_robin:
          if (cursor_ >= runnable_.size()) cursor_ = 0;
          at = cursor_++;
          break;
        case ptx_schedule::bursts: burst = 1 + static_cast<std::uint32_t>(draw() >> 40) % 64; [[fallthrough]];
        case ptx_schedule::random: at = static_cast<std::size_t>((draw() >> 32) * runnable_.size() >> 32); break;
      }
      ptx_thread& t = *runnable_[at];
      current_ = &t;
      do {
        if (steps_ == options_.most_steps) limit();
        ++steps_;
        step(t);
        if (++since_tick >= runnable_.size()) {
          since_tick = 0;
          tick();
        }
      } while (--burst != 0 && t.is == ptx_thread::state::running);
      // The last of the list took its place.
      if (t.is != ptx_thread::state::running && options_.schedule == ptx_schedule::round_robin && cursor_ != 0)
        --cursor_;
    }
  }

  void step(ptx_thread& t) {
    if (t.pc >= t.function->code.size()) {
      // The end of the text is a return.
      leave(t);
      return;
    }
    const ptx_instruction& i = t.function->code[t.pc];
    ++t.pc;
    ++t.executed;
    ++i.executed;
    if (i.predicate.what != ptx_operand::kind::none && !predicate(t, i.predicate)) {
      ++i.switched_off;
      return;
    }
    i.run(*this, t, i);
  }

  void tick() {
    ++now_;
    for (const auto& agent : agents_) agent(now_);
    while (!sleepers_.empty() && sleepers_.top().first <= now_) {
      ptx_thread& t = *threads_[sleepers_.top().second];
      sleepers_.pop();
      wake(t);
    }
  }

  std::uint64_t draw() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return random_ * 0x2545f4914f6cdd1du;
  }

  void unschedule(ptx_thread& t) {
    runnable_[t.slot] = runnable_.back();
    runnable_[t.slot]->slot = t.slot;
    runnable_.pop_back();
  }
  void wake(ptx_thread& t) {
    t.is = ptx_thread::state::running;
    t.slot = static_cast<std::uint32_t>(runnable_.size());
    runnable_.push_back(&t);
  }

  void complete_barrier(block_state& b, std::uint32_t id) {
    barrier_state& s = b.barriers[id];
    if (s.arrived == 0) return;
    if (s.expected == 0 ? s.arrived < b.live : s.arrived < s.expected) return;
    if (s.expected != 0 && s.arrived > s.expected) throw ptx_error("more threads at a barrier than it has");
    const auto waiting = std::move(s.waiting);
    s.waiting.clear();
    for (const auto& [index, i] : waiting) {
      ptx_thread& t = *threads_[index];
      switch (s.how) {
        case reduction::none: break;
        case reduction::popc: set(t, i->dst, s.count); break;
        case reduction::all: set(t, i->dst, s.count == s.arrived ? 1 : 0); break;
        case reduction::any: set(t, i->dst, s.count != 0 ? 1 : 0); break;
      }
      wake(t);
    }
    s.arrived = 0;
  }

  static bool came_alike(const ptx_thread& a, const ptx_thread& b) {
    return std::equal(
        a.calls.begin(), a.calls.end(), b.calls.begin(), b.calls.end(),
        [](const ptx_thread::call& x, const ptx_thread::call& y) { return x.function == y.function && x.pc == y.pc; });
  }

  /// What a complete collective gives one of its lanes.
  static void answer(ptx_thread& t, const group& g, std::uint32_t lane) {
    const ptx_instruction& i = *g.what[lane];
    const auto each = [&g](auto&& f) {
      for (std::uint32_t l = 0; l < 32; ++l) {
        if ((g.mask >> l & 1u) != 0) f(l);
      }
    };
    std::uint32_t yes = 0;
    each([&](std::uint32_t l) { yes |= (g.a[l] != 0 ? 1u : 0u) << l; });
    const auto fold = [&](auto first, auto&& f) {
      auto v = first;
      bool started = false;
      each([&](std::uint32_t l) {
        const auto x = static_cast<decltype(first)>(g.a[l]);
        v = started ? f(v, x) : x;
        started = true;
      });
      set(t, i.dst, static_cast<std::uint32_t>(v));
    };
    switch (i.together) {
      case ptx_collective::none:
      case ptx_collective::sync: return;
      case ptx_collective::vote_all: return set(t, i.dst, yes == g.mask ? 1 : 0);
      case ptx_collective::vote_any: return set(t, i.dst, yes != 0 ? 1 : 0);
      case ptx_collective::vote_uni: return set(t, i.dst, yes == g.mask || yes == 0 ? 1 : 0);
      case ptx_collective::vote_ballot: return set(t, i.dst, yes);
      case ptx_collective::shfl_up:
      case ptx_collective::shfl_down:
      case ptx_collective::shfl_bfly:
      case ptx_collective::shfl_idx: return shuffle(t, g, lane);
      case ptx_collective::match_any: {
        std::uint32_t same = 0;
        each([&](std::uint32_t l) { same |= (g.a[l] == g.a[lane] ? 1u : 0u) << l; });
        return set(t, i.dst, same);
      }
      case ptx_collective::match_all: {
        bool same = true;
        each([&](std::uint32_t l) { same = same && g.a[l] == g.a[lane]; });
        set(t, i.dst, same ? g.mask : 0);
        if (i.dst2.what != ptx_operand::kind::none) set(t, i.dst2, same ? 1 : 0);
        return;
      }
      case ptx_collective::redux_add_u:
      case ptx_collective::redux_add_s:
        return fold(std::uint32_t{}, [](std::uint32_t x, std::uint32_t y) { return x + y; });
      case ptx_collective::redux_min_u:
        return fold(std::uint32_t{}, [](std::uint32_t x, std::uint32_t y) { return std::min(x, y); });
      case ptx_collective::redux_max_u:
        return fold(std::uint32_t{}, [](std::uint32_t x, std::uint32_t y) { return std::max(x, y); });
      case ptx_collective::redux_min_s:
        return fold(std::int32_t{}, [](std::int32_t x, std::int32_t y) { return std::min(x, y); });
      case ptx_collective::redux_max_s:
        return fold(std::int32_t{}, [](std::int32_t x, std::int32_t y) { return std::max(x, y); });
      case ptx_collective::redux_and:
        return fold(std::uint32_t{}, [](std::uint32_t x, std::uint32_t y) { return x & y; });
      case ptx_collective::redux_or:
        return fold(std::uint32_t{}, [](std::uint32_t x, std::uint32_t y) { return x | y; });
      case ptx_collective::redux_xor:
        return fold(std::uint32_t{}, [](std::uint32_t x, std::uint32_t y) { return x ^ y; });
      case ptx_collective::elect: {
        std::uint32_t leader = 0;
        while ((g.mask >> leader & 1u) == 0) ++leader;
        set(t, i.dst, leader);
        return set(t, i.dst2, leader == lane ? 1 : 0);
      }
    }
  }

  static void shuffle(ptx_thread& t, const group& g, std::uint32_t lane) {
    const ptx_instruction& i = *g.what[lane];
    const std::uint32_t by = g.b[lane] & 31u;
    const std::uint32_t clamp = g.c[lane] & 31u;
    const std::uint32_t segment = g.c[lane] >> 8 & 31u;
    const auto most = static_cast<std::int32_t>((lane & segment) | (clamp & ~segment));
    std::int32_t from = 0;
    bool valid = false;
    switch (i.together) {
      case ptx_collective::shfl_up:
        from = static_cast<std::int32_t>(lane) - static_cast<std::int32_t>(by);
        valid = from >= most;
        break;
      case ptx_collective::shfl_down:
        from = static_cast<std::int32_t>(lane + by);
        valid = from <= most;
        break;
      case ptx_collective::shfl_bfly:
        from = static_cast<std::int32_t>(lane ^ by);
        valid = from <= most;
        break;
      default:
        from = static_cast<std::int32_t>((lane & segment) | (by & ~segment));
        valid = from <= most;
        break;
    }
    if (!valid) from = static_cast<std::int32_t>(lane);
    if ((g.mask >> from & 1u) == 0)
      throw ptx_error("shfl reads lane " + std::to_string(from) + ", which is not in mask " + ptx_hex(g.mask));
    set(t, i.dst, g.a[static_cast<std::size_t>(from)]);
    if (i.dst2.what != ptx_operand::kind::none) set(t, i.dst2, valid ? 1 : 0);
  }

  [[noreturn]] void limit() {
    std::string text = "no end after " + std::to_string(steps_) + " steps and " + std::to_string(now_) + " ticks: ";
    current_ = nullptr;
    throw ptx_error(text + waiting_threads());
  }
  /// Where the live threads are.
  std::string waiting_threads() const {
    std::map<std::string, std::vector<std::uint32_t>> at;
    for (const auto& t : threads_) {
      if (t->is == ptx_thread::state::exited) continue;
      const char* how = t->is == ptx_thread::state::waiting    ? " (waits)"
                        : t->is == ptx_thread::state::sleeping ? " (sleeps)"
                                                               : "";
      at[place(*t) + how].push_back(t->index);
    }
    std::string text;
    for (const auto& [where_to, threads] : at) {
      text += (text.empty() ? "threads" : "; threads");
      for (std::size_t i = 0; i < threads.size() && i < 8; ++i) text += " " + std::to_string(threads[i]);
      if (threads.size() > 8) text += " and " + std::to_string(threads.size() - 8) + " more";
      text += " at " + where_to;
    }
    return text;
  }
  std::string place(const ptx_thread& t) const {
    // The pc is that of the next instruction.
    const std::uint32_t pc = t.pc == 0 ? 0 : t.pc - 1;
    if (pc >= t.function->code.size()) return "the end of " + t.function->name;
    const ptx_instruction& i = t.function->code[pc];
    return "line " + std::to_string(i.line) + " " + module_.opcodes[i.opcode] + " (pc " + std::to_string(pc) + " of " +
           t.function->name.substr(0, 60) + ")";
  }
  std::string where(const ptx_thread& t) const { return "thread " + std::to_string(t.index) + " at " + place(t); }

  const ptx_module& module_;
  ptx_memory& memory_;
  ptx_options options_;
  std::uint64_t random_;
  ptx_dim grid_{};
  ptx_dim block_{};
  std::uint32_t warps_a_block_ = 1;
  std::uint32_t shared_bytes_ = 0;
  std::vector<std::unique_ptr<ptx_thread>> threads_;
  std::vector<ptx_thread*> runnable_;
  std::vector<warp> warps_;
  std::vector<block_state> blocks_;
  using sleeper = std::pair<std::uint64_t, std::uint32_t>;
  std::priority_queue<sleeper, std::vector<sleeper>, std::greater<>> sleepers_;
  std::vector<std::function<void(std::uint64_t)>> agents_;
  const ptx_thread* current_ = nullptr;
  std::size_t cursor_ = 0;
  std::uint64_t now_ = 0;
  std::uint64_t steps_ = 0;
  std::uint32_t live_ = 0;
};

}  // namespace nkv_test
