// SPDX-License-Identifier: BSD-3-Clause
//
// Random operations while the target is killed, stopped, reset, left and slow, against a model of what must be true: no
// acknowledged Store is lost, no value is another key's, nothing returns past its deadline, nothing is written into a
// buffer that was reported as quiesced, and every CID comes home.
//
// What is drawn is the seed's (NKV_FAULT_SEED, else the clock's), which is printed; how threads and processes meet is
// not. A short run by default; a long one, some minutes:
//
//   NKV_FAULT_OPERATIONS=1000000 nkv_system --source-file='*/system/faults_test.cpp'
#include <system/system.hpp>

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <optional>

using namespace nkv_test;

namespace {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr std::uint64_t default_operations = 4'000;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
constexpr std::uint64_t default_operations = 4'000;
#else
constexpr std::uint64_t default_operations = 20'000;
#endif
#else
constexpr std::uint64_t default_operations = 20'000;
#endif

constexpr std::size_t slot_bytes = 2 * page;
constexpr std::size_t slots_each = 256;  // of one worker
constexpr unsigned workers = 4;
constexpr unsigned keys_each = 12;
constexpr std::size_t most_in_flight = 4;  // of one worker, besides what it has let go of
constexpr std::size_t header_bytes = 24;
constexpr std::size_t longest_value = 6000;
constexpr std::uint64_t slack_ns = 5'000'000'000;  // for the scheduler of a busy machine

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}

void pass_us(std::uint64_t us) { std::this_thread::sleep_for(std::chrono::microseconds(us)); }

struct dice {
  std::uint64_t seed = 0;
  std::uint64_t thrown = 0;
  std::uint64_t below(std::uint64_t n) { return pattern_word(seed, thrown++) % n; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
};

/// Memory for values, of a file that the target maps; between pages that nobody may touch and that are not registered.
class guarded_arena {
 public:
  explicit guarded_arena(std::size_t size_bytes) : size_bytes_(size_bytes) {
    auto made = nkv::host::region::create(size_bytes + 2 * page);
    REQUIRE(made);
    region_ = *std::move(made);
    guard(PROT_NONE);
    std::memset(data(), static_cast<int>(blank), size_bytes);
  }
  [[nodiscard]] std::byte* data() const { return region_.data() + page; }
  [[nodiscard]] nkv::host::registration register_with(const nkv::host::controller& c) const {
    auto memory = c.register_memory(data(), size_bytes_, region_.fd(), page, {}, soon());
    REQUIRE_MESSAGE(memory, nkv::host::describe(memory.error()));
    REQUIRE(memory->kind() == nkv::host::registration::zero_copy);
    return *std::move(memory);
  }
  /// Whether nothing was ever written beside the registered pages, through the target's mapping either.
  [[nodiscard]] bool guards_are_whole() const {
    guard(PROT_READ);
    const bool whole = fill_difference(region_.data(), page, std::byte{0}) == page &&
                       fill_difference(data() + size_bytes_, page, std::byte{0}) == page;
    guard(PROT_NONE);
    return whole;
  }

 private:
  void guard(int how) const {
    REQUIRE(::mprotect(region_.data(), page, how) == 0);
    REQUIRE(::mprotect(region_.data() + page + size_bytes_, page, how) == 0);
  }
  std::size_t size_bytes_;
  nkv::host::region region_;
};

enum class fault { kill, kill_stopped, reset, reset_stopped, shutdown, leave, drain };
constexpr const char* fault_names[] = {"kills",
                                       "kills while stopped",
                                       "resets",
                                       "resets while stopped",
                                       "shutdowns under load",
                                       "leaves with commands under way",
                                       "drains"};

constexpr std::size_t index(fault f) { return static_cast<std::size_t>(f); }

/// What was done.
struct tally {
  using count = std::atomic<std::uint64_t>;
  count operations{0}, stores{0}, retrieves{0}, exists{0}, deletes{0};
  count values{0};    ///< that were read back and judged
  count timeouts{0};  ///< of blocking calls
  count cancels{0};   ///< of tickets
  count refused{0};   ///< that found no room in time, or no controller
  count unknown{0};   ///< Stores and Deletes whose fate nobody knows
  count lost{0};      ///< under way when their queue was lost
  count quiesced{0};  ///< buffers that came back late and were watched from then on
  std::uint64_t late = 0, stops = 0, delays = 0;
  std::uint64_t faults[7] = {};
};

/// From the opening of the queues to the fault that ends them.
struct round_state {
  enum phase_type { running, draining, leaving, over };
  std::atomic<phase_type> phase{running};
  std::atomic<bool> may_end{false};  ///< the fault is on its way: disconnected is an answer now
};

/// One thread's operations, the keys that it alone writes, and its slots of the arena. It lives through all rounds.
class worker {
 public:
  worker(unsigned id, std::uint64_t seed, std::byte* arena, std::uint64_t patience_ms, complaints& wrong, tally& sum)
      : id_(id),
        patience_ms_(patience_ms),
        dice_{seed * 977 + id},
        arena_(arena + id * slots_each * slot_bytes),
        wrong_(wrong),
        sum_(sum) {
    for (std::size_t i = 0; i < slots_each; ++i) resting_.push_back({i, false});
  }

