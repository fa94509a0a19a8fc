// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/span.hpp>
#include <nkv/target/execute/execute_runtime.hpp>
#include <nkv/target/execute/program.hpp>
#include <nkv/target/execute/wasmtime_library.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace target {

/// WebAssembly, compiled by wasmtime. Modules import nothing, so they reach nothing but their own memory; EXECUTE.md
/// beside this folder says what they export. Every run has a fresh instance. Nothing of the process's is touched: no
/// signal handler, no guard page, no thread.
///
/// Limits: fuel and time end a run with `killed`, as do a stack that is used up and a module that needs more memory to
/// begin with than it may have. Memory that is asked for in a run and not granted is told to the module in the way of
/// WebAssembly: memory.grow answers -1.
class wasm_runtime final : public execute_runtime {
 public:
  /// @param library the path of libwasmtime.so, or empty for where the system has it
  /// @param[out] why what is wrong with it
  /// @return the runtime, or null
  [[nodiscard]] static std::shared_ptr<wasm_runtime> create(const std::string& library, std::string& why) {
    auto e = std::make_shared<engine>();
    if (!e->api.open(library, why) || !e->start(why)) return nullptr;
    return std::shared_ptr<wasm_runtime>(new wasm_runtime(std::move(e)));
  }

  [[nodiscard]] bool needs_module() const noexcept override { return true; }

  [[nodiscard]] std::shared_ptr<const program> prepare(byte_span module, std::string_view function,
                                                       std::string& why) noexcept override {
    try {
      // Not the text format, and none of wasmtime's own of compiled code.
      static constexpr unsigned char magic[8] = {0, 'a', 's', 'm', 1, 0, 0, 0};
      if (module.size() < sizeof magic || std::memcmp(module.data(), magic, sizeof magic) != 0) {
        why = "not a WebAssembly module";
        return nullptr;
      }
      auto out = std::make_shared<wasm_program>(engine_, std::string(function));
      const wasmtime_library& api = engine_->api;
      if (wasmtime::error* const e = api.wasmtime_module_new(
              engine_->self, reinterpret_cast<const std::uint8_t*>(module.data()), module.size(), &out->module)) {
        why = engine_->message(e);
        return nullptr;
      }
      return out->check(why) ? out : nullptr;
    } catch (const std::bad_alloc&) {
      return nullptr;
    }
  }

 private:
  static constexpr std::uint64_t page_bytes = 65536;
  static constexpr std::uint64_t value_offset_1 = 256;
  static constexpr std::uint64_t result_offset_1 = 8;

  /// The engine, kept by the runtime and by its programs.
  struct engine {
    wasmtime_library api;
    wasmtime::engine* self = nullptr;

    engine() = default;
    engine(const engine&) = delete;
    engine& operator=(const engine&) = delete;
    ~engine() {
      if (self != nullptr) api.wasm_engine_delete(self);
    }

    bool start(std::string& why) {
      wasmtime::config* const c = api.wasm_config_new();
      api.wasmtime_config_consume_fuel_set(c, true);
      api.wasmtime_config_epoch_interruption_set(c, true);
      // A guest in its process: every access is checked in code, and no handler of SIGSEGV is needed.
      api.wasmtime_config_signals_based_traps_set(c, false);
      api.wasmtime_config_memory_init_cow_set(c, false);
      api.wasmtime_config_memory_reservation_set(c, 0);
      api.wasmtime_config_memory_guard_size_set(c, 0);
      api.wasmtime_config_memory_reservation_for_growth_set(c, 0);
      api.wasmtime_config_max_wasm_stack_set(c, std::size_t{256} * 1024);
      api.wasmtime_config_parallel_compilation_set(c, false);
      api.wasmtime_config_wasm_threads_set(c, false);
      api.wasmtime_config_wasm_memory64_set(c, false);
      api.wasmtime_config_wasm_multi_memory_set(c, false);
      self = api.wasm_engine_new_with_config(c);
      if (self == nullptr) why = "libwasmtime makes no engine";
      return self != nullptr;
    }

