// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/base/endian.hpp>
#include <nkv/target/admin_executor.hpp>
#include <nkv/target/data_pointer_reader.hpp>
#include <nkv/target/memory_store.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <vector>

using namespace nkv;
using target::admin_executor;

namespace {

status generic(std::uint8_t sc) { return {status_code_type::generic, sc}; }
status specific(std::uint8_t sc) { return {status_code_type::command_specific, sc}; }

struct fixture {
  std::shared_ptr<target::subsystem> subsystem = std::make_shared<target::subsystem>();
  std::shared_ptr<target::memory_store> store = std::make_shared<target::memory_store>();
  std::unique_ptr<admin_executor> admin;
  std::vector<std::byte> data = std::vector<std::byte>(4096);
  bool queues_exist = false;

  fixture() {
    for (const std::uint32_t nsid : {1u, 5u}) {
      target::namespace_options o;
      o.nsid = nsid;
      REQUIRE(subsystem->add(std::make_shared<target::kv_namespace>(o, store)).ok());
    }
    target::controller_identity id;
    id.cntlid = 3;
    admin = std::make_unique<admin_executor>(subsystem, id, 64);
  }
  target::reply run(std::uint32_t opc, std::uint32_t cdw10 = 0, std::uint32_t cdw11 = 0, std::uint32_t nsid = 0,
                    std::uint32_t cdw12 = 0, std::uint32_t cdw14 = 0) {
    sqe c;
    c.dw[0] = opc;
    c.dw[1] = nsid;
    c.dw[10] = cdw10;
    c.dw[11] = cdw11;
    c.dw[12] = cdw12;
    c.dw[14] = cdw14;
    target::staged_data d({data.data(), data.size()});
    target::reply r;
    REQUIRE(admin->execute(c, d, queues_exist, r) == admin_executor::outcome::done);
    return r;
  }
  status identify(std::uint32_t cns, std::uint32_t nsid = 0, std::uint32_t csi = 0) {
    std::fill(data.begin(), data.end(), std::byte{0xee});
    return run(0x06, cns, csi << 24, nsid).status;
  }
  bool zero() const {
    for (const std::byte b : data)
      if (b != std::byte{0}) return false;
    return true;
  }
  std::uint32_t u32(std::size_t at) const { return load_le<std::uint32_t>(data.data() + at); }
};

}  // namespace

