// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/span.hpp>
#include <nkv/kv/limits.hpp>
#include <nkv/target/list_page_writer.hpp>
#include <nkv/target/rados/expiry.hpp>
#include <nkv/target/rados/object_name.hpp>
#include <nkv/target/rados/rados_cluster.hpp>
#include <nkv/target/rados/rados_options.hpp>
#include <nkv/target/scatter_list.hpp>
#include <nkv/target/store.hpp>

#include <rados/librados.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target {

/// Keys and values as objects of one pool and RADOS namespace: an object a pair, its name object_name() of the key, its
/// data the value. What other librados programs write there are keys and values too.
///
/// Each operation is one RADOS operation, so it is atomic against everybody else's. None waits in the caller's thread:
/// what librados has no room for waits for its turn (see rados_cluster), and ends where that takes longer than an
/// operation may. Copies of a value: one each way. A Store's is taken from the client's memory before librados sees it,
/// which may go on sending, and summing up, long after the client was told of a time-out. A Retrieve's is put there
/// from the buffer that librados received it in, in one of librados's threads, for the same reason: what comes after a
/// time-out must not go there.
///
/// How trouble ends an operation, each told to the cluster's report:
///
///     | what                                                     | store_result                              |
///     | - | - |
///     | no connection, no pool, waited too long for its turn     | unavailable                               |
///     | no OSD answered in time, the client was blocked          | Store and Delete: unknown; else unavailable |
///     | the cluster or the pool's quota is full                  | capacity_exceeded, at once and not parked |
///     | the user may not                                         | denied                                    |
///     | longer than the OSDs take                                | invalid                                   |
///     | an object longer than values here, with room for more    | failed                                    |
///     | anything else                                            | failed                                    |
///
/// Times to live, where the options ask for them: an attribute (see expiry) is written with each value and looked at
/// with each Retrieve and Exist, in the same RADOS operation. What depends on whether a key is there takes two, the
/// second on condition that the attribute is what the first has seen, and begins again where it is not. An expired
/// object goes when somebody finds it. Without the option commands with a time to live are refused. Ephemeral values
/// stay until they are deleted. List is in the order of the objects' hashes: its start is inclusive and need not exist,
/// and keys that are there throughout appear once, whatever others write meanwhile.
class rados_store final : public store {
 public:
  /// @param cluster lives longer
  rados_store(rados_cluster& cluster, const rados_store_options& options)
      : max_key_bytes_(std::min(options.max_key_bytes, nkv::max_key_bytes)),
        max_value_bytes_(longest(options, cluster.max_value_bytes())),
        shared_(std::make_shared<shared_state>(cluster, cluster.place(options), options.ttl)) {}

  [[nodiscard]] progress submit(store_operation& op) noexcept override {
    op.true_length = 0;
    op.store_state = nullptr;
    try {
      if (op.verb == store_verb::list) return list(op);
      auto c = std::make_unique<call>(shared_, op, max_value_bytes_);
      if (c->pool == nullptr) {
        shared_->report("no connection");
        return ended(op, store_result::unavailable);
      }
      call& waiting = *c.release();
      if (!shared_->cluster.take_turn(waiting)) return progress::later;
      op.store_state = &waiting;
    } catch (...) {
      return ended(op, store_result::no_memory);
    }
    return proceed(op);
  }

  [[nodiscard]] progress proceed(store_operation& op) noexcept override {
    std::unique_ptr<call> c(static_cast<call*>(std::exchange(op.store_state, nullptr)));
    if (!c->copy(slice_bytes)) return without_memory(std::move(c), op);
    if (c->copied_all()) return send(std::move(c), op);
    op.store_state = c.release();
    return progress::more;
  }

  void cancel(store_operation& op) noexcept override {
    if (auto* const c = static_cast<call*>(op.store_state)) {
      op.store_state = nullptr;
      shared_->cluster.release(c->bytes);
      delete c;
      op.result = store_result::aborted;
      return;
    }
    // Of another store's turns none has this operation.
    rados_turn* const turn = shared_->cluster.withdraw(
        [&op](const rados_turn& t) noexcept { return static_cast<const call&>(t).op == &op; });
    if (turn == nullptr) return;  // with librados, which ends in its time
    delete static_cast<call*>(turn);
    op.finish(store_result::aborted, 0);
  }