  static std::uint32_t nsid_of(unsigned id) { return id == 1 ? 2 : 1; }

  template <class Ns>
  void round(const Ns& ns, const nkv::host::registration& memory, round_state& state) {
    state_ = &state;
    memory_ = &memory;
    for (std::uint32_t spins = 0; state.phase == round_state::running && !wrong_.any(); ++laps) {
      const std::uint64_t before = ended_;
      if (window_.size() < most_in_flight) begin(ns);
      look(ns);
      spins = ended_ == before ? spins + 1 : 0;
      if (spins > 8) nkv::host::steady_clock::relax(spins);
    }
    if (state.phase == round_state::leaving) return;
    // Lost, everything ends at once; draining, all is answered.
    const nkv::host::deadline until = in_ms(patience_ms_);
    while (!window_.empty()) {
      flight f = window_.back();
      window_.pop_back();
      outcome o = timely(until, "wait at the end", [&] { return ns.wait(f.ticket, until); });
      if (o.status == status(client::timed_out)) {
        complain("never answered");
        let_go(ns, f);
      } else {
        settle(f, o);
      }
    }
    while (!late_.empty()) {
      look_late(ns);
      if (until.expired()) return complain("never quiesced");
      pass_us(50);
    }
    if (state.phase == round_state::draining)
      for (unsigned k = 0; k < keys_each && !wrong_.any(); ++k) {
        const flight f = make(nkv::kv_opcode::retrieve, id_, k, longest_value);
        const outcome o = timely(until, "read back", [&] { return ns.run(f.op(*this), until); });
        if (!o.ok() && !o.status.is_key_does_not_exist()) complain("never read back", o.status);
        settle(f, o);
      }
    for (const rest_slot& s : resting_) expect_blank(s);
  }

  /// The queues went with the commands under way: they have ended, one way or the other.
  void forsake() {
    late_.insert(late_.end(), window_.begin(), window_.end());
    window_.clear();
    for (const flight& f : std::exchange(late_, {})) end_late(f);
    for (const rest_slot& s : resting_) expect_blank(s);
  }

  std::atomic<std::uint64_t> laps{0};

 private:
  /// What one key may hold: versions, 0 for nothing. A write is only begun while nothing else is under way on its key.
  struct key_model {
    std::vector<std::uint64_t> may_hold{0};
    unsigned under_way = 0;
    bool being_written = false;
    [[nodiscard]] bool may(std::uint64_t version) const {
      return std::find(may_hold.begin(), may_hold.end(), version) != may_hold.end();
    }
    [[nodiscard]] bool may_be_there() const { return may_hold != std::vector<std::uint64_t>{0}; }
  };
  enum effect_type { no_effect, unknown_effect, sure_effect };

  struct flight {
    nkv::kv_opcode opcode = nkv::kv_opcode::exist;
    unsigned owner = 0, key = 0;
    char name[16] = {};
    std::size_t slot = 0, offset = 0, size = 0;
    std::uint64_t id = 0;
    bool read_beside_write = false;
    nkv::host::deadline until;
    nkv::kv_ticket ticket;
    [[nodiscard]] bool changes() const { return operation::opcode_mutates(opcode); }
    [[nodiscard]] operation op(const worker& w) const {
      const key_view k = bytes_of(name);
      const nkv::value_ref part = *w.memory_->value(w.offset_of(slot) + offset, size);
      switch (opcode) {
        case nkv::kv_opcode::store: return operation::store(k, part, {}, id);
        case nkv::kv_opcode::retrieve: return operation::retrieve(k, part, {}, id);
        case nkv::kv_opcode::remove: return operation::remove(k, id);
        default: return operation::exist(k, id);
      }
    }
  };
  struct rest_slot {
    std::size_t index;
    bool forbidden;  ///< nobody in this process may touch it
  };