TEST_SUITE("target/admin_executor") {
  TEST_CASE("Identify: what each CNS says") {
    fixture f;
    CHECK(f.identify(0x01).ok());
    CHECK(load_le<std::uint16_t>(f.data.data() + 78) == 3);
    CHECK(f.identify(0x02).ok());
    CHECK(f.u32(0) == 1);
    CHECK(f.u32(4) == 5);
    CHECK(f.u32(8) == 0);
    CHECK(f.identify(0x02, 1).ok());
    CHECK(f.u32(0) == 5);
    CHECK(f.identify(0x02, 0xfffffffd).ok());
    CHECK(f.zero());
    CHECK(f.identify(0x02, 0xfffffffe) == generic(0x0b));
    CHECK(f.identify(0x02, 0xffffffff) == generic(0x0b));
    CHECK(f.identify(0x03, 5).ok());
    CHECK(csi_of_namespace_descriptors(f.data.data()) == 1);
    CHECK(f.identify(0x05, 5, 1).ok());
    CHECK(load_le<std::uint16_t>(f.data.data() + 72) == 16);
    CHECK(f.identify(0x05, 5, 0).ok());
    CHECK(f.zero());
    CHECK(f.identify(0x06, 0, 0).ok());
    CHECK(f.zero());
    CHECK(f.identify(0x06, 0, 1).ok());
    CHECK(f.u32(0) == 0x10000);
    CHECK(f.identify(0x07, 0, 1).ok());
    CHECK(f.u32(4) == 5);
    CHECK(f.identify(0x07, 0, 0).ok());
    CHECK(f.zero());
    CHECK(f.identify(0x08, 1).ok());
    CHECK((static_cast<unsigned>(f.data[14]) & 1) == 1);
    CHECK(f.identify(0x1c).ok());
    CHECK(f.u32(0) == 2);
    CHECK(f.u32(8) == 0);
    CHECK(f.identify(0x00, 1).ok());
    CHECK(load_le<std::uint64_t>(f.data.data()) == 128u << 20);
  }

  TEST_CASE("Identify: inactive and invalid nsids, other command sets, other CNS values") {
    fixture f;
    for (const std::uint32_t cns : {0x00u, 0x05u, 0x08u}) {
      CHECK(f.identify(cns, 2, 1).ok());
      CHECK(f.zero());
    }
    CHECK(f.identify(0x03, 2) == generic(0x0b));
    for (const std::uint32_t cns : {0x00u, 0x03u, 0x05u, 0x08u})
      for (const std::uint32_t nsid : {0u, 1025u, 0xffffffffu}) CHECK(f.identify(cns, nsid, 1) == generic(0x0b));
    for (const std::uint32_t cns : {0x05u, 0x06u, 0x07u})
      for (const std::uint32_t csi : {2u, 3u, 255u}) CHECK(f.identify(cns, 1, csi) == generic(0x02));
    for (const std::uint32_t cns : {0x04u, 0x09u, 0x10u, 0x1bu, 0x1du, 0xffu})
      CHECK(f.identify(cns, 1) == generic(0x02));
  }

  TEST_CASE("Identify: room for less than the page -> the data's status, nothing written") {
    fixture f;
    f.data.resize(4095);
    CHECK(f.identify(0x01) == generic(0x0f));
    for (const std::byte b : f.data) CHECK(b == std::byte{0xee});
  }

  TEST_CASE("features: set, get, default, supported; not saveable; unknown ones") {
    fixture f;
    for (const std::uint32_t fid : {0x01u, 0x04u, 0x08u, 0x0bu, 0x0fu}) {
      const std::uint32_t fallback = f.run(0x0a, fid | 1 << 8).dw0;
      CHECK(f.run(0x0a, fid).dw0 == fallback);
      CHECK(f.run(0x09, fid, 0x1234).status.ok());
      CHECK(f.run(0x0a, fid).dw0 == 0x1234);
      CHECK(f.run(0x0a, fid | 1 << 8).dw0 == fallback);
      CHECK(f.run(0x0a, fid | 2 << 8).dw0 == fallback);
      CHECK(f.run(0x0a, fid | 3 << 8).dw0 == 4);
      CHECK(f.run(0x09, fid | 0x80000000u, 1).status == specific(0x0d));
      CHECK(f.run(0x0a, fid | 4 << 8).status == generic(0x02));
    }
    CHECK(f.admin->keep_alive_ms() == 0x1234);
    CHECK(f.admin->wanted_notices() == 0x1234);
    for (const std::uint32_t fid : {0x00u, 0x03u, 0x05u, 0x06u, 0x0cu, 0x21u, 0x80u, 0xffu}) {
      CHECK(f.run(0x09, fid).status == generic(0x02));
      CHECK(f.run(0x0a, fid).status == generic(0x02));
    }
    CHECK(f.run(0x09, 0x02, 0).status.ok());
    CHECK(f.run(0x09, 0x02, 1).status == generic(0x02));
    CHECK(f.run(0x09, 0x19, 0).status.ok());
    CHECK(f.run(0x09, 0x19, 1).status == specific(0x2b));
    f.admin->reset();
    CHECK(f.admin->keep_alive_ms() == 0);
  }

  TEST_CASE("number of queues: what there is, however many are asked for; not once a queue exists") {
    fixture f;
    CHECK(f.run(0x09, 0x07, 0).dw0 == 0x3f003f);
    CHECK(f.run(0x09, 0x07, 0xfffe'fffe).dw0 == 0x3f003f);
    CHECK(f.run(0x0a, 0x07).dw0 == 0x3f003f);
    CHECK(f.run(0x09, 0x07, 0xffff).status == generic(0x02));
    CHECK(f.run(0x09, 0x07, 0xffff0000u).status == generic(0x02));
    f.queues_exist = true;
    CHECK(f.run(0x09, 0x07, 1).status == generic(0x0c));
    CHECK(f.run(0x0a, 0x07).status.ok());
  }

  TEST_CASE("host behaviour: 512 bytes in, and out again") {
    fixture f;
    f.data[0] = std::byte{7};
    f.data[511] = std::byte{9};
    CHECK(f.run(0x09, 0x16).status.ok());
    std::fill(f.data.begin(), f.data.end(), std::byte{0});
    CHECK(f.run(0x0a, 0x16).status.ok());
    CHECK(f.data[0] == std::byte{7});
    CHECK(f.data[511] == std::byte{9});
  }

  TEST_CASE("EDNEK: of one namespace, or of all") {
    fixture f;
    CHECK(!f.admin->delete_reports_absent(1));
    CHECK(f.run(0x09, 0x20, 1, 5).status.ok());
    CHECK(!f.admin->delete_reports_absent(1));
    CHECK(f.admin->delete_reports_absent(5));
    CHECK(f.run(0x0a, 0x20, 0, 5).dw0 == 1);
    CHECK(f.run(0x0a, 0x20, 0, 1).dw0 == 0);
    CHECK(f.run(0x0a, 0x20 | 1 << 8, 0, 5).dw0 == 0);
    CHECK(f.run(0x0a, 0x20 | 3 << 8, 0, 5).dw0 == 6);
    CHECK(f.run(0x09, 0x20, 1, 0xffffffff).status.ok());
    CHECK(f.admin->delete_reports_absent(1));
    CHECK(f.run(0x09, 0x20, 0, 1).status.ok());
    CHECK(!f.admin->delete_reports_absent(1));
    for (const std::uint32_t nsid : {0u, 2u}) {
      CHECK(f.run(0x09, 0x20, 1, nsid).status == generic(0x0b));
      CHECK(f.run(0x0a, 0x20, 0, nsid).status == generic(0x0b));
    }
    CHECK(f.run(0x0a, 0x20, 0, 0xffffffff).status == generic(0x0b));
    f.admin->reset();
    CHECK(!f.admin->delete_reports_absent(5));
  }

  TEST_CASE("log pages: each there, in parts as well; others -> 1/09h") {
    fixture f;
    const auto log = [&](std::uint32_t lid, std::uint32_t bytes, std::uint32_t offset = 0, std::uint32_t csi = 0) {
      std::fill(f.data.begin(), f.data.end(), std::byte{0xee});
      return f.run(0x02, lid | (bytes / 4 - 1) << 16, 0, 0xffffffff, offset, csi << 24).status;
    };
    for (std::uint32_t lid = 0; lid < 256; ++lid) {
      CHECK(log(lid, 512).ok() == (lid <= 5));
      if (lid > 5) CHECK(log(lid, 512) == specific(0x09));
    }
    CHECK(log(0, 1024).ok());
    for (std::size_t lid = 0; lid < 256; ++lid) CHECK(f.u32(4 * lid) == (lid <= 5 ? 1 : 0));
    CHECK(log(2, 512).ok());
    CHECK(load_le<std::uint16_t>(f.data.data() + 1) == 300);
    CHECK(log(3, 512).ok());
    CHECK(std::memcmp(f.data.data() + 8, "0.1.0   ", 8) == 0);
    CHECK(log(5, 4096, 0, 1).ok());
    CHECK(f.u32(4 * 0x06) == 1);
    CHECK(f.u32(4 * 0x7c) == 0);
    CHECK(f.u32(1024 + 4 * 0x01) == 3);
    CHECK(f.u32(1024 + 4 * 0x02) == 1);
    CHECK(f.u32(1024 + 4 * 0x83) == 0);
    CHECK(log(5, 4096, 0, 0).ok());
    CHECK(f.u32(1024 + 4 * 0x01) == 0);
    CHECK(log(5, 4096, 0, 2) == generic(0x02));
    CHECK(log(5, 8, 1024 + 4, 1).ok());
    CHECK(f.u32(0) == 3);
    CHECK(f.u32(4) == 1);
    CHECK(f.u32(8) == 0xeeeeeeee);
    CHECK(log(5, 4096, 4092, 1).ok());  // to the end of the page and not beyond
    CHECK(f.u32(4) == 0xeeeeeeee);
    CHECK(log(5, 4, 4096, 1).ok());
    CHECK(f.u32(0) == 0xeeeeeeee);
    CHECK(log(5, 4, 4100, 1) == generic(0x02));
    CHECK(log(5, 4, 2, 1) == generic(0x02));
  }

  TEST_CASE("error log: newest first, as many as there is room for") {
    fixture f;
    for (std::uint16_t i = 1; i <= 20; ++i) f.admin->note_error(i, 0xffff, generic(0x02));
    CHECK(f.run(0x02, 0x01 | 255 << 16).status.ok());
    for (std::size_t i = 0; i < 16; ++i) {
      CHECK(load_le<std::uint64_t>(f.data.data() + 64 * i) == 20 - i);
      CHECK(load_le<std::uint16_t>(f.data.data() + 64 * i + 8) == 20 - i);
      CHECK(load_le<std::uint16_t>(f.data.data() + 64 * i + 12) == 4);
    }
  }

  TEST_CASE("changed namespaces: those added, removed and replaced; read once, unless retained") {
    fixture f;
    CHECK(!f.admin->look_again());
    target::namespace_options o;
    o.nsid = 9;
    REQUIRE(f.subsystem->add(std::make_shared<target::kv_namespace>(o, f.store)).ok());
    REQUIRE(f.subsystem->remove(5).ok());
    REQUIRE(f.subsystem->remove(1).ok());
    o.nsid = 1;
    REQUIRE(f.subsystem->add(std::make_shared<target::kv_namespace>(o, f.store)).ok());
    CHECK(f.admin->find(9) == nullptr);
    CHECK(f.admin->look_again());
    CHECK(f.admin->find(9) != nullptr);
    CHECK(f.admin->find(5) == nullptr);
    for (const std::uint32_t retain : {0x8000u, 0u}) {
      CHECK(f.run(0x02, 0x04 | retain | 1023 << 16).status.ok());
      CHECK(f.u32(0) == 1);
      CHECK(f.u32(4) == 5);
      CHECK(f.u32(8) == 9);
      CHECK(f.u32(12) == 0);
    }
    CHECK(f.run(0x02, 0x04 | 1023 << 16).status.ok());
    CHECK(f.u32(0) == 0);
  }

  TEST_CASE("others: Keep Alive is success, an AER is held, what has to do with queues is not known here") {
    fixture f;
    CHECK(f.run(0x18).status.ok());
    target::staged_data none({});
    target::reply r;
    sqe c;
    c.dw[0] = 0x0c;
    for (int i = 0; i < 4; ++i) CHECK(f.admin->execute(c, none, false, r) == admin_executor::outcome::held);
    CHECK(f.admin->execute(c, none, false, r) == admin_executor::outcome::done);
    CHECK(r.status == specific(0x05));
    for (const std::uint32_t opc : {0x00u, 0x01u, 0x04u, 0x05u, 0x08u, 0x7cu, 0xffu}) {
      c.dw[0] = opc;
      CHECK(f.admin->execute(c, none, false, r) == admin_executor::outcome::unknown);
    }
  }
}
