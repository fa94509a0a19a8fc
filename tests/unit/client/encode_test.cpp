// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/client/encode.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

using namespace nkv;

namespace {

/// Scratch as the controller sees it at other addresses than this code does.
struct scratch_rig {
  alignas(4096) std::byte head[scratch::head_bytes] = {};
  alignas(4096) std::byte list[4096] = {};
  scratch memory{head, 0x50000, {list, 0x60000, 4096}};
  [[nodiscard]] sgl_descriptor block(std::size_t i) const {
    sgl_descriptor d;
    std::memcpy(static_cast<void*>(&d), list + 16 * i, 16);
    return d;
  }
};

namespace_profile profile_of(key_encoding encoding) {
  namespace_profile p;
  p.nsid = 9;
  p.quirks = quirks::of(encoding);
  p.limits.sgl = true;
  p.limits.max_key_bytes = encoding == key_encoding::payload_head ? 255 : 16;
  return p;
}

sqe encoded(const operation& op, const namespace_profile& p, const scratch_rig& rig) {
  REQUIRE(validate(op, p, rig.memory.list.length_bytes).ok());
  const result<sqe> c = encode(op, p, rig.memory);
  REQUIRE(c.has_value());
  return *c;
}

}  // namespace

TEST_SUITE("client/encode") {
  TEST_CASE("Store, inline_cdw: the value in one block of the command, the key in the dwords, no scratch touched") {
    scratch_rig rig;
    const sqe c =
        encoded(operation::store(key_view::from_text("abc"), {0x123456789, 77, 0}, {.must_exist = true, .ttl_s = 9}),
                profile_of(key_encoding::inline_cdw), rig);
    CHECK(c.opc() == 0x01);
    CHECK(c.nsid() == 9);
    CHECK(c.cdw(2) == 0x636261);
    CHECK(c.cdw(10) == 77);
    CHECK(c.cdw(11) == (3u | (0x09u << 8)));
    CHECK(c.cdw(12) == 9);
    CHECK(c.dptr().sgl1().address == 0x123456789);
    CHECK(rig.head[0] == std::byte{0});
    CHECK(rig.block(0).length_bytes == 0);
  }

  TEST_CASE("Store and Retrieve, payload_head: the head in scratch, the value where it is, both under one segment") {
    scratch_rig rig;
    const std::string name(40, 'q');
    const key_view k = key_view::from_text(name);
    for (const bool store : {true, false}) {
      const value_ref v{0x7001, 4097, 0};
      const sqe c = encoded(store ? operation::store(k, v) : operation::retrieve(k, v),
                            profile_of(key_encoding::payload_head), rig);
      CHECK(c.data_format() == psdt::sgl);
      CHECK(c.dptr().sgl1().type() == sgl_type::last_segment);
      CHECK(c.dptr().sgl1().address == 0x60000);
      CHECK(c.dptr().sgl1().length_bytes == 32);
      CHECK((rig.block(0).address == 0x50000 && rig.block(0).length_bytes == 42));
      CHECK((rig.block(1).address == 0x7001 && rig.block(1).length_bytes == 4097));
      CHECK((rig.head[0] == std::byte{40} && rig.head[1] == std::byte{0} && rig.head[41] == std::byte{'q'}));
      CHECK(c.cdw(10) == 4097);
      CHECK((c.cdw(2) == 0 && c.cdw(11) == 0));
    }
  }

  TEST_CASE("Exist and Delete: no data pointer in inline_cdw, key both ways in payload_head") {
    scratch_rig rig;
    const key_view k = key_view::from_text("k");
    for (const bool exist : {true, false}) {
      const operation op = exist ? operation::exist(k) : operation::remove(k);
      const sqe a = encoded(op, profile_of(key_encoding::inline_cdw), rig);
      CHECK((a.dptr().low == 0 && a.dptr().high == 0 && a.data_format() == psdt::prp));
      const sqe b = encoded(op, profile_of(key_encoding::payload_head), rig);
      CHECK((b.cdw(2) == 'k' && b.cdw(11) == 1));
      CHECK((b.dptr().sgl1().address == 0x50000 && b.dptr().sgl1().length_bytes == 3));
    }
  }

  TEST_CASE("Exist of a long key that Exist does not reach: a Retrieve of one byte into the landing place") {
    scratch_rig rig;
    const std::string name(17, 'z');
    const sqe c = encoded(operation::exist(key_view::from_text(name)), profile_of(key_encoding::payload_head), rig);
    CHECK(c.opc() == 0x02);
    CHECK(c.cdw(10) == 1);
    CHECK((rig.block(1).address == 0x50000 + scratch::landing_offset && rig.block(1).length_bytes == 1));
  }

  TEST_CASE("List: the buffer's first bytes are none of the last page's") {
    scratch_rig rig;
    std::vector<std::byte> page(64, std::byte{0xff});
    const value_ref v{0x8000, 64, 0};
    const sqe a = encoded(operation::list({}, v, page.data()), profile_of(key_encoding::inline_cdw), rig);
    CHECK((a.cdw(10) == 64 && a.cdw(11) == 0));
    CHECK((page[0] == std::byte{0} && page[3] == std::byte{0} && page[4] == std::byte{0xff}));
    page.assign(64, std::byte{0xff});
    static_cast<void>(encoded(operation::list(key_view::from_text("st"), v, page.data()),
                              profile_of(key_encoding::payload_head), rig));
    CHECK(
        (page[0] == std::byte{2} && page[1] == std::byte{0} && page[2] == std::byte{'s'} && page[3] == std::byte{'t'}));
  }

  TEST_CASE("odd addresses: PRP where the controller asks for dwords, SGL where the encoding knows better") {
    scratch_rig rig;
    namespace_profile p = profile_of(key_encoding::inline_cdw);
    p.limits.sgl_dword_granular = true;
    CHECK(encoded(operation::store(key_view::from_text("k"), {0x1001, 8, 0}), p, rig).data_format() == psdt::prp);
    CHECK(encoded(operation::store(key_view::from_text("k"), {0x1000, 8, 0}), p, rig).data_format() == psdt::sgl);
    namespace_profile h = profile_of(key_encoding::payload_head);
    h.limits.sgl_dword_granular = true;
    CHECK(encoded(operation::store(key_view::from_text("k"), {0x1001, 7, 0}), h, rig).data_format() == psdt::sgl);
  }

  TEST_CASE("validate: what this controller's commands cannot carry") {
    const key_view k = key_view::from_text("k");
    namespace_profile p = profile_of(key_encoding::inline_cdw);
    p.limits.sgl = false;
    CHECK(validate(operation::store(k, {0x1000, 4096 * 3, 0}), p, 8) == status(client_status::value_too_large));
    CHECK(validate(operation::store(k, {0x1000, 4096 * 3, 0}), p, 64).ok());
    p.limits.max_transfer_bytes = 8192;
    CHECK(validate(operation::store(k, {0x1000, 8193, 0}), p, 64) == status(client_status::value_too_large));
    CHECK(validate(operation::retrieve(k, {0x1000, 8193, 0}), p, 64) == status(client_status::value_too_large));
    namespace_profile h = profile_of(key_encoding::payload_head);
    h.limits.max_transfer_bytes = 100;
    CHECK(validate(operation::store(k, {0x1000, 97, 0}), h, 64).ok());
    CHECK(validate(operation::store(k, {0x1000, 98, 0}), h, 64) == status(client_status::value_too_large));
    h = profile_of(key_encoding::payload_head);
    h.limits.sgl = false;
    CHECK(validate(operation::store(k, {0x1000, 9, 0}), h, 64) == status(client_status::unsupported));
    CHECK(validate(operation::exist(k), h, 64).ok());
    h.limits.sgl = true;
    h.limits.max_sgl_descriptors = 1;
    CHECK(validate(operation::store(k, {0x1000, 9, 0}), h, 64) == status(client_status::unsupported));
    CHECK(validate(operation::store(k, {}), h, 64).ok());
    CHECK(validate(operation::store(k, {0x1000, 9, 0}), profile_of(key_encoding::payload_head), 16) ==
          status(client_status::value_too_large));
    for (const key_view bad : {key_view{}, key_view::from_text("17 bytes are more")})
      CHECK(validate(operation::exist(bad), profile_of(key_encoding::inline_cdw), 64) ==
            status(client_status::bad_argument));
    const value_ref some{0x1000, 9, 0};
    for (const store_options& o :
         {store_options{.must_exist = true, .must_not_exist = true}, store_options{.touch = true}})
      CHECK(validate(operation::store(k, some, o), profile_of(key_encoding::inline_cdw), 64) ==
            status(client_status::bad_argument));
    // With the head behind it this length would come to 1.
    CHECK(validate(operation::retrieve(k, {0x1000, ~std::uint64_t{0} - 1, 0}), profile_of(key_encoding::payload_head),
                   64) == status(client_status::value_too_large));
    operation odd;
    odd.opcode = kv_opcode::flush;
    odd.key = k;
    CHECK(validate(odd, profile_of(key_encoding::inline_cdw), 64) == status(client_status::bad_argument));
  }

  TEST_CASE("validate: an Execute's payload and result lie within its buffer, a List's page holds its head") {
    const key_view k = key_view::from_text("key");
    std::byte local[64];
    const value_ref buffer{0x1000, 64, 0};
    namespace_profile p = profile_of(key_encoding::payload_head);
    p.quirks.execute_result_after_head = true;
    CHECK(validate(operation::execute(1, k, buffer, local, 59, 59), p, 64).ok());
    CHECK(validate(operation::execute(1, k, buffer, local, 60, 0), p, 64) == status(client_status::bad_argument));
    CHECK(validate(operation::execute(1, k, buffer, local, 0, 60), p, 64) == status(client_status::bad_argument));
    CHECK(validate(operation::execute(1, k, buffer, nullptr, 0, 0), p, 64) == status(client_status::bad_argument));
    CHECK(validate(operation::execute(1, {}, buffer, local, 0, 0), p, 64) == status(client_status::bad_argument));
    CHECK(validate(operation::list(k, {0x1000, 5, 0}, local), p, 64).ok());
    CHECK(validate(operation::list(k, {0x1000, 4, 0}, local), p, 64) == status(client_status::bad_argument));
    CHECK(validate(operation::list(k, {0x1000, 3, 0}, local), profile_of(key_encoding::inline_cdw), 64) ==
          status(client_status::bad_argument));
  }
}