  [[nodiscard]] std::uint64_t max_value_bytes() const noexcept override { return max_value_bytes_; }
  [[nodiscard]] std::uint32_t max_key_bytes() const noexcept override { return max_key_bytes_; }
  [[nodiscard]] bool has_ttl() const noexcept override { return shared_->ttl; }

 private:
  /// What an OSD takes counts for all of an operation, the attribute included.
  static std::uint64_t longest(const rados_store_options& options, std::uint64_t taken_bytes) noexcept {
    constexpr std::uint64_t attribute_bytes = 4096;
    const std::uint64_t most = options.ttl ? taken_bytes - std::min(taken_bytes, attribute_bytes) : taken_bytes;
    return options.max_value_bytes == 0 ? most : std::min(options.max_value_bytes, most);
  }

  /// So much of a long value is copied at a time.
  static constexpr std::uint64_t slice_bytes = std::uint64_t{1} << 20;

  /// What calls need of the store. They keep it: the last may let go of it when the store is gone.
  struct shared_state {
    rados_cluster& cluster;
    std::shared_ptr<rados_place> place;
    const bool ttl;
    std::atomic<unsigned> reclaiming{0};  ///< expired objects that are being removed

    shared_state(rados_cluster& c, std::shared_ptr<rados_place> p, bool times_to_live) noexcept
        : cluster(c), place(std::move(p)), ttl(times_to_live) {}
    void report(std::string_view why) noexcept {
      cluster.report(true, "operation failed", place->pool_name, place->space, why);
    }
  };

  /// One operation while it waits for its turn or is with librados.
  struct call final : rados_turn {
    std::shared_ptr<shared_state> shared;
    std::shared_ptr<rados_pool> pool;
    store_operation* op;
    std::string name;
    librados::bufferlist value;
    scatter_cursor at;
    std::uint64_t copied_bytes = 0;
    std::uint64_t length_bytes = 0;
    std::time_t changed_at = 0;
    // With times to live.
    std::map<std::string, librados::bufferlist> attributes;
    std::string seen;      ///< the object's expiry when it was looked at; empty for none
    bool looks = false;    ///< this RADOS operation finds out whether the key is there
    bool on_seen = false;  ///< this one changes it if it is as it was seen
    unsigned looked = 0;

    call(std::shared_ptr<shared_state> s, store_operation& operation, std::uint64_t max_value_bytes)
        : shared(std::move(s)),
          pool(shared->place->pool()),
          op(&operation),
          name(operation.object_name
                   ? std::string(reinterpret_cast<const char*>(operation.key.data()), operation.key.size())
                   : object_name(operation.key)) {
      if (op->verb == store_verb::store || op->verb == store_verb::retrieve)
        bytes = std::min(op->data_bytes, max_value_bytes);
      looks = shared->ttl &&
              ((op->verb == store_verb::store && (op->must_exist || op->touch)) || op->verb == store_verb::remove);
      go = [](rados_turn& turn, bool in_time) noexcept { static_cast<call&>(turn).turn_came(in_time); };
    }

    /// Whether the RADOS operation does.
    [[nodiscard]] bool changes() const noexcept {
      return (op->verb == store_verb::store || op->verb == store_verb::remove) && !looks;
    }

    /// Copies so much more of a Store's value, at most. @return false for want of memory
    [[nodiscard]] bool copy(std::uint64_t most) noexcept {
      if (copied_all()) return true;
      const auto n = static_cast<unsigned>(std::min(most, op->data_bytes - copied_bytes));
      try {
        ceph::bufferptr piece(n);
        at.read(op->data, reinterpret_cast<std::byte*>(piece.c_str()), n);
        value.append(std::move(piece));
      } catch (...) {
        return false;
      }
      copied_bytes += n;
      return true;
    }
    [[nodiscard]] bool copied_all() const noexcept {
      return op->verb != store_verb::store || copied_bytes == op->data_bytes;
    }

