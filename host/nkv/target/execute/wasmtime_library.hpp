// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/host/memory/shared_library.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target {

/// What is used of wasmtime's C API (wasm.h, wasmtime.h), declared here because the library comes without headers: its
/// types, and its functions as pointers that are found when the program runs. The same in versions 48 to 50;
/// tests/execute/declarations.py compares every line with the bindings that the library comes with.
namespace wasmtime {

struct config;
struct engine;
struct module;
struct store;
struct context;
struct error;
struct trap;
struct externtype;
struct functype;
struct valtype;
struct exporttype;
struct importtype;

struct byte_vec {
  std::size_t size;
  char* data;
};
template <class T>
struct pointer_vec {
  std::size_t size;
  T** data;
};
using exporttype_vec = pointer_vec<exporttype>;
using importtype_vec = pointer_vec<importtype>;
using valtype_vec = pointer_vec<valtype>;

struct func {
  std::uint64_t store_id;
  void* private_1;
};
struct memory {
  struct {
    std::uint64_t store_id;
    std::uint32_t private_1;
  } of;
  std::uint32_t private_2;
};
struct instance {
  std::uint64_t store_id;
  std::size_t private_1;
};
struct external {
  std::uint8_t kind;
  union {
    wasmtime::func func;
    wasmtime::memory memory;
    std::uint64_t others[3];
  } of;
};
union alignas(16) val_raw {
  std::int32_t i32;
  std::int64_t i64;
  std::uint8_t v128[16];
};
static_assert(sizeof(func) == 16 && sizeof(memory) == 24 && sizeof(instance) == 16 && sizeof(external) == 32 &&
              sizeof(val_raw) == 16);

inline constexpr std::uint8_t kind_func = 0;  // of wasm_externkind_t; wasmtime_extern_kind_t numbers func alike
inline constexpr std::uint8_t kind_memory = 3;
inline constexpr std::uint8_t valkind_i32 = 0;
inline constexpr std::uint8_t valkind_i64 = 1;
inline constexpr std::uint8_t trap_stack_overflow = 0;
inline constexpr std::uint8_t trap_out_of_fuel = 11;
inline constexpr std::uint8_t update_deadline_continue = 0;  // a macro of wasmtime/store.h, which no binding has

using finalizer = void(void*);
using epoch_callback = error*(context*, void*, std::uint64_t*, std::uint8_t*);

// One line a function: its result, its name, its parameters.
#define NKV_WASMTIME_FUNCTIONS(NKV_F)                                                                                 \
  NKV_F(config*, wasm_config_new, ())                                                                                 \
  NKV_F(void, wasmtime_config_consume_fuel_set, (config*, bool))                                                      \
  NKV_F(void, wasmtime_config_epoch_interruption_set, (config*, bool))                                                \
  NKV_F(void, wasmtime_config_signals_based_traps_set, (config*, bool))                                               \
  NKV_F(void, wasmtime_config_parallel_compilation_set, (config*, bool))                                              \
  NKV_F(void, wasmtime_config_memory_init_cow_set, (config*, bool))                                                   \
  NKV_F(void, wasmtime_config_memory_reservation_set, (config*, std::uint64_t))                                       \
  NKV_F(void, wasmtime_config_memory_guard_size_set, (config*, std::uint64_t))                                        \
  NKV_F(void, wasmtime_config_memory_reservation_for_growth_set, (config*, std::uint64_t))                            \
  NKV_F(void, wasmtime_config_max_wasm_stack_set, (config*, std::size_t))                                             \
  NKV_F(void, wasmtime_config_wasm_threads_set, (config*, bool))                                                      \
  NKV_F(void, wasmtime_config_wasm_memory64_set, (config*, bool))                                                     \
  NKV_F(void, wasmtime_config_wasm_multi_memory_set, (config*, bool))                                                 \
  NKV_F(engine*, wasm_engine_new_with_config, (config*))                                                              \
  NKV_F(void, wasm_engine_delete, (engine*))                                                                          \
  NKV_F(void, wasmtime_engine_increment_epoch, (engine*))                                                             \
  NKV_F(error*, wasmtime_module_new, (engine*, const std::uint8_t*, std::size_t, module**))                           \
  NKV_F(void, wasmtime_module_delete, (module*))                                                                      \
  NKV_F(void, wasmtime_module_exports, (const module*, exporttype_vec*))                                              \
  NKV_F(void, wasmtime_module_imports, (const module*, importtype_vec*))                                              \
  NKV_F(void, wasm_exporttype_vec_delete, (exporttype_vec*))                                                          \
  NKV_F(void, wasm_importtype_vec_delete, (importtype_vec*))                                                          \
  NKV_F(const byte_vec*, wasm_exporttype_name, (const exporttype*))                                                   \
  NKV_F(const externtype*, wasm_exporttype_type, (const exporttype*))                                                 \
  NKV_F(std::uint8_t, wasm_externtype_kind, (const externtype*))                                                      \
  NKV_F(const functype*, wasm_externtype_as_functype_const, (const externtype*))                                      \
  NKV_F(const valtype_vec*, wasm_functype_params, (const functype*))                                                  \
  NKV_F(const valtype_vec*, wasm_functype_results, (const functype*))                                                 \
  NKV_F(std::uint8_t, wasm_valtype_kind, (const valtype*))                                                            \
  NKV_F(store*, wasmtime_store_new, (engine*, void*, finalizer*))                                                     \
  NKV_F(void, wasmtime_store_delete, (store*))                                                                        \
  NKV_F(context*, wasmtime_store_context, (store*))                                                                   \
  NKV_F(void, wasmtime_store_limiter, (store*, std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t)) \
  NKV_F(void, wasmtime_store_epoch_deadline_callback, (store*, epoch_callback*, void*, finalizer*))                   \
  NKV_F(error*, wasmtime_context_set_fuel, (context*, std::uint64_t))                                                 \
  NKV_F(void, wasmtime_context_set_epoch_deadline, (context*, std::uint64_t))                                         \
  NKV_F(error*, wasmtime_instance_new, (context*, const module*, const external*, std::size_t, instance*, trap**))    \
  NKV_F(bool, wasmtime_instance_export_get, (context*, const instance*, const char*, std::size_t, external*))         \
  NKV_F(std::uint8_t*, wasmtime_memory_data, (const context*, const memory*))                                         \
  NKV_F(std::size_t, wasmtime_memory_data_size, (const context*, const memory*))                                      \
  NKV_F(error*, wasmtime_memory_grow, (context*, const memory*, std::uint64_t, std::uint64_t*))                       \
  NKV_F(error*, wasmtime_func_call_unchecked, (context*, const func*, val_raw*, std::size_t, trap**))                 \
  NKV_F(bool, wasmtime_trap_code, (const trap*, std::uint8_t*))                                                       \
  NKV_F(void, wasm_trap_message, (const trap*, byte_vec*))                                                            \
  NKV_F(void, wasm_trap_delete, (trap*))                                                                              \
  NKV_F(error*, wasmtime_error_new, (const char*))                                                                    \
  NKV_F(void, wasmtime_error_message, (const error*, byte_vec*))                                                      \
  NKV_F(void, wasmtime_error_delete, (error*))                                                                        \
  NKV_F(void, wasm_byte_vec_delete, (byte_vec*))

}  // namespace wasmtime

