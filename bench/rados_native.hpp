// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "failure.hpp"
#include "rados_load.hpp"

#include <fmt/format.h>
#include <rados/librados.hpp>

#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace bench::rados {

/// The objects by librados's asynchronous operations, which is what a program without nkv would use: the data stays in
/// the buffers that librados received it in. Sleeps where nothing has come.
class native_client {
 public:
  native_client(const std::string& conf, const std::string& pool, const std::string& space) {
    const auto must = [](int r, const char* what) {
      if (r < 0) throw failure(fmt::format("{}: {}", what, std::strerror(-r)));
    };
    must(rados_.init("admin"), "librados");
    must(rados_.conf_read_file(conf.c_str()), "librados: the configuration");
    must(rados_.conf_set("log_file", ""), "librados: log_file");
    must(rados_.connect(), "librados: no cluster");
    must(rados_.ioctx_create(pool.c_str(), io_), "librados: the pool");
    io_.set_namespace(space);
  }
  ~native_client() {
    io_.close();
    rados_.shutdown();
  }

  window run(const load& l, unsigned ms) {
    if (value_.size() != l.block_bytes) value_.assign(l.block_bytes, 'v');
    slots_.clear();
    for (std::uint32_t i = 0; i < l.depth; ++i) slots_.push_back(std::make_unique<slot>(*this));
    window_clock clock(ms);
    std::uint32_t next = 0, under_way = 0;
    for (auto& s : slots_) {
      begin(l, *s, next++);
      ++under_way;
    }
    std::vector<slot*> ended;
    while (under_way != 0) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !ended_.empty(); });
        ended.swap(ended_);
      }
      for (slot* s : ended) {
        clock.ended(s->began_ns);
        const int r = s->done->get_return_value();
        s->done->release();
        if (r < 0 || (l.what == verb::retrieve && s->read.length() != l.block_bytes))
          throw failure(l.name() + ": a native operation failed");
        if (clock.over()) {
          --under_way;
        } else {
          begin(l, *s, next++);
        }
      }
      ended.clear();
    }
    return clock.result();
  }

 private:
  struct slot {
    explicit slot(native_client& c) : of(&c) {}
    native_client* of;
    librados::AioCompletion* done = nullptr;
    librados::bufferlist read;
    std::uint64_t began_ns = 0;
  };

  void begin(const load& l, slot& s, std::uint32_t index) {
    s.done = librados::Rados::aio_create_completion(&s, [](rados_completion_t, void* arg) {
      slot& ended = *static_cast<slot*>(arg);
      const std::lock_guard lock(ended.of->mutex_);
      ended.of->ended_.push_back(&ended);
      ended.of->changed_.notify_one();
    });
    const std::string name = object_of(key_of(l.block_bytes, index % l.values()));
    s.read.clear();
    s.began_ns = now_ns();
    int r = 0;
    if (l.what == verb::store) {
      librados::bufferlist bl;
      bl.push_back(ceph::buffer::create_static(static_cast<unsigned>(value_.size()), value_.data()));
      r = io_.aio_write_full(name, s.done, bl);
    } else {
      r = io_.aio_read(name, s.done, &s.read, l.block_bytes, 0);
    }
    if (r != 0) throw failure(l.name() + ": librados takes no operation");
  }

  librados::Rados rados_;
  librados::IoCtx io_;
  std::vector<char> value_;
  std::vector<std::unique_ptr<slot>> slots_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<slot*> ended_;
};

/// What `rados bench` says of itself. Its objects are its own, written before they are read, and taken away: the
/// cluster is small, and a full one keeps it waiting. 0 where it is not there.
[[nodiscard]] inline double rados_bench(const std::string& conf, const std::string& pool, const load& l,
                                        unsigned seconds) {
  const std::string common =
      fmt::format("timeout 60 rados -c '{}' -p '{}' -N rados-bench bench {} ", conf, pool, seconds);
  const std::string set = fmt::format(" -t {} --run-name nkv{} --no-hints 2>/dev/null", l.depth, l.block_bytes);
  const auto write = common + fmt::format("write -b {} --no-cleanup --max-objects {}", l.block_bytes, l.values()) + set;
  const std::string measured = l.what == verb::store ? write : write + " >/dev/null && " + common + "rand" + set;
  const std::string command =
      measured +
      fmt::format("; timeout 60 rados -c '{}' -p '{}' -N rados-bench cleanup --run-name nkv{} >/dev/null 2>&1", conf,
                  pool, l.block_bytes);
  FILE* const out = ::popen(command.c_str(), "r");
  if (out == nullptr) return 0;
  double per_s = 0;
  char line[256];
  while (std::fgets(line, sizeof line, out) != nullptr) {
    double value = 0;
    if (std::sscanf(line, "Average IOPS: %lf", &value) == 1) per_s = value;
  }
  ::pclose(out);
  return per_s;
}

}  // namespace bench::rados