    /// Takes over the error.
    std::string message(wasmtime::error* e) const {
      wasmtime::byte_vec text{};
      api.wasmtime_error_message(e, &text);
      api.wasmtime_error_delete(e);
      return taken(text);
    }
    std::string message(wasmtime::trap* t) const {
      wasmtime::byte_vec text{};
      api.wasm_trap_message(t, &text);
      return taken(text);
    }
    std::string taken(wasmtime::byte_vec& text) const {
      std::string out(text.data, text.size);
      api.wasm_byte_vec_delete(&text);
      // With the terminator that wasm.h asks for; the first line says it.
      return out.substr(0, out.find_first_of(std::string_view("\0\n", 2)));
    }
  };

  class wasm_program final : public program {
   public:
    wasmtime::module* module = nullptr;

    wasm_program(std::shared_ptr<engine> e, std::string function)
        : engine_(std::move(e)), function_(std::move(function)) {}
    ~wasm_program() override {
      if (module != nullptr) engine_->api.wasmtime_module_delete(module);
    }

    /// Whether the module imports nothing and exports what it has to.
    bool check(std::string& why) {
      const wasmtime_library& api = engine_->api;
      wasmtime::importtype_vec imports{};
      api.wasmtime_module_imports(module, &imports);
      const std::size_t imported = imports.size;
      api.wasm_importtype_vec_delete(&imports);
      if (imported != 0) {
        why = "the module has imports";
        return false;
      }
      bool memory = false;
      bool function = false;
      unsigned abi = 1;
      wasmtime::exporttype_vec exports{};
      api.wasmtime_module_exports(module, &exports);
      for (std::size_t i = 0; i < exports.size; ++i) {
        const wasmtime::byte_vec* const bytes = api.wasm_exporttype_name(exports.data[i]);
        const std::string_view name(bytes->data, bytes->size);
        const std::uint8_t kind = api.wasm_externtype_kind(api.wasm_exporttype_type(exports.data[i]));
        if (name == "memory") memory = kind == wasmtime::kind_memory;
        if (name == function_) function = kind == wasmtime::kind_func;
        if (name == "kv_write") writes_ = true;
        if (name.substr(0, 8) == "nkv_abi_") abi = name == "nkv_abi_2" ? 2 : 0;
      }
      if (!memory) {
        why = "the module exports no memory";
      } else if (!function) {
        why = "the module exports no function \"" + function_ + '"';
      } else if (abi == 0) {
        why = "the module is for an interface that this target does not have";
      } else if (!has_type(exports, abi == 2 ? 4 : 2, abi == 2 ? wasmtime::valkind_i64 : wasmtime::valkind_i32)) {
        why = "the function \"" + function_ + "\" has other parameters or another result than the interface's";
      }
      api.wasm_exporttype_vec_delete(&exports);
      abi_2_ = abi == 2;
      return why.empty();
    }

    [[nodiscard]] bool writes() const noexcept override { return writes_; }
    void interrupt() const noexcept override { engine_->api.wasmtime_engine_increment_epoch(engine_->self); }

    [[nodiscard]] run_result run(program_run& run) const noexcept override {
      const std::uint64_t handed_bytes = run.value.size() + run.input.size() + 2 * alignment;
      if (!abi_2_ && value_offset_1 + run.value.size() > run.limits.memory_bytes) return run_result::value_refused;
      // What is handed in does not count for the second interface.
      const std::uint64_t memory_bytes = run.limits.memory_bytes + (abi_2_ ? pages(handed_bytes) * page_bytes : 0);
      const wasmtime_library& api = engine_->api;
      wasmtime::store* const store = api.wasmtime_store_new(engine_->self, nullptr, nullptr);
      if (store == nullptr) return run_result::no_memory;
      api.wasmtime_store_limiter(store, static_cast<std::int64_t>(memory_bytes), most_table_elements, 1, most_tables,
                                 1);
      stop_check check{&api, &run};
      api.wasmtime_store_epoch_deadline_callback(store, &stop_check::ask, &check, nullptr);
      wasmtime::context* const context = api.wasmtime_store_context(store);
      run_result r = run_result::failed;
      try {
        r = run_in(*context, run);
      } catch (...) {
        r = run_result::no_memory;
      }
      api.wasmtime_store_delete(store);
      return r;
    }