    void turn_came(bool in_time) noexcept {
      std::unique_ptr<call> self(this);
      store_operation& operation = *op;
      if (!in_time) {
        shared->report("too many operations before it");
        self.reset();
        operation.finish(store_result::unavailable, 0);
        return;
      }
      const progress p =
          copy(operation.data_bytes) ? send(std::move(self), operation) : without_memory(std::move(self), operation);
      if (p == progress::done) operation.finish(operation.result, 0);
    }

    /// What librados said. Ends the operation, and this.
    /// @param number of the object's version, which rises with every change, also where it was deleted in between
    void ended(int r, std::uint64_t number) noexcept {
      std::unique_ptr<call> self(this);
      store_operation& operation = *op;
      store_result result = result_of(r);
      if (shared->ttl && goes_on(r, result)) {
        if (send(std::move(self), operation) == progress::done) operation.finish(operation.result, 0);
        return;
      }
      const std::uint64_t held = bytes;
      if (result == store_result::ok && operation.verb == store_verb::retrieve && length_bytes > bytes &&
          bytes < operation.data_bytes) {
        shared->report("an object is longer than the namespace's values");
        result = store_result::failed;
      } else if (result == store_result::ok && operation.verb == store_verb::retrieve)
        result = operation.whole != nullptr ? hold(operation) : deliver(operation);
      const std::uint64_t length = result == store_result::ok ? length_bytes : 0;
      operation.version = {static_cast<std::uint64_t>(pool->io.get_id()), number};
      if (shared->ttl) operation.expires_ms = expiry::of(seen).at_ms();
      // As soon as the operation has ended the store may go, and the cluster, which waits for its connections: this
      // keeps one until the last access to it.
      const std::shared_ptr<rados_pool> kept = std::move(pool);
      const std::shared_ptr<shared_state> where = std::move(shared);
      self.reset();
      operation.finish(result, length);
      where->cluster.release(held);
    }

   private:
    /// With times to live: what an operation comes to, and whether another has to be sent.
    bool goes_on(int r, store_result& result) noexcept {
      constexpr unsigned most_looks = 16;
      if (changes()) {
        // Somebody else was faster; or the object is there, and may be expired.
        const bool look_again = r == -ECANCELED || (r == -EEXIST && op->must_not_exist);
        if (!look_again || ++looked > most_looks) return false;
        looks = true;
        return true;
      }
      if (r >= 0) {
        const auto found = attributes.find(expiry::attribute);
        try {
          seen = found == attributes.end() ? std::string() : found->second.to_str();
        } catch (...) {
          result = store_result::no_memory;
          return false;
        }
        attributes.clear();
        if (expiry::of(seen).passed(expiry::now_ms())) {
          if (!op->must_not_exist) reclaim();
          result = store_result::absent;
        }
      }
      if (!looks) return false;
      looks = false;
      if (op->must_not_exist) {
        if (result == store_result::absent) {
          // In the place of the expired one, or of none.
          on_seen = r >= 0;
          return true;
        }
        if (result == store_result::ok) result = store_result::present;
        return false;
      }
      if (result != store_result::ok) return false;
      on_seen = true;
      return !(op->touch && op->ttl_s == 0 && expiry::of(seen).ttl_s() == 0);
    }

    /// Removes the expired object, unless it was stored again; nobody waits for that.
    void reclaim() noexcept {
      constexpr unsigned most = 64;
      struct removal {
        std::shared_ptr<shared_state> shared;
        std::shared_ptr<rados_pool> pool;
      };
      if (shared->reclaiming.fetch_add(1) < most) {
        try {
          auto of = std::make_unique<removal>(removal{shared, pool});
          librados::ObjectWriteOperation remove;
          librados::bufferlist as_seen;
          as_seen.append(seen);
          remove.cmpxattr(expiry::attribute, LIBRADOS_CMPXATTR_OP_EQ, as_seen);
          remove.remove();
          librados::AioCompletion* const done =
              librados::Rados::aio_create_completion(of.get(), [](rados_completion_t, void* arg) {
                const std::unique_ptr<removal> ended(static_cast<removal*>(arg));
                ended->shared->reclaiming.fetch_sub(1);
              });
          removal* const sent = of.release();
          if (pool->io.aio_operate(name, done, &remove, librados::OPERATION_FULL_TRY) != 0) {
            delete sent;
            shared->reclaiming.fetch_sub(1);
          }
          done->release();
          return;
        } catch (...) {
        }
      }
      shared->reclaiming.fetch_sub(1);
    }