  void complain(const std::string& what, status s = {}) {
    wrong_.add("worker " + std::to_string(id_) + ": " + what + ": " + nkv::host::describe(s).c_str());
  }

  template <class Call>
  auto timely(nkv::host::deadline until, const char* what, Call&& call) {
    const std::uint64_t began = nkv::host::steady_clock::now_ns();
    auto result = call();
    const std::uint64_t latest = std::max(began, until.at_ns());
    const std::uint64_t at = nkv::host::steady_clock::now_ns();
    if (at > latest && at - latest > slack_ns) complain(std::string(what) + " came back long after its deadline");
    return result;
  }
  static nkv::host::deadline at_once() { return nkv::host::deadline::after_ns(0); }

  // ---- slots ----

  [[nodiscard]] std::size_t offset_of(std::size_t slot) const { return (id_ * slots_each + slot) * slot_bytes; }
  [[nodiscard]] std::byte* at(std::size_t slot) const { return arena_ + slot * slot_bytes; }
  [[nodiscard]] static bool is_blank(const std::byte* from, std::size_t size) {
    static const std::vector<std::byte> all(slot_bytes, blank);
    return std::memcmp(from, all.data(), size) == 0;
  }
  void protect(std::size_t slot, int how) {
    if (::mprotect(at(slot), slot_bytes, how) != 0) complain("mprotect");
  }
  void expect_blank(const rest_slot& s) {
    if (s.forbidden) protect(s.index, PROT_READ);
    if (!is_blank(at(s.index), slot_bytes)) complain("a quiesced buffer was written");
    if (s.forbidden) protect(s.index, PROT_NONE);
  }
  /// Blank from now on, until used again. One that came back late may not be touched at all.
  void rest(std::size_t slot, bool late) {
    std::memset(at(slot), static_cast<int>(blank), slot_bytes);
    if (late) protect(slot, PROT_NONE);
    resting_.push_back({slot, late});
  }
  [[nodiscard]] std::size_t take_slot() {
    const rest_slot s = resting_.front();
    resting_.pop_front();
    expect_blank(s);
    if (s.forbidden) protect(s.index, PROT_READ | PROT_WRITE);
    return s.index;
  }

  [[nodiscard]] bool is_blank_around(const flight& f) const {
    return is_blank(at(f.slot), f.offset) && is_blank(at(f.slot) + f.offset + f.size, slot_bytes - f.offset - f.size);
  }
  [[nodiscard]] std::array<std::uint64_t, 3> header_of(const flight& f, std::uint64_t size) const {
    return {f.owner * keys_each + f.key, f.id, size};
  }
  [[nodiscard]] static std::uint64_t seed_of(const std::array<std::uint64_t, 3>& header) {
    return header[0] << 40 | header[1];
  }
  /// Looks at the memory of an operation that has ended.
  void inspect(const flight& f) {
    if (!is_blank_around(f)) complain("memory beside a buffer was written");
    if (f.opcode == nkv::kv_opcode::retrieve) return;
    const std::byte* const from = at(f.slot) + f.offset;
    bool whole = true;
    if (f.opcode == nkv::kv_opcode::store) {
      const auto header = header_of(f, f.size);
      whole = std::memcmp(from, header.data(), header_bytes) == 0 &&
              pattern_difference(from + header_bytes, f.size - header_bytes, seed_of(header)) == f.size - header_bytes;
    } else {
      whole = is_blank(from, f.size);
    }
    if (!whole) complain("memory of an operation that only reads it was written");
  }

  // ---- operations ----

