// SPDX-License-Identifier: BSD-3-Clause
//
// Execute with modules that are stored: by wasmtime, and by an engine from a shared library; over the client library,
// in both key encodings. What modules may do wrong is each tried, beside a client that goes on.
#include <support/bytes.hpp>
#include <support/skip.hpp>

#include <nkv/host/connect.hpp>
#include <nkv/host/describe.hpp>
#include <nkv/target/execute/builtin_runtime.hpp>
#include <nkv/target/execute/module_loader.hpp>
#include <nkv/target/execute/program_source.hpp>
#include <nkv/target/execute/runtime_library.hpp>
#include <nkv/target/execute/wasm_runtime.hpp>
#include <nkv/target/execute/wasmtime_library.hpp>
#include <nkv/target/inproc_server.hpp>
#include <nkv/target/memory_store.hpp>

#include <doctest/doctest.h>

#include <dirent.h>
#include <signal.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <vector>

using namespace nkv;

namespace {

constexpr std::uint64_t ms = 1'000'000;

byte_span bytes_of(std::string_view text) { return {reinterpret_cast<const std::byte*>(text.data()), text.size()}; }
key_view key_of(std::string_view text) { return key_view::from_text(text.data(), text.size()); }
host::deadline soon() { return host::deadline::after_ns(60'000 * ms); }

std::string module_file(const std::string& name) {
  std::ifstream in(std::string(NKV_MODULES) + '/' + name + ".wasm", std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  REQUIRE_MESSAGE(!text.empty(), name);
  return text;
}

std::array<std::byte, 32> sha256_of(std::string_view module) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  REQUIRE(EVP_Digest(module.data(), module.size(), digest.data(), &length, EVP_sha256(), nullptr) == 1);
  std::array<std::byte, 32> out{};
  std::memcpy(out.data(), digest.data(), out.size());
  return out;
}

/// The library of WebAssembly, once for all.
std::shared_ptr<target::execute_runtime> wasm() {
  static const std::shared_ptr<target::execute_runtime> runtime = [] {
    const char* const path = std::getenv("NKV_WASMTIME");
    std::string why;
    std::shared_ptr<target::execute_runtime> out;
    if (path != nullptr) out = target::wasm_runtime::create(path, why);
    if (path != nullptr && out == nullptr) FAIL(why);
    return out;
  }();
  return runtime;
}

bool without_wasm() {
  if (wasm() != nullptr) return false;
  nkv_test::skip("there is no wasmtime: .ci/setup.sh test installs it");
  return true;
}

/// A namespace with an allowlist, and its client.
class near_data {
 public:
  explicit near_data(target::execute_service_options service = {}, target::program_source_options programs = {},
                     bool read_only = false, key_encoding encoding = key_encoding::inline_cdw) {
    target::module_loader::runtimes runtimes;
    runtimes["builtin"] = std::make_shared<target::builtin_runtime>();
    runtimes["wasm"] = wasm();
    runtimes["absent"] = nullptr;
    std::string why;
    runtimes["third"] = target::open_runtime(NKV_THIRD_ENGINE, why);
    REQUIRE_MESSAGE(runtimes["third"] != nullptr, why);
    loader = std::make_shared<target::module_loader>(runtimes, programs);
    service.workers = 2;
    executions = std::make_shared<target::execute_service>(service, loader, [this](const target::execute_event& e) {
      const std::lock_guard lock(log_mutex_);
      log_ += std::string(e.what) + ": " + std::string(e.why) + '\n';
    });
    target::namespace_options options;
    options.key_encoding = encoding;
    options.read_only = read_only;
    auto values = std::make_shared<target::memory_store>();
    store = values;
    space = std::make_shared<target::kv_namespace>(options, values, executions);
    auto s = std::make_shared<target::subsystem>();
    REQUIRE(s->add(space).ok());
    server = std::make_unique<target::inproc_server>("execute", std::move(s));
    auto c = host::connect("inproc:execute");
    REQUIRE(c);
    controller = std::make_unique<host::controller>(std::move(*c));
    auto n = controller->open_namespace(1);
    REQUIRE(n);
    ns = std::make_unique<host::kv_namespace<>>(std::move(*n));
    auto m = controller->allocate(buffer_bytes);
    REQUIRE(m);
    memory = std::make_unique<host::registration>(std::move(*m));
  }

  /// What Execute with `op` runs, from now on.
  void allow(std::uint32_t op, target::execute_binding b) {
    list_[op] = std::move(b);
    space->allow(list_);
  }
  /// Binds a function of a module under the module's own name, and stores it.
  target::execute_binding binding(const std::string& name, const std::string& function,
                                  const std::string& runtime = "wasm") {
    put(name, module_file(name));
    return bound(name, function, runtime, module_file(name));
  }
  static target::execute_binding bound(const std::string& name, const std::string& function, const std::string& runtime,
                                       std::string_view module) {
    target::execute_binding b;
    b.runtime = runtime;
    b.function = function;
    b.module.name = name;
    b.sha256 = sha256_of(module);
    // A busy machine is no reason to stop anything here: what is to be stopped says so.
    b.limits.wall_ns = 600'000 * ms;
    return b;
  }
  /// Op 1: what nothing but Abort ends.
  void allow_endless() {
    target::execute_binding b = binding("second", "endless");
    b.limits = {~std::uint64_t{0} >> 1, 600'000 * ms, 8 << 20};
    allow(1, b);
  }
  void put(const std::string& name, const std::string& value) {
    // By the store: the namespace may be read-only, and the client's value longer than its buffer.
    struct nobody final : target::waker {
      void wake() noexcept override {}
    } w;
    target::finished_operations home(w);
    target::store_operation op;
    op.verb = target::store_verb::store;
    op.home = &home;
    op.key = bytes_of(name);
    const mutable_byte_span data{const_cast<std::byte*>(bytes_of(value).data()), value.size()};
    op.data = {&data, 1};
    op.data_bytes = value.size();
    target::progress p = store->submit(op);
    while (p == target::progress::more) p = store->proceed(op);
    REQUIRE(op.result == target::store_result::ok);
  }

  outcome run(std::uint32_t op, std::string_view key, std::string_view input = {}, std::uint32_t result_bytes = 4096) {
    std::memset(memory->data(), '.', 8192);
    const key_view k = key_of(key);
    if (!input.empty()) std::memcpy(memory->data() + execute_input_offset(k), input.data(), input.size());
    return ns->run(operation::execute(op, k, memory->value(), memory->data(), static_cast<std::uint32_t>(input.size()),
                                      result_bytes),
                   soon());
  }
  /// Of the last result.
  [[nodiscard]] std::string text(std::size_t length) const {
    return {reinterpret_cast<const char*>(memory->data()) + result_at(), length};
  }
  [[nodiscard]] std::uint64_t number() const { return load_le<std::uint64_t>(memory->data() + result_at()); }
  [[nodiscard]] std::string log() const {
    const std::lock_guard lock(log_mutex_);
    return log_;
  }

  static constexpr std::size_t buffer_bytes = 1 << 20;
  std::shared_ptr<target::module_loader> loader;
  std::shared_ptr<target::execute_service> executions;
  std::shared_ptr<target::store> store;
  std::shared_ptr<target::kv_namespace> space;
  std::unique_ptr<target::inproc_server> server;
  std::unique_ptr<host::controller> controller;
  std::unique_ptr<host::kv_namespace<>> ns;
  std::unique_ptr<host::registration> memory;

 private:
  [[nodiscard]] std::size_t result_at() const { return execute_result_offset(ns->profile(), key_of("value")); }

  target::execute_allowlist list_;
  mutable std::mutex log_mutex_;
  std::string log_;
};

status generic(std::uint8_t sc) { return {status_code_type::generic, sc}; }
const status aborted = generic(generic_status::abort_requested);
const status failed = generic(generic_status::internal_error);
const status refused = generic(generic_status::invalid_field);

}  // namespace

TEST_SUITE("execute/modules") {
  TEST_CASE("the second interface: value and input in, result out, in both key encodings") {
    if (without_wasm()) return;
    for (const key_encoding e : {key_encoding::inline_cdw, key_encoding::payload_head}) {
      CAPTURE(static_cast<int>(e));
      near_data t({}, {}, false, e);
      std::uint32_t op = 0;
      for (const char* const f : {"value_bytes", "input_bytes", "echo_value", "echo_input", "nothing", "count"})
        t.allow(++op, t.binding("second", f));
      t.put("value", "a value");
      t.put("empty", "");
      CHECK(t.run(1, "value", "and input").ok());
      CHECK(t.number() == 7);
      CHECK(t.run(1, "empty").ok());
      CHECK(t.number() == 0);
      // Exactly as long as it was sent: no zeros behind it.
      for (const std::size_t length : {0u, 1u, 2u, 7u, 8u, 9u, 4000u}) {
        CHECK(t.run(2, "value", std::string(length, 'i')).ok());
        CHECK(t.number() == length);
      }
      outcome o = t.run(3, "value", "and input");
      CHECK(o.ok());
      CHECK(o.length_bytes == 7);
      CHECK(t.text(7) == "a value");
      o = t.run(4, "value", "and input");
      CHECK(o.length_bytes == 9);
      CHECK(t.text(9) == "and input");
      o = t.run(5, "value");
      CHECK(o.ok());
      CHECK(o.length_bytes == 0);
      // Of one run the next sees nothing.
      for (unsigned i = 0; i < 3; ++i) {
        CHECK(t.run(6, "value").ok());
        CHECK(t.number() == 1);
      }
      // Each module was compiled once for each of its functions.
      CHECK(t.loader->programs() == 6);
    }
  }

  TEST_CASE("the deployed interface: the value at 256, the result at 8") {
    if (without_wasm()) return;
    near_data t;
    t.allow(1, t.binding("first", "sum"));
    t.allow(2, t.binding("first", "offset"));
    t.put("value", std::string("\x01\x02\xff", 3) + std::string(70'000, '\x01'));
    CHECK(t.run(1, "value", "no module of this kind sees it").ok());
    CHECK(t.number() == 1 + 2 + 255 + 70'000);
    CHECK(t.run(2, "value").ok());
    const std::uint64_t length = t.number() >> 32;
    CHECK(length == 70'003);
    CHECK(static_cast<std::uint32_t>(t.number()) == 256);
    // What a tier gives is all there is, the value included.
    target::execute_binding small = t.binding("first", "sum");
    small.limits.memory_bytes = target::limits_of(target::execute_tier::small).memory_bytes;
    t.allow(3, small);
    t.put("long", std::string((1 << 20) - 256, 'x'));
    CHECK(t.run(3, "long").ok());
    t.put("longer", std::string((1 << 20) - 255, 'x'));
    CHECK(t.run(3, "longer").status == generic(generic_status::invalid_value_size));
  }

  TEST_CASE("the example module, and a value beyond the deployed limits") {
    if (without_wasm()) return;
    near_data t;
    target::execute_binding b = t.binding("survey", "survey");
    b.limits = {1'000'000'000, 600'000 * ms, 1 << 20};
    t.allow(1, b);
    std::string words(std::size_t{24} << 20, '\0');
    std::uint32_t above = 0;
    for (std::size_t i = 0; i < words.size() / 4; ++i) {
      const auto word = static_cast<std::uint32_t>(i * 2654435761u);
      std::memcpy(words.data() + 4 * i, &word, 4);
      above += word > 0xf0000000u ? 1u : 0u;
    }
    t.put("value", words);
    CHECK(t.run(1, "value", std::string("\0\0\0\xf0", 4)).ok());
    CHECK(static_cast<std::uint32_t>(t.number()) == above);
    const std::uint64_t largest = t.number() >> 32;
    CHECK(largest > 0xfffff000u);
  }

  TEST_CASE("a result longer than its room: the beginning, the true length, and one run") {
    if (without_wasm()) return;
    for (const key_encoding e : {key_encoding::inline_cdw, key_encoding::payload_head}) {
      CAPTURE(static_cast<int>(e));
      near_data t({}, {}, false, e);
      t.allow(1, t.binding("second", "echo_value"));
      t.allow(2, t.binding("second", "everything"));
      std::atomic<unsigned> runs = 0;
      t.allow(3, {[&runs](byte_span value, byte_span) {
                ++runs;
                return std::vector<std::byte>(value.begin(), value.end());
              }});
      t.put("value", "0123456789");
      for (const std::uint32_t op : {1u, 3u}) {
        const outcome o = t.run(op, "value", {}, 4);
        CHECK(o.status == status(client_status::value_too_large));
        CHECK(o.length_bytes == 10);
        // Behind it lies what was sent.
        CHECK(t.text(5) == "0123l");
      }
      CHECK(runs == 1);
      const outcome all = t.run(2, "value", {}, 16);
      CHECK(all.status == status(client_status::value_too_large));
      CHECK(all.length_bytes > 65536);
      CHECK(all.length_bytes % 65536 == 0);
    }
  }

  TEST_CASE("an engine of a shared library") {
    near_data t;
    t.put("module", "find ab");
    t.allow(1, near_data::bound("module", "find", "third", "find ab"));
    t.put("value", "abcabcab");
    CHECK(t.run(1, "value").ok());
    CHECK(t.number() == 3);
    t.put("wrong", "look ab");
    t.allow(2, near_data::bound("wrong", "find", "third", "look ab"));
    CHECK(t.run(2, "value").status == refused);
    CHECK(t.log().find("expected: find BYTES") != std::string::npos);
  }
}

TEST_SUITE("execute/refused") {
  TEST_CASE("what is not allowed is told from what is not there") {
    near_data t;
    target::execute_binding builtin;
    builtin.runtime = "builtin";
    builtin.function = "identity";
    t.allow(1, builtin);
    builtin.function = "unknown";
    t.allow(2, builtin);
    builtin.runtime = "absent";
    t.allow(3, builtin);
    builtin.runtime = "never heard of";
    t.allow(4, builtin);
    t.put("value", "v");
    CHECK(t.run(1, "value").ok());
    CHECK(t.run(1, "nowhere").status.is_key_does_not_exist());
    CHECK(t.run(9, "value").status == generic(generic_status::invalid_opcode));
    CHECK(t.run(9, "nowhere").status == generic(generic_status::invalid_opcode));
    CHECK(t.run(2, "value").status == refused);
    const status no_runtime(status_code_type::vendor, vendor_status::no_runtime);
    CHECK(t.run(3, "value").status == no_runtime);
    CHECK(t.run(4, "value").status == no_runtime);
    CHECK(host::describe(no_runtime).find("no runtime") != std::string::npos);
    // An allowlist that is replaced takes effect with the next command.
    t.space->allow({});
    CHECK(t.run(1, "value").status == generic(generic_status::invalid_opcode));
  }

  TEST_CASE("modules that are absent, not the one allowed, or none") {
    if (without_wasm()) return;
    near_data t;
    t.put("value", "v");
    const std::string good = module_file("second");
    std::uint32_t op = 0;
    const auto refuses = [&](const std::string& module, const std::string& function, const std::string& why,
                             std::string_view allowed = {}) {
      CAPTURE(why);
      t.put("module", module);
      t.allow(++op, near_data::bound("module", function, "wasm", allowed.empty() ? module : allowed));
      CHECK(t.run(op, "value").status == refused);
      // At most one line a second: asked of the loader itself.
      std::string said;
      CHECK(t.loader->load(t.space->operations()->at(op), *t.store, said) == target::run_result::not_allowed);
      CHECK_MESSAGE(said.find(why) != std::string::npos, said);
    };
    refuses(good, "echo_value", "SHA-256", "another");
    refuses(good.substr(0, good.size() - 1), "echo_value", "SHA-256", good);
    refuses("", "echo_value", "not a WebAssembly module");
    refuses(std::string("\0asm\2\0\0\0", 8), "echo_value", "not a WebAssembly module");
    refuses("(module)", "echo_value", "not a WebAssembly module");
    refuses(good.substr(0, good.size() / 2), "echo_value", "");
    refuses(good.substr(0, 8), "echo_value", "exports no memory");
    std::string torn = good;
    for (std::size_t i = 8; i < torn.size(); i += 7) torn[i] = static_cast<char>(torn[i] ^ 0x55);
    refuses(torn, "echo_value", "");
    refuses(good, "missing", "exports no function");
    refuses(good, "memory", "exports no function");
    refuses(good, "too_few", "other parameters");
    refuses(good, "first_interface", "other parameters");
    refuses(good, "float_result", "other parameters");
    refuses(module_file("imports"), "run", "imports");
    refuses(module_file("later"), "run", "does not have");
    refuses(std::string(good) + std::string(16 << 20, '\0'), "echo_value", "longer than");
    t.allow(++op, near_data::bound("nowhere", "echo_value", "wasm", good));
    CHECK(t.run(op, "value").status == refused);
    CHECK(t.log().find("module refused") != std::string::npos);
    CHECK(t.loader->programs() == 0);
  }

  TEST_CASE("a module replaced after it was allowed: what was compiled goes on, the new one is never run") {
    if (without_wasm()) return;
    near_data t({}, {.max_module_bytes = 1 << 20, .max_programs = 1, .max_program_bytes = 1 << 20});
    t.allow(1, t.binding("second", "value_bytes"));
    t.put("value", "v");
    CHECK(t.run(1, "value").ok());
    t.put("second", module_file("writes"));
    CHECK(t.run(1, "value").ok());
    CHECK(t.number() == 1);
    // Another takes its place in the cache.
    t.allow(2, t.binding("survey", "survey"));
    CHECK(t.run(2, "value").ok());
    CHECK(t.loader->programs() == 1);
    CHECK(t.run(1, "value").status == refused);
    t.put("second", module_file("second"));
    CHECK(t.run(1, "value").ok());
  }

  TEST_CASE("modules that may write: not in a read-only namespace, and not unsaid") {
    if (without_wasm()) return;
    const status read_only(status_code_type::command_specific, command_status::namespace_read_only);
    for (const bool ro : {false, true}) {
      CAPTURE(ro);
      near_data t({}, {}, ro);
      t.put("value", "v");
      target::execute_binding b = t.binding("writes", "run");
      t.allow(1, b);
      b.writes = true;
      t.allow(2, b);
      t.allow(3, t.binding("second", "echo_value"));
      CHECK(t.run(1, "value").status == (ro ? read_only : refused));
      CHECK(t.run(1, "value").status == (ro ? read_only : refused));  // from the cache as well
      CHECK(t.run(2, "value").status == (ro ? read_only : status()));
      CHECK(t.run(3, "value").ok());
    }
  }
}

TEST_SUITE("execute/stopped") {
  TEST_CASE("what uses up its limits is aborted, what fails is an error, and the next one runs") {
    if (without_wasm()) return;
    near_data t;
    t.put("value", "v");
    const auto bound = [&](const char* function, std::uint64_t fuel, std::uint64_t wall_ns) {
      target::execute_binding b = t.binding("second", function);
      b.limits.fuel = fuel;
      b.limits.wall_ns = wall_ns;
      return b;
    };
    constexpr std::uint64_t endless = ~std::uint64_t{0} >> 1, long_time = 600'000 * ms;
    t.allow(1, bound("endless", 1'000'000, long_time));
    t.allow(2, bound("endless", endless, 50 * ms));
    t.allow(3, bound("recursion", endless, long_time));
    t.allow(4, bound("trap", endless, long_time));
    t.allow(5, bound("bomb", endless, long_time));
    t.allow(6, bound("beyond", endless, long_time));
    t.allow(7, bound("far_beyond", endless, long_time));
    t.allow(8, bound("echo_value", endless, long_time));
    for (unsigned round = 0; round < 3; ++round) {
      CHECK(t.run(1, "value").status == aborted);
      CHECK(t.run(2, "value").status == aborted);
      CHECK(t.run(3, "value").status == aborted);
      CHECK(t.run(4, "value").status == failed);
      CHECK(t.run(5, "value").ok());
      CHECK(t.number() * 65536 <= t.space->operations()->at(5).limits.memory_bytes + 65536);
      CHECK(t.number() * 65536 >= t.space->operations()->at(5).limits.memory_bytes - 65536);
      CHECK(t.run(6, "value").status == failed);
      CHECK(t.run(7, "value").status == failed);
      CHECK(t.run(8, "value").ok());
      CHECK(t.executions->under_way() == 0);
    }
    // More to begin with than it may have.
    target::execute_binding b = t.binding("large", "run");
    t.allow(9, b);
    CHECK(t.run(9, "value").status == aborted);
    b.limits = {endless, long_time, std::uint64_t{80} << 20};
    t.allow(9, b);
    CHECK(t.run(9, "value").ok());
  }

  TEST_CASE("Abort ends a run that nothing else would, and one that waits for a thread") {
    if (without_wasm()) return;
    near_data t;
    t.put("value", "v");
    t.allow_endless();
    // A controller whose admin queue is at hand.
    auto transport = host::open_transport(*host::endpoint::parse("inproc:execute"), {}, soon());
    REQUIRE(transport);
    auto core = host::controller_core::create(*std::move(transport), {}, soon());
    REQUIRE(core);
    // Of so few entries that the ids of commands are small.
    host::queue_options few;
    few.entries = 8;
    auto queue = host::queue_pair<exclusive>::create(*core, few, t.ns->profile().limits, soon());
    REQUIRE(queue);
    auto memory = host::registration::allocate((*core)->attached(), 64 * 1024, {}, soon());
    REQUIRE(memory);
    const namespace_ref ref(queue->ref(), t.ns->profile());
    std::vector<kv_ticket> tickets;
    // Two of them run.
    for (unsigned i = 0; i < 5; ++i) {
      const auto ticket = ref.submit(
          operation::execute(1, key_of("value"), *memory->value(i * 4096, 4096), memory->data() + i * 4096, 0, 64));
      REQUIRE(ticket);
      tickets.push_back(*ticket);
    }
    while (t.executions->under_way() != 5) ::usleep(1000);
    for (std::uint16_t cid = 0; cid < 64; ++cid) REQUIRE((*core)->execute(admin_abort(1, cid), {}, soon()).status.ok());
    for (kv_ticket& ticket : tickets) CHECK(ref.wait(ticket, soon()).status == aborted);
    CHECK(t.executions->under_way() == 0);
  }

  TEST_CASE("a client that goes while its modules run: they are stopped, and its memory is left alone") {
    if (without_wasm()) return;
    near_data t;
    t.put("value", "v");
    t.allow_endless();
    for (unsigned i = 0; i < 5; ++i)
      REQUIRE(t.ns->ref().submit(operation::execute(1, key_of("value"), *t.memory->value(i * 4096, 4096),
                                                    t.memory->data() + i * 4096, 0, 64)));
    while (t.executions->under_way() != 5) ::usleep(1000);
    t.ns.reset();
    t.controller.reset();
    t.memory.reset();
    while (t.executions->under_way() != 0) ::usleep(1000);
  }

  TEST_CASE("more than may be under way are told to come again") {
    near_data t({.max_under_way = 3});
    t.put("value", "v");
    std::atomic<bool> go = false;
    t.allow(1, {[&go](byte_span, byte_span) {
              while (!go) ::usleep(1000);
              return std::vector<std::byte>(3);
            }});
    const auto ref = t.ns->ref();
    std::vector<kv_ticket> tickets;
    const auto submit = [&](std::uint64_t at) {
      return *ref.submit(
          operation::execute(1, key_of("value"), *t.memory->value(at, 4096), t.memory->data() + at, 0, 8));
    };
    for (unsigned i = 0; i < 3; ++i) tickets.push_back(submit(i * 4096));
    while (t.executions->under_way() != 3) ::usleep(1000);
    kv_ticket fourth = submit(3 * 4096);
    CHECK(ref.wait(fourth, soon()).status == generic(generic_status::command_interrupted));
    go = true;
    for (kv_ticket& ticket : tickets) CHECK(ref.wait(ticket, soon()).ok());
    CHECK(t.run(1, "value").ok());
  }

  TEST_CASE("a slow compile: who waits for it is told in time, others go on, and it is done once") {
    if (without_wasm()) return;
    near_data t({.load_timeout_ns = 100 * ms}, {.max_module_bytes = 64 << 20});
    t.put("value", "v");
    t.allow(1, t.binding("second", "value_bytes"));
    // Made beforehand, however long that takes here.
    std::string why;
    REQUIRE(t.loader->load(t.space->operations()->at(1), *t.store, why) == target::run_result::ok);
    CHECK(t.run(1, "value").ok());
    // One function of very many additions, put together by hand: type, function, memory, exports, code.
    const auto number = [](std::size_t n) {
      std::string out;
      do {
        out += static_cast<char>((n & 0x7f) | (n > 0x7f ? 0x80 : 0));
        n >>= 7;
      } while (n != 0);
      return out;
    };
    const auto section = [&](char id, const std::string& body) { return id + number(body.size()) + body; };
    std::string body("\1\1\x7f", 3);  // one more local
    for (unsigned i = 0; i < 40'000; ++i) body += std::string("\x20\1\x41\x2a\x6a\x21\1", 7);
    body += std::string("\x41\x08\x0b", 3);
    const std::string slow = std::string("\0asm\1\0\0\0", 8) + section(1, std::string("\1\x60\2\x7f\x7f\1\x7f", 7)) +
                             section(3, std::string("\1\0", 2)) + section(5, std::string("\1\0\1", 3)) +
                             section(7, std::string("\2\6memory\2\0\3run\0\0", 16)) +
                             section(10, std::string("\1") + number(body.size()) + body);
    t.put("slow", slow);
    t.allow(2, near_data::bound("slow", "run", "wasm", slow));
    CHECK(t.run(2, "value").status == aborted);
    unsigned others = 0;
    while (t.loader->programs() == 1) {
      REQUIRE(t.run(1, "value").ok());
      ++others;
    }
    CHECK(others > 0);
    CHECK(t.loader->programs() == 2);
    CHECK(t.run(2, "value").ok());
  }

  TEST_CASE("no signal handler and no thread of the process is wasmtime's") {
    if (without_wasm()) return;
    const auto handlers = [] {
      std::map<int, void*> out;
      for (int s = 1; s < 32; ++s) {
        struct sigaction now{};
        if (::sigaction(s, nullptr, &now) == 0) out[s] = reinterpret_cast<void*>(now.sa_handler);
      }
      return out;
    };
    const auto threads = [] {
      std::size_t n = 0;
      DIR* const d = ::opendir("/proc/self/task");
      while (const dirent* const e = ::readdir(d)) n += e->d_name[0] != '.' ? 1u : 0u;
      ::closedir(d);
      return n;
    };
    const auto before = handlers();
    near_data t;
    t.put("value", "v");
    t.allow(1, {[](byte_span, byte_span) { return std::vector<std::byte>(); }});
    CHECK(t.run(1, "value").ok());
    const std::size_t threads_before = threads();
    t.allow(2, t.binding("second", "trap"));
    t.allow(3, t.binding("second", "recursion"));
    t.allow(4, t.binding("second", "beyond"));
    CHECK(t.run(2, "value").status == failed);
    CHECK(t.run(3, "value").status == aborted);
    CHECK(t.run(4, "value").status == failed);
    CHECK(handlers() == before);
    CHECK(threads() == threads_before);
  }
}