    store_result deliver(const store_operation& operation) noexcept {
      scatter_cursor to;
      // The pieces are what came from the socket.
      for (const ceph::bufferptr& piece : value.buffers())
        to.write(operation.data, reinterpret_cast<const std::byte*>(piece.c_str()), piece.length());
      return store_result::ok;
    }

    /// Gives away the buffer that librados received the value in; one of several pieces is put together first.
    store_result hold(const store_operation& operation) noexcept {
      try {
        const auto kept = std::make_shared<librados::bufferlist>(std::move(value));
        *operation.whole = {{reinterpret_cast<const std::byte*>(kept->c_str()), kept->length()}, kept};
        return store_result::ok;
      } catch (...) {
        return store_result::no_memory;
      }
    }

    store_result result_of(int r) noexcept {
      if (r >= 0) return store_result::ok;
      switch (-r) {
        case ENOENT:
          if (!pool->gone()) return store_result::absent;
          shared->report("the pool is gone");
          shared->cluster.lost_pool(*shared->place, pool.get());
          return store_result::unavailable;
        case EEXIST: return store_result::present;
        case ENOSPC:
        case EDQUOT: shared->report("no space left"); return store_result::capacity_exceeded;
        case EPERM:
        case EACCES: shared->report("the user may not do this"); return store_result::denied;
        case EFBIG:
        case EMSGSIZE: shared->report("the OSDs do not take so long a value"); return store_result::invalid;
        case ENOMEM: return store_result::no_memory;
        case ESHUTDOWN:  // what EBLOCKLISTED is
          shared->report("the cluster has blocked this client");
          shared->cluster.lost_session(pool->session.get());
          // Where the answer was lost with a connection, and this is that to the repetition, it has happened.
          return changes() ? store_result::unknown : store_result::unavailable;
        case ETIMEDOUT:
          shared->report("no OSD answered in time");
          return changes() ? store_result::unknown : store_result::unavailable;
        default: shared->report(std::strerror(-r)); return store_result::failed;
      }
    }
  };

  static progress ended(store_operation& op, store_result r) noexcept {
    op.result = r;
    return progress::done;
  }

  static progress without_memory(std::unique_ptr<call> c, store_operation& op) noexcept {
    c->shared->cluster.release(c->bytes);
    return ended(op, store_result::no_memory);
  }

  /// Hands a call that has its turn, and its value, to librados.
  static progress send(std::unique_ptr<call> c, store_operation& op) noexcept {
    // It may have ended before aio_operate() returns, and everything of it be gone.
    const std::shared_ptr<rados_pool> pool = c->pool;
    const std::shared_ptr<shared_state> shared = c->shared;
    const std::uint64_t held = c->bytes;
    librados::AioCompletion* done = nullptr;
    int r = 0;
    try {
      librados::ObjectWriteOperation write;
      librados::ObjectReadOperation read;
      const std::string name = c->name;
      build(*c, op, write, read);
      done = librados::Rados::aio_create_completion(c.get(), [](rados_completion_t completion, void* of) {
        static_cast<call*>(of)->ended(rados_aio_get_return_value(completion), rados_aio_get_version(completion));
      });
      const bool changes = c->changes();
      call* const sent = c.release();
      // FULL_TRY: a full cluster answers, and does not keep the operation until it has room.
      r = changes ? pool->io.aio_operate(name, done, &write, librados::OPERATION_FULL_TRY)
                  : pool->io.aio_operate(name, done, &read, 0, nullptr);
      if (r != 0) c.reset(sent);
    } catch (...) {
      r = -ENOMEM;
    }
    if (done != nullptr) done->release();
    if (r == 0) return progress::later;
    shared->report(std::strerror(-r));
    shared->cluster.release(held);
    return ended(op, r == -ENOMEM ? store_result::no_memory : store_result::failed);
  }

