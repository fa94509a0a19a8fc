// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>

namespace nkv_test::foreign {

/// What a foreign server can tell its client that is not so.
enum class lie : std::uint32_t {
  none,
  // Completions. Those that no command is to take have `false_status`.
  cid_never_sent,   ///< before a command's own completion: one for a CID that is none of those in flight
  completed_twice,  ///< behind a command's own completion: another for it
  wrong_sqid,       ///< before a command's own completion: one with its CID, of another queue
  wrong_phase,      ///< one with its CID stands in the ring, in the last lap's phase, before its own is written over it
  sq_head_beyond,   ///< SQHD is no entry of the queue
  length_beyond,    ///< DW0 of a Retrieve, Exist or List is more than the buffer holds
  any_status,       ///< an error that has nothing to do with what was done
  late,             ///< a command is carried out, its data moved and completed, after the client's deadline
  never,            ///< a command is not carried out
  phase_stuck,      ///< a completion of the wrong phase is all there will be: what comes behind it cannot be read
  ring_flooded,     ///< more completions than the ring has room for, over those that were not read
  fatal,            ///< CSTS.CFS
  // What it says of itself
  list_noise,       ///< a List page of random bytes
  identify_noise,   ///< an Identify page of random bytes
  registers_noise,  ///< registers of random bits
  // Messages
  closes_in_message,  ///< hangs up behind a part of a reply
  stops_in_message,   ///< sends a part of a reply, and nothing more
  wrong_message_id,   ///< a reply to a message that was not sent
  out_of_order,       ///< an earlier reply comes first, once more
  reply_too_long,     ///< a header that announces 2 GiB
  reply_too_short,    ///< a header that announces less than itself
  too_many_fds,       ///< a reply with 20 descriptors
  map_fails,          ///< DMA_MAP is an error
  unmap_fails,        ///< DMA_UNMAP is an error
  // The memory of its doorbells
  no_fd,        ///< it can be mapped, and there is no descriptor
  foreign_fd,   ///< the descriptor is not of memory
  short_fd,     ///< the memory is shorter than the region
  unsealed_fd,  ///< the memory is not sealed against shrinking
  bar_shrinks,  ///< after the client mapped it, it is cut to nothing, where the kernel lets the server do that
  count
};

inline constexpr const char* lie_names[] = {"none",
                                            "cid_never_sent",
                                            "completed_twice",
                                            "wrong_sqid",
                                            "wrong_phase",
                                            "sq_head_beyond",
                                            "length_beyond",
                                            "any_status",
                                            "late",
                                            "never",
                                            "phase_stuck",
                                            "ring_flooded",
                                            "fatal",
                                            "list_noise",
                                            "identify_noise",
                                            "registers_noise",
                                            "closes_in_message",
                                            "stops_in_message",
                                            "wrong_message_id",
                                            "out_of_order",
                                            "reply_too_long",
                                            "reply_too_short",
                                            "too_many_fds",
                                            "map_fails",
                                            "unmap_fails",
                                            "no_fd",
                                            "foreign_fd",
                                            "short_fd",
                                            "unsealed_fd",
                                            "bar_shrinks"};
static_assert(std::size(lie_names) == static_cast<std::size_t>(lie::count));

/// Which lie a server tells and how often it has: a file that the server and its test map both. Without the file there
/// are none.
class lies {
 public:
  /// The type and code of a completion that nobody is to take for a command's.
  static constexpr unsigned false_type = 7;
  static constexpr unsigned false_code = 0x5a;

  lies() = default;
  lies(const lies&) = delete;
  lies& operator=(const lies&) = delete;
  ~lies() {
    if (board_ != nullptr) ::munmap(board_, sizeof *board_);
  }

  /// @return whether there is such a file, or it was created
  bool open(const std::string& path, bool create) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | (create ? O_CREAT | O_EXCL : 0), 0600);
    if (fd < 0) return false;
    void* at = MAP_FAILED;
    if (::ftruncate(fd, sizeof *board_) == 0)
      at = ::mmap(nullptr, sizeof *board_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    if (at != MAP_FAILED) board_ = static_cast<board*>(at);
    return board_ != nullptr;
  }

  // For the test

  /// From now on it is `which`, at one in `one_in` opportunities on the average.
  void tell(lie which, std::uint32_t one_in) {
    __atomic_store_n(&board_->one_in, one_in, __ATOMIC_RELAXED);
    __atomic_store_n(&board_->telling, static_cast<std::uint32_t>(which), __ATOMIC_RELEASE);
  }
  [[nodiscard]] std::uint64_t told(lie which) const {
    return __atomic_load_n(&board_->told[static_cast<std::size_t>(which)], __ATOMIC_ACQUIRE);
  }
  void seed(std::uint64_t s) { board_->state = s * 2 + 1; }

  // For the server

  /// Whether to tell it here. Counted.
  bool now(lie which) {
    if (board_ == nullptr || __atomic_load_n(&board_->telling, __ATOMIC_ACQUIRE) != static_cast<std::uint32_t>(which) ||
        random() % __atomic_load_n(&board_->one_in, __ATOMIC_RELAXED) != 0)
      return false;
    __atomic_fetch_add(&board_->told[static_cast<std::size_t>(which)], 1, __ATOMIC_ACQ_REL);
    return true;
  }
  /// From the seed on the same numbers, in the one thread of the server.
  std::uint64_t random() {
    std::uint64_t& s = board_->state;
    s ^= s << 13;
    s ^= s >> 7;
    s ^= s << 17;
    return s * 0x2545f4914f6cdd1d >> 16;
  }
  void fill(unsigned char* to, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) to[i] = static_cast<unsigned char>(random());
  }

 private:
  struct board {
    std::uint32_t telling;
    std::uint32_t one_in;
    std::uint64_t state;
    std::uint64_t told[static_cast<std::size_t>(lie::count)];
  };
  board* board_ = nullptr;
};

}  // namespace nkv_test::foreign
