// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "history.hpp"

#include <nkv/host/connect.hpp>
#include <nkv/host/describe.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace nkv_test {

/// A number as a value: itself, over and over, as often as it says. So a mixed value is none.
[[nodiscard]] inline std::vector<std::byte> value_of_number(std::uint64_t number) {
  std::vector<std::byte> out(8 * (1 + number % 300));
  for (std::size_t at = 0; at < out.size(); at += 8) std::memcpy(out.data() + at, &number, 8);
  return out;
}
/// @return 0 for what is no number's value
[[nodiscard]] inline std::uint64_t number_of_value(nkv::byte_span value) {
  std::uint64_t number = 0;
  if (value.size() < 8) return 0;
  std::memcpy(&number, value.data(), 8);
  const std::vector<std::byte> whole = value_of_number(number);
  return whole.size() == value.size() && std::memcmp(whole.data(), value.data(), whole.size()) == 0 ? number : 0;
}

/// Somebody who uses keys. On one thread.
class register_client {
 public:
  virtual ~register_client() = default;
  /// Does what `r` asks; sets what it was told, and the value that was found.
  virtual void perform(recorded& r) = 0;
};

/// By nkv's client library.
class nkv_register_client final : public register_client {
 public:
  explicit nkv_register_client(const std::string& endpoint)
      : controller_(*nkv::host::connect(endpoint)), ns_(*controller_.open_namespace(1)), buffer_(4096) {}

  void perform(recorded& r) override {
    const std::string name = "k" + std::to_string(r.key);
    const nkv::key_view key = nkv::key_view::from_text(name.data(), name.size());
    const nkv::host::deadline until = nkv::host::deadline::after_ns(30'000'000'000);
    nkv::outcome o;
    switch (r.asked) {
      case recorded::verb::retrieve:
        o = ns_.retrieve(key, {buffer_.data(), buffer_.size()}, until);
        if (o.ok()) r.value = number_of_value({buffer_.data(), static_cast<std::size_t>(o.length_bytes)});
        break;
      case recorded::verb::exist: o = ns_.exist(key, until); break;
      case recorded::verb::remove: o = ns_.remove(key, until); break;
      case recorded::verb::store:
      case recorded::verb::store_new:
      case recorded::verb::store_existing: {
        const std::vector<std::byte> value = value_of_number(r.value);
        nkv::store_options options;
        options.must_not_exist = r.asked == recorded::verb::store_new;
        options.must_exist = r.asked == recorded::verb::store_existing;
        o = ns_.store(key, {value.data(), value.size()}, until, options);
        break;
      }
    }
    r.told = o.ok()                                                         ? recorded::answer::ok
             : o.status.is_key_does_not_exist()                             ? recorded::answer::absent
             : o.status.is_key_exists()                                     ? recorded::answer::present
             : o.status == nkv::status(nkv::client_status::outcome_unknown) ? recorded::answer::unknown
                                                                            : recorded::answer::nothing;
  }

 private:
  nkv::host::controller controller_;
  nkv::host::kv_namespace<nkv::exclusive> ns_;
  std::vector<std::byte> buffer_;
};

/// How clients come by; called on each client's own thread, with the client's number.
using client_maker = std::function<std::unique_ptr<register_client>(unsigned)>;

struct run_options {
  std::uint64_t seed = 1;
  std::uint64_t operations = 100'000;  ///< of all clients
  unsigned clients = 6;
  unsigned keys = 4;
};

struct run_result {
  std::string wrong;  ///< empty: every key's history could have happened one after another
  std::uint64_t operations = 0;
  std::uint64_t found = 0;   ///< Retrieves that found a value
  std::uint64_t failed = 0;  ///< operations that ended without having happened
  std::uint64_t unknown = 0;
};

/// Lets clients loose on few keys, and looks at what they were told.
[[nodiscard]] inline run_result run_clients(const run_options& options, const client_maker& make) {
  std::atomic<std::uint64_t> count{0}, values{0};
  std::atomic<unsigned> ready{0};
  std::vector<std::vector<recorded>> told(options.clients);
  std::vector<std::thread> threads;
  for (unsigned c = 0; c < options.clients; ++c)
    threads.emplace_back([&, c] {
      const std::unique_ptr<register_client> client = make(c);
      std::mt19937_64 dice(options.seed * 1000 + c);
      ready.fetch_add(1);
      while (ready.load() != options.clients) std::this_thread::yield();
      for (std::uint64_t n = 0; n < options.operations / options.clients; ++n) {
        static constexpr recorded::verb verbs[] = {
            recorded::verb::retrieve,  recorded::verb::retrieve,       recorded::verb::retrieve,
            recorded::verb::retrieve,  recorded::verb::retrieve,       recorded::verb::exist,
            recorded::verb::remove,    recorded::verb::store,          recorded::verb::store,
            recorded::verb::store_new, recorded::verb::store_existing, recorded::verb::retrieve};
        recorded r;
        r.key = static_cast<std::uint32_t>(dice() % options.keys);
        r.asked = verbs[dice() % std::size(verbs)];
        if (r.changes() && r.asked != recorded::verb::remove) r.value = values.fetch_add(1) + 1;
        r.begin = count.fetch_add(1);
        client->perform(r);
        r.end = count.fetch_add(1);
        told[c].push_back(r);
      }
    });
  for (std::thread& t : threads) t.join();

  run_result out;
  std::vector<std::vector<recorded>> by_key(options.keys);
  for (const std::vector<recorded>& of_client : told)
    for (const recorded& r : of_client) {
      ++out.operations;
      out.failed += r.told == recorded::answer::nothing;
      out.unknown += r.told == recorded::answer::unknown;
      if (r.asked == recorded::verb::retrieve && r.told == recorded::answer::ok) {
        ++out.found;
        if (r.value == 0) out.wrong = "a value that nobody stored";
      }
      by_key[r.key].push_back(r);
    }
  for (unsigned k = 0; k < options.keys && out.wrong.empty(); ++k) out.wrong = not_linearizable(std::move(by_key[k]));
  return out;
}

}  // namespace nkv_test