  static void build(call& c, const store_operation& op, librados::ObjectWriteOperation& write,
                    librados::ObjectReadOperation& read) {
    if (!c.changes()) {
      if (op.verb == store_verb::retrieve && c.bytes != 0) read.read(0, c.bytes, &c.value, nullptr);
      read.stat(&c.length_bytes, &c.changed_at, nullptr);
      if (c.shared->ttl) read.getxattrs(&c.attributes, nullptr);
      return;
    }
    const auto text = [](const std::string& t) {
      librados::bufferlist out;
      out.append(t);
      return out;
    };
    if (c.on_seen && !c.seen.empty()) {
      write.cmpxattr(expiry::attribute, LIBRADOS_CMPXATTR_OP_EQ, text(c.seen));
    } else if (op.must_exist || c.on_seen) {
      write.assert_exists();
    } else if (op.must_not_exist) {
      write.create(true);
    }
    if (op.verb == store_verb::remove) return write.remove();
    std::uint32_t ttl_s = op.ttl_s;
    if (op.touch) {
      if (ttl_s == 0) ttl_s = expiry::of(c.seen).ttl_s();
    } else {
      if (op.no_compress) write.set_alloc_hint2(op.data_bytes, op.data_bytes, librados::ALLOC_HINT_FLAG_INCOMPRESSIBLE);
      write.write_full(c.value);
    }
    if (c.shared->ttl) write.setxattr(expiry::attribute, text(expiry::after(ttl_s, expiry::now_ms()).text()));
  }

  // List
  // ---------------------------------------------------------------------------------------------------------------------

  progress list(store_operation& op) {
    const auto job = [shared = shared_, longest = max_key_bytes_, &op]() noexcept {
      store_result result = store_result::no_memory;
      try {
        result = list_now(*shared, longest, op);
      } catch (...) {
      }
      op.finish(result, result == store_result::ok ? op.true_length : 0);
    };
    return shared_->cluster.post(job) ? progress::later : ended(op, store_result::no_memory);
  }

  static store_result list_now(shared_state& shared, std::uint32_t longest, store_operation& op) {
    const std::shared_ptr<rados_pool> pool = shared.place->pool();
    if (pool == nullptr) {
      shared.report("no connection");
      return store_result::unavailable;
    }
    int error = 0;
    try {
      walk(*pool, shared.ttl, longest, op);
    } catch (const std::system_error& e) {
      error = e.code().value() < 0 ? -e.code().value() : e.code().value();
    }
    // The listing of a pool that is gone ends as any other.
    if (pool->gone()) {
      shared.report("the pool is gone");
      shared.cluster.lost_pool(*shared.place, pool.get());
      return store_result::unavailable;
    }
    if (error == 0) return store_result::ok;
    shared.report(error == ETIMEDOUT ? "no OSD answered in time" : std::strerror(error));
    if (error == ESHUTDOWN) shared.cluster.lost_session(pool->session.get());
    if (error == EPERM || error == EACCES) return store_result::denied;
    return error == ETIMEDOUT || error == ESHUTDOWN ? store_result::unavailable : store_result::failed;
  }

  /// Where an object stands in a listing, or would: by its hash with the bits reversed, then by its name.
  struct list_place {
    std::uint32_t reversed_hash = 0;
    std::string name;

    static list_place of(rados_pool& pool, std::string name) {
      std::uint32_t hash = 0;
      if (const int r = pool.io.get_object_hash_position2(name, &hash); r != 0)
        throw std::system_error(-r, std::generic_category());
      std::uint32_t reversed = 0;
      for (unsigned bit = 0; bit < 32; ++bit) reversed |= (hash >> bit & 1u) << (31 - bit);
      return {reversed, std::move(name)};
    }
    [[nodiscard]] bool before(const list_place& other) const noexcept {
      return reversed_hash != other.reversed_hash ? reversed_hash < other.reversed_hash : name < other.name;
    }
  };

