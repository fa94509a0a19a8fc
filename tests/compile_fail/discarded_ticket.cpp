// SPDX-License-Identifier: BSD-3-Clause
// A ticket that nobody holds names a command whose buffer nobody can know to be free.
// expect-error: unused-result|nodiscard
#include <nkv/nkv.hpp>

void caller(const nkv::namespace_ref<nkv::queue_pair_ref<nkv::exclusive, nkv::mapped_doorbell<>>>& ns,
            nkv::key_view key) {
#ifdef FAIL
  ns.submit(nkv::operation::exist(key));
#else
  static_cast<void>(ns.submit(nkv::operation::exist(key)).has_value());
#endif
}