/// wasmtime's functions, by the names that they have there. A plain value; any thread.
struct wasmtime_library {
// NOLINTNEXTLINE(bugprone-macro-parentheses): parts of a declaration
#define NKV_F(result, name, parameters) result(*name) parameters = nullptr;
  // The types are the namespace's.
  using config = wasmtime::config;
  using engine = wasmtime::engine;
  using module = wasmtime::module;
  using store = wasmtime::store;
  using context = wasmtime::context;
  using error = wasmtime::error;
  using trap = wasmtime::trap;
  using externtype = wasmtime::externtype;
  using functype = wasmtime::functype;
  using valtype = wasmtime::valtype;
  using exporttype = wasmtime::exporttype;
  using exporttype_vec = wasmtime::exporttype_vec;
  using importtype_vec = wasmtime::importtype_vec;
  using valtype_vec = wasmtime::valtype_vec;
  using byte_vec = wasmtime::byte_vec;
  using func = wasmtime::func;
  using memory = wasmtime::memory;
  using instance = wasmtime::instance;
  using external = wasmtime::external;
  using val_raw = wasmtime::val_raw;
  using finalizer = wasmtime::finalizer;
  using epoch_callback = wasmtime::epoch_callback;
  NKV_WASMTIME_FUNCTIONS(NKV_F)
#undef NKV_F

  /// Opens the library, for good.
  /// @param path of the file, or empty for where the system has it
  /// @param[out] why what is wrong
  /// @return whether it is there with all that is used of it
  [[nodiscard]] bool open(const std::string& path, std::string& why) {
    const std::vector<const char*> names =
        path.empty() ? std::vector<const char*>{"libwasmtime.so", "libwasmtime.so.0"} : std::vector{path.c_str()};
    const host::shared_library library = host::shared_library::open(names, why);
    if (!library.valid()) return false;
    const char* missing = nullptr;
#define NKV_F(result, name, parameters) \
  if (!library.find(name, #name)) missing = #name;
    NKV_WASMTIME_FUNCTIONS(NKV_F)
#undef NKV_F
    if (missing != nullptr) why = std::string("this libwasmtime has no ") + missing;
    return missing == nullptr;
  }
};
#undef NKV_WASMTIME_FUNCTIONS

}  // namespace target
}  // namespace nkv::inline NKV_ABI