   private:
    static constexpr std::uint64_t alignment = 16;
    static constexpr std::int64_t most_table_elements = 65536;
    static constexpr std::int64_t most_tables = 4;

    /// What a run asks with every epoch.
    struct stop_check {
      const wasmtime_library* api;
      const program_run* run;

      static wasmtime::error* ask(wasmtime::context*, void* self, std::uint64_t* delta, std::uint8_t* kind) {
        const auto& c = *static_cast<const stop_check*>(self);
        if (c.run->stopped()) return c.api->wasmtime_error_new("stopped");
        *delta = 1;
        *kind = wasmtime::update_deadline_continue;
        return nullptr;
      }
    };

    static constexpr std::uint64_t pages(std::uint64_t bytes) noexcept { return (bytes + page_bytes - 1) / page_bytes; }

    bool has_type(const wasmtime::exporttype_vec& exports, std::size_t parameters, std::uint8_t result) const {
      const wasmtime_library& api = engine_->api;
      for (std::size_t i = 0; i < exports.size; ++i) {
        const wasmtime::byte_vec* const bytes = api.wasm_exporttype_name(exports.data[i]);
        if (std::string_view(bytes->data, bytes->size) != function_) continue;
        const wasmtime::functype* const type =
            api.wasm_externtype_as_functype_const(api.wasm_exporttype_type(exports.data[i]));
        const wasmtime::valtype_vec& in = *api.wasm_functype_params(type);
        const wasmtime::valtype_vec& out = *api.wasm_functype_results(type);
        if (in.size != parameters || out.size != 1 || api.wasm_valtype_kind(out.data[0]) != result) return false;
        for (std::size_t p = 0; p < in.size; ++p)
          if (api.wasm_valtype_kind(in.data[p]) != wasmtime::valkind_i32) return false;
        return true;
      }
      return false;
    }

    /// How a call ended that gave an error or a trap, both of which are taken over.
    run_result ended(wasmtime::error* e, wasmtime::trap* t, program_run& run) const {
      if (e == nullptr && t == nullptr) return run_result::ok;
      std::uint8_t code = 0xff;
      if (t != nullptr && !engine_->api.wasmtime_trap_code(t, &code)) code = 0xff;
      run.explain(t != nullptr ? engine_->message(t) : engine_->message(e));
      if (t != nullptr) engine_->api.wasm_trap_delete(t);
      const bool killed = run.stopped() || code == wasmtime::trap_out_of_fuel || code == wasmtime::trap_stack_overflow;
      return killed ? run_result::killed : run_result::failed;
    }

    run_result run_in(wasmtime::context& context, program_run& run) const {
      const wasmtime_library& api = engine_->api;
      if (wasmtime::error* const e = api.wasmtime_context_set_fuel(&context, run.limits.fuel))
        return ended(e, nullptr, run);
      api.wasmtime_context_set_epoch_deadline(&context, 1);
      // Whoever asked before the deadline was set has not moved it on.
      if (run.stopped()) return run_result::killed;
      wasmtime::instance instance{};
      wasmtime::trap* trap = nullptr;
      if (wasmtime::error* const e = api.wasmtime_instance_new(&context, module, nullptr, 0, &instance, &trap)) {
        // It imports nothing and was checked: what it needs is more than it may have.
        static_cast<void>(ended(e, nullptr, run));
        return run_result::killed;
      }
      if (trap != nullptr) return ended(nullptr, trap, run);
      wasmtime::external found{};
      if (!api.wasmtime_instance_export_get(&context, &instance, "memory", 6, &found)) return run_result::failed;
      const wasmtime::memory memory = found.of.memory;
      if (!api.wasmtime_instance_export_get(&context, &instance, function_.data(), function_.size(), &found))
        return run_result::failed;
      const wasmtime::func function = found.of.func;
      return abi_2_ ? call_2(context, memory, function, run) : call_1(context, memory, function, run);
    }

