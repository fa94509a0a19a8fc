// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "unit/client/model_namespace.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace nkv_test {

using nkv::client_status;
using nkv::key_view;
using nkv::status;

using fate = model_namespace<nkv::exclusive>::fate;

/// A deadline for what is not going to end by itself.
inline nkv::host::deadline shortly() { return nkv::host::deadline::after_ms(10); }

inline const status internal_error{nkv::status_code_type::generic, nkv::generic_status::internal_error};

/// The object of a seed: its bytes say where in it they are and whose it is.
inline std::vector<std::byte> object_bytes(std::size_t size, unsigned seed) {
  std::vector<std::byte> out(size);
  std::uint32_t state = seed * 2654435761u + 1;
  for (std::byte& b : out) {
    state = state * 1664525u + 1013904223u;
    b = static_cast<std::byte>(state >> 24);
  }
  return out;
}

template <class Byte>
nkv::local_range<Byte> range_of(Byte* p, std::size_t size) {
  return {nkv::value_ref{reinterpret_cast<std::uint64_t>(p), size, 0}, p};
}

/// `memory` in pieces of the lengths of `cuts`, again and again; 0 gives an empty piece.
template <class Byte>
std::vector<nkv::local_range<Byte>> pieces_of(Byte* p, std::size_t size, const std::vector<std::size_t>& cuts) {
  std::vector<nkv::local_range<Byte>> out;
  std::size_t at = 0;
  for (std::size_t i = 0; at < size; ++i) {
    const std::size_t n = std::min(cuts[i % cuts.size()], size - at);
    out.push_back(range_of(p + at, n));
    at += n;
  }
  return out;
}

inline const std::vector<std::vector<std::size_t>> all_cuts = {{100000}, {1000},       {500}, {1},
                                                               {999, 1}, {1500, 0, 3}, {300}, {2000}};

template <class Sharing>
using queue_of = typename queue_rig<Sharing>::ref_type;

inline constexpr std::size_t shard_bytes = 1000;

/// A writer with memory of its own.
template <class Sharing>
struct writer_rig {
  writer_rig(const model_namespace<Sharing>& ns, std::size_t commands, std::size_t staged = 3,
             std::size_t head_bytes = nkv::shard_manifest::head_bytes)
      : manifest(4096), head(head_bytes), staging(staged * shard_bytes), slots(commands), writer(ns.ref, memory()) {}

  nkv::sharded_writer_memory memory() {
    nkv::sharded_writer_memory m;
    m.manifest = range_of(manifest.data(), manifest.size());
    if (!head.empty()) m.head = range_of(head.data(), head.size());
    if (!staging.empty()) m.staging = range_of(staging.data(), staging.size());
    m.slots = slots;
    return m;
  }

  static nkv::sharded_put_options options(unsigned nonce) {
    nkv::sharded_put_options o;
    o.nonce = nkv::shard_nonce::from_words(nonce, 77);
    o.shard_bytes = shard_bytes;
    return o;
  }

  nkv::sharded_outcome put(key_view key, const std::vector<std::byte>& object, unsigned nonce,
                           nkv::host::deadline until = soon(), const std::vector<std::size_t>& cuts = {100000}) {
    return put(key, object, options(nonce), until, cuts);
  }
  nkv::sharded_outcome put(key_view key, const std::vector<std::byte>& object, const nkv::sharded_put_options& options,
                           nkv::host::deadline until = soon(), const std::vector<std::size_t>& cuts = {100000}) {
    const auto sources = pieces_of(object.data(), object.size(), cuts);
    return writer.put(key, sources, options, until);
  }

  std::vector<std::byte> manifest, head, staging;
  std::vector<nkv::shard_slot> slots;
  nkv::sharded_writer<queue_of<Sharing>> writer;
};

/// A reader with memory of its own.
template <class Sharing>
struct reader_rig {
  explicit reader_rig(const model_namespace<Sharing>& ns, std::size_t commands = 4, std::size_t bounced = 2,
                      std::size_t manifest_bytes = 4096)
      : manifest(manifest_bytes), bounce(bounced * shard_bytes), slots(commands), reader(ns.ref, memory()) {}

  nkv::sharded_reader_memory memory() {
    nkv::sharded_reader_memory m;
    if (!manifest.empty()) m.manifest = range_of(manifest.data(), manifest.size());
    if (!bounce.empty()) m.bounce = range_of(bounce.data(), bounce.size());
    m.slots = slots;
    return m;
  }

  /// What [offset, offset + size) is, read into ranges that `cuts` makes.
  status read(std::size_t offset, std::size_t size, std::vector<std::byte>& out, const std::vector<std::size_t>& cuts,
              const nkv::sharded_read_options& options = {}, nkv::host::deadline until = soon()) {
    out.assign(size, std::byte{0x5a});
    const auto to = pieces_of(out.data(), size, cuts);
    return reader.read(offset, to, until, options);
  }

  /// The whole object, or why not.
  status read_all(key_view key, std::vector<std::byte>& out) {
    if (const status s = reader.open(key, soon()); !s) return s;
    return read(0, static_cast<std::size_t>(reader.length_bytes()), out, {100000});
  }

  using destination_type = nkv::local_range<std::byte>;
  std::vector<std::byte> manifest, bounce;
  std::vector<nkv::shard_slot> slots;
  nkv::sharded_reader<queue_of<Sharing>> reader;
};

/// Whether `key` is exactly `object`, seen by a reader that knows nothing.
template <class Sharing>
bool is_object(const model_namespace<Sharing>& ns, key_view key, const std::vector<std::byte>& object) {
  reader_rig<Sharing> r(ns);
  std::vector<std::byte> found;
  return r.read_all(key, found).ok() && found == object;
}
template <class Sharing>
bool is_absent(const model_namespace<Sharing>& ns, key_view key) {
  reader_rig<Sharing> r(ns);
  return r.reader.open(key, soon()).is_key_does_not_exist();
}

/// Runs a task to its end, or as far as it gets where a command is lost: then it is cancelled. Nothing is under way
/// afterwards but what is lost.
template <class Sharing, class Task>
void run_or_cancel(model_namespace<Sharing>& ns, Task& task) {
  // More rounds than any task here has commands.
  for (unsigned i = 0; i < 50 && !task.poll(); ++i) ns.await_quiet();
  task.cancel();
}

/// Waits for late answers, so that nothing touches memory any more.
/// @param user a writer, a reader or a window
template <class Sharing, class User>
bool settle(model_namespace<Sharing>& ns, User& user) {
  ns.answer_lost = true;
  const auto until = soon();
  while (!user.quiesced() && !until.expired()) nkv::host::steady_clock::relax(0);
  ns.answer_lost = false;
  return user.quiesced();
}

inline std::string text_of(const nkv::shard_key& k) {
  return {reinterpret_cast<const char*>(k.bytes), nkv::shard_key::size_bytes};
}
/// The key of a shard, as writer_rig::options() has it.
inline std::string shard_text(key_view object, unsigned nonce, std::uint64_t number) {
  return text_of(nkv::shard_keys(object, nkv::shard_nonce::from_words(nonce, 77)).of(number));
}

}  // namespace nkv_test
