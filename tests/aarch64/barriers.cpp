// SPDX-License-Identifier: BSD-3-Clause
//
// What barriers.py compiles and looks at: each order of two accesses that the library asks for, in a function of its
// own. Nothing here runs.
#include <nkv/base/atomic.hpp>
#include <nkv/host/doorbell.hpp>
#include <nkv/queue/completion_queue.hpp>
#include <nkv/queue/doorbell.hpp>
#include <nkv/queue/sharing.hpp>
#include <nkv/queue/submission_queue.hpp>
#include <nkv/spec/cqe.hpp>
#include <nkv/spec/sqe.hpp>

#include <cstdint>

using nkv::native_atomics;
using nkv::system_scope;
using word = std::uint32_t;

extern "C" {

void store_release(word* data, word* flag, word value) {
  *data = value;
  native_atomics::store_release(flag, value, system_scope);
}

word load_acquire(const word* flag, const word* data) {
  const word first = native_atomics::load_acquire(flag, system_scope);
  return first + *data;
}

word exchange(word* data, word* flag, word value) {
  *data = value;
  const word before = native_atomics::exchange(flag, value, system_scope);
  return before + *data;
}

word fetch_add(word* data, word* flag, word value) {
  *data = value;
  const word before = native_atomics::fetch_add(flag, value, system_scope);
  return before + *data;
}

word fetch_or(word* data, word* flag, word value) {
  *data = value;
  const word before = native_atomics::fetch_or(flag, value, system_scope);
  return before + *data;
}

word fetch_and(word* data, word* flag, word value) {
  *data = value;
  const word before = native_atomics::fetch_and(flag, value, system_scope);
  return before + *data;
}

word compare_exchange(word* data, word* flag, word value) {
  *data = value;
  word expected = 0;
  native_atomics::compare_exchange(flag, expected, value, system_scope);
  return expected + *data;
}

void mapped_sq_tail(word* data, const nkv::mapped_doorbell<>& doorbell, word value) {
  *data = value;
  doorbell.ring_sq_tail(value);
}

word mapped_cq_head(const word* data, const nkv::mapped_doorbell<>& doorbell, word value) {
  const word read = *data;
  doorbell.ring_cq_head(value);
  return read;
}

void host_sq_tail(word* data, const nkv::host::host_doorbell& doorbell, word value) {
  *data = value;
  doorbell.ring_sq_tail(value);
}

word host_cq_head(const word* data, const nkv::host::host_doorbell& doorbell, word value) {
  const word read = *data;
  doorbell.ring_cq_head(value);
  return read;
}

void submit_exclusive(const nkv::submission_queue<nkv::exclusive>& queue, const nkv::mapped_doorbell<>& doorbell,
                      const nkv::sqe& command) {
  queue.post(command, 1, doorbell);
  queue.ring(doorbell);
}

void mark_shared(const nkv::submission_queue<nkv::shared>& queue, const nkv::mapped_doorbell<>& doorbell,
                 const nkv::sqe& command, word position) {
  queue.write_at(position, command, 1);
  queue.publish({position, false}, 1, doorbell);
}

void lead_shared(const nkv::submission_queue<nkv::shared>& queue, const nkv::mapped_doorbell<>& doorbell,
                 word position) {
  queue.publish({position, true}, 1, doorbell);
}

bool next_completion(const nkv::completion_queue<nkv::exclusive>& queue, const nkv::mapped_doorbell<>& doorbell,
                     nkv::cqe& entry) {
  return queue.next(doorbell, entry);
}

}  // extern "C"