  /// The listing from there on, or from somewhat before.
  static librados::NObjectIterator begin_at(rados_pool& pool, const list_place& start) {
    // A cursor as text: pool, reversed hash, namespace, locator and name, which are empty and so before all others.
    char text[64];
    std::snprintf(text, sizeof text, "%lld:%08x::::head", static_cast<long long>(pool.io.get_id()),
                  static_cast<unsigned>(start.reversed_hash));
    librados::ObjectCursor cursor;
    if (cursor.from_str(text) && cursor.to_str() == text) return pool.io.nobjects_begin(cursor);
    // By the hash itself: from the beginning of the placement group on.
    std::uint32_t hash = 0;
    for (unsigned bit = 0; bit < 32; ++bit) hash |= (start.reversed_hash >> bit & 1u) << (31 - bit);
    return pool.io.nobjects_begin(hash);
  }

  static void walk(rados_pool& pool, bool ttl, std::uint32_t longest, store_operation& op) {
    list_page_writer& page = *op.page;
    bool before_start = !op.key.empty();
    list_place start;
    if (before_start) start = list_place::of(pool, object_name(op.key));
    librados::NObjectIterator at = before_start ? begin_at(pool, start) : pool.io.nobjects_begin();
    std::byte key[nkv::max_key_bytes];
    bool full = false;
    std::uint64_t rest_bytes = 0;
    unsigned counted = 0;
    const auto give = [&](const std::string& name) {
      const std::size_t length = key_of_object(name, key);
      if (!full && page.add({key, length})) return true;
      full = true;
      // How long the rest would be: exactly, up to so many keys, that no client can keep this thread for long.
      if (!op.count_all || ++counted > listing_counted_keys) return false;
      rest_bytes += list_page_writer::entry_bytes(length);
      return true;
    };
    std::vector<std::string> names;
    const auto give_names = [&] {
      if (ttl) drop_expired(pool, names);
      const bool all = std::all_of(names.begin(), names.end(), give);
      names.clear();
      return all;
    };
    for (; at != pool.io.nobjects_end(); ++at) {
      const std::string& name = at->get_oid();
      if (before_start && list_place::of(pool, name).before(start)) continue;
      before_start = false;
      const std::size_t length = key_of_object(name, key);
      if (length == 0 || length > longest) continue;
      names.push_back(name);
      if (names.size() == (ttl ? listing_looked_at_once : 1) && !give_names()) break;
    }
    if (!full) static_cast<void>(give_names());
    page.finish();
    op.true_length = page.bytes() + rest_bytes;
  }

  /// Takes out of the names those whose objects have expired. Asks for all at once.
  static void drop_expired(rados_pool& pool, std::vector<std::string>& names) {
    struct asked {
      std::unique_ptr<librados::AioCompletion, void (*)(librados::AioCompletion*)> done{
          librados::Rados::aio_create_completion(), [](librados::AioCompletion* c) { c->release(); }};
      librados::bufferlist text;
    };
    std::vector<asked> all(names.size());
    std::vector<bool> sent(names.size());
    for (std::size_t i = 0; i < names.size(); ++i)
      sent[i] = pool.io.aio_getxattr(names[i], all[i].done.get(), expiry::attribute, all[i].text) == 0;
    const std::uint64_t now_ms = expiry::now_ms();
    std::size_t kept = 0;
    int error = 0;
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (sent[i]) all[i].done->wait_for_complete();
      const int r = sent[i] ? all[i].done->get_return_value() : -EIO;
      if (r < 0 && r != -ENODATA && r != -ENOENT) error = -r;
      // One that somebody has deleted meanwhile is not there either.
      if (r == -ENOENT || (r >= 0 && expiry::of(all[i].text.to_str()).passed(now_ms))) continue;
      if (kept != i) names[kept] = std::move(names[i]);
      ++kept;
    }
    names.resize(kept);
    if (error != 0) throw std::system_error(error, std::generic_category());
  }

  static constexpr unsigned listing_counted_keys = 4096;
  static constexpr std::size_t listing_looked_at_once = 64;

  const std::uint32_t max_key_bytes_;
  const std::uint64_t max_value_bytes_;
  const std::shared_ptr<shared_state> shared_;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