    /// Makes the memory at least so long. @return whether the limits allow that
    bool reserve(wasmtime::context& context, const wasmtime::memory& memory, std::uint64_t bytes) const {
      const std::uint64_t have = engine_->api.wasmtime_memory_data_size(&context, &memory);
      if (bytes <= have) return true;
      std::uint64_t before = 0;
      wasmtime::error* const e = engine_->api.wasmtime_memory_grow(&context, &memory, pages(bytes - have), &before);
      if (e != nullptr) engine_->api.wasmtime_error_delete(e);
      return e == nullptr;
    }

    static void put(std::uint8_t* to, byte_span from) noexcept {
      if (!from.empty()) std::memcpy(to, from.data(), from.size());
    }

    /// The part of the memory that the result is, if it is one.
    run_result give(wasmtime::context& context, const wasmtime::memory& memory, std::uint64_t offset,
                    std::uint64_t length, program_run& run) const {
      const std::uint64_t have = engine_->api.wasmtime_memory_data_size(&context, &memory);
      if (offset > have || length > have - offset) {
        run.explain("the result lies outside the module's memory");
        return run_result::failed;
      }
      const auto* const data = reinterpret_cast<const std::byte*>(engine_->api.wasmtime_memory_data(&context, &memory));
      run.give({data + offset, static_cast<std::size_t>(length)});
      return run_result::ok;
    }

    run_result call_1(wasmtime::context& context, const wasmtime::memory& memory, const wasmtime::func& function,
                      program_run& run) const {
      if (!reserve(context, memory, value_offset_1 + run.value.size())) return run_result::value_refused;
      put(engine_->api.wasmtime_memory_data(&context, &memory) + value_offset_1, run.value);
      wasmtime::val_raw values[2] = {};
      values[0].i32 = value_offset_1;
      values[1].i32 = static_cast<std::int32_t>(run.value.size());
      wasmtime::trap* trap = nullptr;
      wasmtime::error* const e = engine_->api.wasmtime_func_call_unchecked(&context, &function, values, 2, &trap);
      if (e != nullptr || trap != nullptr) return ended(e, trap, run);
      return give(context, memory, result_offset_1, static_cast<std::uint32_t>(values[0].i32), run);
    }

    run_result call_2(wasmtime::context& context, const wasmtime::memory& memory, const wasmtime::func& function,
                      program_run& run) const {
      const std::uint64_t end = engine_->api.wasmtime_memory_data_size(&context, &memory);
      const std::uint64_t input_at = end + (run.value.size() + alignment - 1) / alignment * alignment;
      if (input_at + run.input.size() > std::uint64_t{1} << 32 ||
          !reserve(context, memory, input_at + run.input.size()))
        return run_result::value_refused;
      std::uint8_t* const data = engine_->api.wasmtime_memory_data(&context, &memory);
      put(data + end, run.value);
      put(data + input_at, run.input);
      wasmtime::val_raw values[4] = {};
      values[0].i32 = static_cast<std::int32_t>(static_cast<std::uint32_t>(end));
      values[1].i32 = static_cast<std::int32_t>(run.value.size());
      values[2].i32 = static_cast<std::int32_t>(static_cast<std::uint32_t>(input_at));
      values[3].i32 = static_cast<std::int32_t>(run.input.size());
      wasmtime::trap* trap = nullptr;
      wasmtime::error* const e = engine_->api.wasmtime_func_call_unchecked(&context, &function, values, 4, &trap);
      if (e != nullptr || trap != nullptr) return ended(e, trap, run);
      const auto result = static_cast<std::uint64_t>(values[0].i64);
      return give(context, memory, result >> 32, result & 0xffffffffu, run);
    }

    const std::shared_ptr<engine> engine_;
    const std::string function_;
    bool writes_ = false;
    bool abi_2_ = false;
  };

  explicit wasm_runtime(std::shared_ptr<engine> e) noexcept : engine_(std::move(e)) {}

  const std::shared_ptr<engine> engine_;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