  flight make(nkv::kv_opcode opcode, unsigned owner, unsigned key, std::size_t size) {
    flight f;
    f.opcode = opcode;
    f.owner = owner;
    f.key = key;
    std::snprintf(f.name, sizeof f.name, "k%u.%u", owner, key);
    f.slot = take_slot();
    f.size = size;
    f.offset = dice_.below((slot_bytes - size) / 4 + 1) * 4;
    f.id = ++versions_;
    if (opcode == nkv::kv_opcode::store) {
      const auto header = header_of(f, size);
      std::memcpy(at(f.slot) + f.offset, header.data(), header_bytes);
      fill_pattern(at(f.slot) + f.offset + header_bytes, size - header_bytes, seed_of(header));
    }
    if (owner == id_) {
      key_model& k = keys_[key];
      ++k.under_way;
      f.read_beside_write = k.being_written;
      if (f.changes()) k.being_written = true;
    }
    return f;
  }

  template <class Ns>
  void begin(const Ns& ns) {
    const std::uint64_t what = dice_.below(100);
    nkv::kv_opcode opcode = what < 40   ? nkv::kv_opcode::store
                            : what < 80 ? nkv::kv_opcode::retrieve
                            : what < 90 ? nkv::kv_opcode::exist
                                        : nkv::kv_opcode::remove;
    unsigned owner = id_;
    auto key = static_cast<unsigned>(dice_.below(keys_each));
    if (operation::opcode_mutates(opcode)) {
      for (unsigned i = 0; i < keys_each && keys_[key].under_way != 0; ++i) key = (key + 1) % keys_each;
      if (keys_[key].under_way != 0) return;
    } else if (opcode == nkv::kv_opcode::retrieve && dice_.one_in(8)) {
      // Another's key now and then: whose value it is can be told, though not which.
      owner = static_cast<unsigned>(dice_.below(workers));
      if (nsid_of(owner) != nsid_of(id_)) owner = id_;
    }
    std::size_t size = header_bytes + dice_.below(dice_.one_in(10) ? longest_value - header_bytes : 500);
    if (opcode == nkv::kv_opcode::retrieve && !dice_.one_in(10)) size = longest_value;
    flight f = make(opcode, owner, key, size);
    f.until = nkv::host::deadline::after_us(dice_.below(dice_.one_in(3) ? 200 : 5000));
    if (dice_.one_in(4)) {
      const outcome o = timely(f.until, "a blocking call", [&] { return ns.run(f.op(*this), f.until); });
      const bool late = o.status == status(client::timed_out) || o.status == status(client::outcome_unknown);
      if (late && !state_->may_end && !f.until.expired()) complain("timed out before its deadline");
      f.ticket.ticket = o.ticket;
      settle(f, o);
      return;
    }
    const bool deferred = dice_.one_in(4);
    const auto t = timely(at_once(), "submit", [&] {
      return ns.submit(f.op(*this), deferred ? nkv::submit_mode::defer : nkv::submit_mode::ring);
    });
    if (t) {
      if (deferred) ns.ring();
      f.ticket = *t;
      // Some are let go of early, most late.
      if (!dice_.one_in(6)) f.until = nkv::host::deadline::after_us(5000 + dice_.below(50'000));
      window_.push_back(f);
    } else {
      outcome o;
      o.status = t.error();
      settle(f, o);
    }
  }

  /// Looks at what is under way; lets go of what takes too long.
  template <class Ns>
  void look(const Ns& ns) {
    for (std::size_t i = 0; i < window_.size();) {
      const flight f = window_[i];
      const outcome o = dice_.one_in(16) ? timely(at_once(), "wait",
                                                  [&] { return ns.wait(f.ticket, nkv::host::deadline::after_us(200)); })
                                         : timely(at_once(), "poll", [&] { return ns.poll(f.ticket); });
      const bool under_way = o.status == status(client::would_block) || o.status == status(client::timed_out);
      if (under_way && !f.until.expired()) {
        ++i;
        continue;
      }
      if (!under_way && o.user_tag != f.id) complain("another operation's outcome");
      window_.erase(window_.begin() + static_cast<std::ptrdiff_t>(i));
      if (under_way) {
        ++sum_.cancels;
        let_go(ns, f);
      } else {
        settle(f, o);
      }
    }
    look_late(ns);
  }

  template <class Ns>
  void let_go(const Ns& ns, const flight& f) {
    const status s = timely(at_once(), "cancel", [&] { return ns.cancel(f.ticket); });
    if (!s.ok()) complain("cancel", s);
    if (f.changes()) ++sum_.unknown;
    count(f);
    late_.push_back(f);
  }

  template <class Ns>
  void look_late(const Ns& ns) {
    for (std::size_t i = 0; i < late_.size();) {
      const flight f = late_[i];
      if (!timely(at_once(), "quiesced", [&] { return ns.quiesced(f.ticket); })) {
        ++i;
        continue;
      }
      late_.erase(late_.begin() + static_cast<std::ptrdiff_t>(i));
      end_late(f);
    }
  }

  /// Whether it took effect is not known; that it has, or never will, is.
  void end_late(const flight& f) {
    inspect(f);
    rest(f.slot, true);
    ended(f, unknown_effect);
    ++sum_.quiesced;
  }

  void count(const flight& f) {
    ++sum_.operations;
    ++(f.opcode == nkv::kv_opcode::store      ? sum_.stores
       : f.opcode == nkv::kv_opcode::retrieve ? sum_.retrieves
       : f.opcode == nkv::kv_opcode::exist    ? sum_.exists
                                              : sum_.deletes);
  }

  void ended(const flight& f, effect_type effect) {
    ++ended_;
    if (f.owner != id_) return;
    key_model& k = keys_[f.key];
    --k.under_way;
    if (!f.changes()) return;
    k.being_written = false;
    const std::uint64_t version = f.opcode == nkv::kv_opcode::store ? f.id : 0;
    if (effect == sure_effect) k.may_hold.clear();
    if (effect != no_effect && !k.may(version)) k.may_hold.push_back(version);
  }

  /// Takes an outcome: into the model, or against it.
  void settle(const flight& f, const outcome& o) {
    const status s = o.status;
    const bool disconnected = s == status(client::disconnected);
    if (disconnected && !state_->may_end) complain("lost without a reason", s);
    if (s == status(client::outcome_unknown) || s == status(client::timed_out) ||
        (disconnected && f.ticket.ticket.valid())) {
      if ((s == status(client::outcome_unknown)) != f.changes()) complain("not what such an operation ends with", s);
      ++(state_->may_end ? sum_.lost : sum_.timeouts);
      if (f.changes()) ++sum_.unknown;
      count(f);
      late_.push_back(f);
      return;
    }
    inspect(f);
    effect_type effect = no_effect;
    if (disconnected || s == status(client::queue_full)) {
      ++sum_.refused;
      pass_us(20);  // or a queue without room keeps its thread busy with nothing else
    } else {
      count(f);
      effect = judge(f, o);
    }
    rest(f.slot, false);
    ended(f, effect);
  }

  /// @return what became of a Store or Delete that was answered
  effect_type judge(const flight& f, const outcome& o) {
    const status s = o.status;
    if (s == status(nkv::status_code_type::generic, nkv::generic_status::abort_requested) && state_->may_end)
      return unknown_effect;  // by the deletion of its queue, in an orderly shutdown
    key_model& k = keys_[f.key];
    // Nothing is known of another's key, and while a write is under way only that it is there or not.
    const bool known = f.owner == id_ && !f.read_beside_write;
    switch (f.opcode) {
      case nkv::kv_opcode::store:
        if (!s.ok()) complain("Store", s);
        break;
      case nkv::kv_opcode::remove:
        if (!s.ok()) complain("Delete", s);
        break;
      case nkv::kv_opcode::exist:
        if (!s.ok() && !s.is_key_does_not_exist()) complain("Exist", s);
        if (s.ok() && known && !k.may_be_there()) complain(std::string("there, though deleted: ") + f.name);
        if (!s.ok() && known) see(f, 0);
        break;
      default:
        if (s.is_key_does_not_exist()) {
          if (known) see(f, 0);
        } else if (s == status(client::value_too_large)) {
          if (o.length_bytes <= f.size) complain("too large, though it is not", s);
        } else if (!s.ok()) {
          complain("Retrieve", s);
        } else {
          judge_value(f, o);
        }
    }
    return sure_effect;
  }

  void judge_value(const flight& f, const outcome& o) {
    const std::byte* const from = at(f.slot) + f.offset;
    std::array<std::uint64_t, 3> header{};
    if (o.length_bytes < header_bytes || o.length_bytes > f.size)
      return complain(std::string("no value of anybody's: ") + f.name);
    std::memcpy(header.data(), from, header_bytes);
    if (header[0] != f.owner * keys_each + f.key) return complain(std::string("another key's value: ") + f.name);
    const std::size_t body = static_cast<std::size_t>(o.length_bytes) - header_bytes;
    if (header[2] != o.length_bytes || pattern_difference(from + header_bytes, body, seed_of(header)) != body)
      return complain(std::string("a torn value: ") + f.name);
    ++sum_.values;
    if (f.owner == id_) see(f, header[1]);
  }

  /// What was read of an own key must be something that it may hold; nothing else is, from then on.
  void see(const flight& f, std::uint64_t version) {
    key_model& k = keys_[f.key];
    if (f.read_beside_write) return;
    if (!k.may(version))
      complain(std::string(version == 0 ? "lost: nothing under " : "lost: another value under ") + f.name);
    k.may_hold = {version};
  }

  const unsigned id_;
  const std::uint64_t patience_ms_;
  dice dice_;
  std::byte* const arena_;
  complaints& wrong_;
  tally& sum_;
  round_state* state_ = nullptr;
  const nkv::host::registration* memory_ = nullptr;
  std::uint64_t versions_ = 0;
  std::uint64_t ended_ = 0;
  key_model keys_[keys_each];
  std::vector<flight> window_;
  std::vector<flight> late_;  // let go of, not quiesced
  std::deque<rest_slot> resting_;
};

struct plan {
  served::kind_type kind = served::vfio_user;
  std::string lie = "none";
  std::vector<fault> faults;
  std::uint64_t operations = 0;
  std::uint64_t seed = 0;
  std::uint64_t patience_ms = 60'000;
};

/// Rounds that each end with a fault, until enough operations were begun and each fault has been.
class conductor {
 public:
  explicit conductor(const plan& p)
      : plan_(p),
        dice_{p.seed},
        target_(p.kind, "faulty:" + p.lie + ":" + folder_.path() + "/values"),
        arena_(workers * slots_each * slot_bytes) {
    for (unsigned id = 0; id < workers; ++id)
      workers_.push_back(std::make_unique<worker>(id, p.seed, arena_.data(), p.patience_ms, wrong_, sum_));
  }

  void run() {
    std::vector<fault> deck;
    for (bool all = false; (!all || sum_.operations < plan_.operations) && !wrong_.any();) {
      if (deck.empty()) {
        deck = plan_.faults;
        for (std::size_t i = deck.size(); i > 1; --i) std::swap(deck[i - 1], deck[dice_.below(i)]);
      }
      const fault next = deck.back();
      deck.pop_back();
      round(next);
      all = all || deck.empty();
    }
    if (!wrong_.any()) round(fault::drain);
    wrong_.expect(arena_.guards_are_whole(), "memory beside what is registered was written");
  }

  [[nodiscard]] const complaints& wrong() const { return wrong_; }
  [[nodiscard]] const tally& sum() const { return sum_; }

  [[nodiscard]] std::string report() const {
    std::string text = "faults: seed " + std::to_string(plan_.seed);
    const auto add = [&](std::uint64_t n, const char* what) { text += ", " + std::to_string(n) + " " + what; };
    add(sum_.operations, "operations");
    add(sum_.stores, "Stores");
    add(sum_.retrieves, "Retrieves");
    add(sum_.exists, "Exists");
    add(sum_.deletes, "Deletes");
    add(sum_.values, "values judged");
    add(sum_.delays, "delays");
    add(sum_.stops, "stops");
    for (std::size_t i = 0; i < std::size(fault_names); ++i) add(sum_.faults[i], fault_names[i]);
    add(sum_.timeouts, "timeouts");
    add(sum_.cancels, "cancels");
    add(sum_.late, "late completions");
    add(sum_.lost, "lost under way");
    add(sum_.refused, "refused");
    add(sum_.unknown, "unknown outcomes");
    add(sum_.quiesced, "buffers quiesced late");
    return text;
  }

 private:
  void round(fault how) {
    if (!c_) {
      // A destructor too has all the time that a busy machine may take.
      c_.emplace(target_.connect({.controller = {.teardown_ms = plan_.patience_ms}, .vfio_user = {}}));
      memory_.emplace(arena_.register_with(*c_));
    }
    const bool connection_ends = how != fault::reset && how != fault::drain;
    {
      const opened<nkv::exclusive> first = open<nkv::exclusive>(*c_, 1, 16);
      const opened<nkv::exclusive> second = open<nkv::exclusive>(*c_, 2, 8);
      const opened<nkv::shared> third = open<nkv::shared>(*c_, 1, 16);
      const opened<nkv::exclusive> own = open<nkv::exclusive>(*c_, 2, 4);
      const std::uint64_t delays = delays_so_far(own);
      round_state state;
      std::vector<std::thread> threads;
      threads.emplace_back([&] { workers_[0]->round(first.ref(), *memory_, state); });
      threads.emplace_back([&] { workers_[1]->round(second.ref(), *memory_, state); });
      for (unsigned id = 2; id < workers; ++id)
        threads.emplace_back([&, id] { workers_[id]->round(third.ref(), *memory_, state); });

      run_for(100 + dice_.below(500));
      sum_.delays += delays_so_far(own) - delays;

      state.may_end = how != fault::drain && how != fault::leave;
      if (how == fault::drain) state.phase = round_state::draining;
      if (how == fault::leave) state.phase = round_state::leaving;
      strike(how);
      if (state.may_end) state.phase = round_state::over;
      for (std::thread& t : threads) t.join();

      count(first.ref().queue(), how);
      count(second.ref().queue(), how);
      count(third.ref().queue(), how);
      if (how == fault::leave && dice_.one_in(4)) c_.reset();
    }
    ++sum_.faults[index(how)];
    if (how == fault::leave)
      for (const auto& w : workers_) w->forsake();
    if (connection_ends) {
      const status s = memory_->release(in_ms(plan_.patience_ms));
      wrong_.expect(s.ok() || !c_ || how == fault::shutdown, "the memory is not given back", s);
      memory_.reset();
      if (c_) {
        const nkv::host::controller_statistics left = c_->statistics();
        wrong_.expect(left.abandoned_bytes == 0 && left.unquiesced_bytes == 0, "memory is kept");
      }
      c_.reset();
    }
    if (target_.kind() == served::vfio_user && target_.process().pid() < 0) target_.start();
  }

  [[nodiscard]] std::uint64_t delays_so_far(const opened<nkv::exclusive>& ns) {
    std::uint64_t n = 0;
    const outcome o =
        ns.retrieve(bytes_of("delays"), {reinterpret_cast<std::byte*>(&n), sizeof n}, in_ms(plan_.patience_ms));
    wrong_.expect(o.ok(), "never said how many delays", o.status);
    return n;
  }

  /// Waits for so many operations, and stops the target now and then: they end all the same.
  void run_for(std::uint64_t operations) {
    const nkv::host::deadline until = in_ms(plan_.patience_ms);
    const std::uint64_t enough = sum_.operations + operations;
    std::uint64_t next_stop = sum_.operations + dice_.below(600);
    while (sum_.operations < enough && !wrong_.any()) {
      if (until.expired()) wrong_.add("never made progress");
      if (target_.kind() == served::vfio_user && sum_.operations >= next_stop) {
        stop_target();
        target_.process().go_on();
        next_stop = sum_.operations + 100 + dice_.below(1500);
      }
      pass_us(100);
    }
  }

  /// While the target is stopped no call may hang: each worker comes around.
  void stop_target() {
    target_.process().stop();
    ++sum_.stops;
    std::uint64_t before[workers];
    for (unsigned i = 0; i < workers; ++i) before[i] = workers_[i]->laps;
    const nkv::host::deadline until = nkv::host::deadline::after_ns(slack_ns);
    for (unsigned i = 0; i < workers; ++i)
      while (workers_[i]->laps < before[i] + 3 && !wrong_.any()) {
        if (until.expired()) wrong_.add("a call waits for a stopped target, past its deadline");
        pass_us(100);
      }
  }

  void strike(fault how) {
    if (how == fault::kill_stopped || how == fault::reset_stopped) stop_target();
    if (how == fault::reset_stopped) {
      // Not answered in time: the connection is shut, and nothing is quiesced before the target is gone.
      const std::uint64_t ms = ms_of([&] { wrong_.expect(!c_->reset(in_ms(10)).ok(), "a stopped target was reset"); });
      wrong_.expect(ms < slack_ns / 1'000'000, "a reset came back long after its deadline");
      target_.process().go_on();
      pass_us(dice_.below(3000));
    }
    if (how == fault::kill || how == fault::kill_stopped || how == fault::reset_stopped) {
      target_.process().end(SIGKILL);
      wrong_.expect(becomes([&] { return c_->check(in_ms(1000)) == status(client::disconnected); }),
                    "a killed target is not missed");
    }
    if (how == fault::reset) {
      const status s = c_->reset(in_ms(plan_.patience_ms));
      wrong_.expect(s.ok(), "reset", s);
    }
    if (how == fault::shutdown) {
      const status s = c_->shutdown(in_ms(plan_.patience_ms));
      wrong_.expect(s.ok(), "shutdown", s);
    }
  }

  /// Of a queue that nobody uses any more.
  template <class Queue>
  void count(const Queue& queue, fault how) {
    sum_.late += queue.counters().late_completions;
    wrong_.expect(queue.counters().stray_completions == 0, "a completion of no command");
    wrong_.expect(how != fault::drain || wrong_.any() || queue.outstanding() == 0, "a CID is not home");
  }

  const plan plan_;
  dice dice_;
  temporary_folder folder_;
  served target_;
  guarded_arena arena_;
  complaints wrong_;
  tally sum_;
  std::vector<std::unique_ptr<worker>> workers_;
  std::optional<nkv::host::controller> c_;
  std::optional<nkv::host::registration> memory_;
};

/// A run that must be good, and in which everything has happened.
void run_well(plan p) {
  p.seed = from_environment("NKV_FAULT_SEED", nkv::host::steady_clock::now_ns());
  conductor all(p);
  const std::uint64_t ms = ms_of([&] { all.run(); });
  const std::string report = all.report();
  std::printf("%s, %" PRIu64 " ms\n", report.c_str(), ms);
  CAPTURE(report);
  all.wrong().check();
  const tally& sum = all.sum();
  CHECK(sum.operations >= p.operations);
  for (const fault f : p.faults) CHECK_MESSAGE(sum.faults[index(f)] > 0, fault_names[index(f)]);
  for (const tally::count* c : {&sum.stores, &sum.retrieves, &sum.exists, &sum.deletes, &sum.values, &sum.timeouts,
                                &sum.cancels, &sum.unknown, &sum.lost, &sum.quiesced})
    CHECK(*c > 0);
  CHECK(sum.late > 0);
  CHECK(sum.delays > 0);
  CHECK((sum.stops > 0 || p.kind == served::inproc));
}

}  // namespace

TEST_SUITE("system/faults") {
  TEST_CASE(
      "another process: killed, stopped, reset, left, slow -> nothing lost, mixed, late, written after or stuck") {
    run_well({.faults = {fault::kill, fault::kill_stopped, fault::reset, fault::reset_stopped, fault::shutdown,
                         fault::leave, fault::drain},
              .operations = from_environment("NKV_FAULT_OPERATIONS", default_operations)});
  }

  TEST_CASE("this process: reset, left, slow -> nothing lost, mixed, late, written after or stuck") {
    run_well({.kind = served::inproc,
              .faults = {fault::reset, fault::shutdown, fault::leave, fault::drain},
              .operations = from_environment("NKV_FAULT_OPERATIONS", default_operations) / 2});
  }

  TEST_CASE("a target that lies -> the model says so") {
    struct lie {
      const char* name;
      std::vector<const char*> said;  ///< one of these
      std::vector<fault> faults;
      std::uint64_t patience_ms = 60'000;
    };
    const lie lies[] = {
        {"loses", {"lost: "}, {fault::drain}},
        {"forgets", {"lost: "}, {fault::kill}},
        {"mixes", {"another key's value: ", "lost: "}, {fault::drain}},
        {"tears", {"another key's value: ", "a torn value: "}, {fault::drain}},
        // Another operation may have the buffer again by then.
        {"scribbles", {"a quiesced buffer was written", "value: ", "memory of"}, {fault::drain}},
        {"swallows", {"never "}, {fault::drain}, 1500},
    };
    for (const lie& l : lies) {
      CAPTURE(std::string(l.name));
      conductor all({.lie = l.name, .faults = l.faults, .operations = 4000, .seed = 7, .patience_ms = l.patience_ms});
      all.run();
      const std::string text = all.wrong().text();
      CHECK_MESSAGE(
          std::any_of(l.said.begin(), l.said.end(), [&](const char* s) { return text.find(s) != std::string::npos; }),
          text);
    }
  }
}
