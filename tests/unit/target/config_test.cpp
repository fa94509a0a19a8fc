// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/config.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace target = nkv::target;

namespace {

std::string error_of(const std::string& text) {
  const target::config_parsed p = target::parse_config(text);
  CHECK(p.options.has_value() == p.error.what.empty());
  return p.options ? "none" : p.error.text();
}

target::target_options options_of(const std::string& text) {
  const target::config_parsed p = target::parse_config(text);
  INFO(p.error.text());
  REQUIRE(p.options);
  return *p.options;
}

std::string in_subsystem(const std::string& fields) { return "{\"subsystems\": [{" + fields + "}]}"; }
std::string in_namespace(const std::string& fields) { return in_subsystem("\"namespaces\": [{" + fields + "}]"); }
std::string in_listener(const std::string& fields) {
  return "{\"listeners\": [{\"endpoint\": \"vfio-user:/run/x\"" + (fields.empty() ? "" : ", " + fields) + "}]}";
}

}  // namespace

TEST_SUITE("target/config") {
  TEST_CASE("an empty object -> the default subsystem with nsid 1 in memory") {
    const target::target_options o = options_of("{}");
    REQUIRE(o.subsystems.size() == 1);
    CHECK(o.subsystems[0].options.subnqn == "nqn.2026-11.io.nkv:default");
    REQUIRE(o.subsystems[0].namespaces.size() == 1);
    CHECK(o.subsystems[0].namespaces[0].options.nsid == 1);
    CHECK(o.subsystems[0].namespaces[0].options.key_encoding == nkv::key_encoding::inline_cdw);
    CHECK(o.listeners.empty());
    CHECK(o.poller.spin_ns == 200'000);
  }

  TEST_CASE("every field -> where it belongs") {
    const target::target_options o = options_of(R"({
      "poller": {"spin_us": 50, "foreign_poll_us": 300},
      "subsystems": [
        {"subnqn": "nqn.a", "serial": "S1", "model": "M1", "max_controllers": 3, "max_queue_entries": 128,
         "max_io_queue_pairs": 5, "max_transfer_bytes": "1MiB", "sgl": true,
         "namespaces": [
           {"nsid": 7, "name": "seven", "nguid": "000102030405060708090a0b0c0d0e0f", "key_encoding": "payload_head",
            "read_only": true, "max_key_bytes": 200, "max_value_bytes": "64MiB", "max_keys": 1000,
            "optimal_granularity_bytes": 8192, "reads_head": false,
            "store": {"type": "memory", "capacity_bytes": "1GiB", "kept_block_bytes": 4096}},
           {"nsid": 2}]},
        {"subnqn": "nqn.b", "sgl": false, "namespaces": []}],
      "listeners": [
        {"endpoint": "vfio-user:/run/a", "subnqn": "nqn.b", "socket_mode": "0660", "max_clients": 9,
         "map_doorbells": false, "accept_unsealed": true, "accept_dma_buf": true},
        {"endpoint": "vfio-user:/run/b", "subnqn": "nqn.a"}]
    })");
    CHECK(o.poller.spin_ns == 50'000);
    CHECK(o.poller.foreign_poll_us == 300);
    REQUIRE(o.subsystems.size() == 2);
    const target::configured_subsystem& a = o.subsystems[0];
    CHECK(a.options.subnqn == "nqn.a");
    CHECK(a.options.serial == "S1");
    CHECK(a.options.model == "M1");
    CHECK(a.options.max_controllers == 3);
    CHECK(a.controller.max_queue_entries == 128);
    CHECK(a.controller.max_io_queue_pairs == 5);
    CHECK(a.controller.max_transfer_bytes == 1u << 20);
    CHECK(a.controller.sgl);
    CHECK_FALSE(o.subsystems[1].controller.sgl);
    REQUIRE(a.namespaces.size() == 2);
    const target::namespace_options& n = a.namespaces[0].options;
    CHECK(n.nsid == 7);
    CHECK(n.name == "seven");
    for (std::uint8_t i = 0; i < 16; ++i) CHECK(n.nguid[i] == i);
    CHECK(n.key_encoding == nkv::key_encoding::payload_head);
    CHECK(n.read_only);
    CHECK(n.max_key_bytes == 200);
    CHECK(n.max_value_bytes == std::uint64_t{64} << 20);
    CHECK(n.max_keys == 1000);
    CHECK(n.optimal_granularity_bytes == 8192);
    CHECK_FALSE(n.reads_head);
    CHECK(a.namespaces[0].store.capacity_bytes == std::uint64_t{1} << 30);
    CHECK(a.namespaces[0].store.kept_block_bytes == 4096);
    CHECK(a.namespaces[0].store.max_value_bytes == std::uint64_t{64} << 20);
    CHECK(a.namespaces[1].options.nsid == 2);
    CHECK(o.subsystems[1].namespaces.empty());
    REQUIRE(o.listeners.size() == 2);
    const target::listener_options& l = o.listeners[0];
    CHECK(l.endpoint == "vfio-user:/run/a");
    CHECK(l.subnqn == "nqn.b");
    CHECK(l.socket_mode == 0660);
    CHECK(l.max_clients == 9);
    CHECK_FALSE(l.map_doorbells);
    CHECK(l.accept_unsealed);
    CHECK(l.accept_dma_buf);
    CHECK(o.listeners[1].socket_mode == 0600);
  }

  TEST_CASE("a listener without a subsystem -> the only one") {
    CHECK(options_of(in_listener("")).listeners[0].subnqn == "nqn.2026-11.io.nkv:default");
    CHECK(error_of(
              R"({"subsystems": [{"subnqn": "a"}, {"subnqn": "b"}], "listeners": [{"endpoint": "vfio-user:/x"}]})") ==
          "listeners[0].subnqn: needed where there are several subsystems");
    CHECK(error_of(in_listener("\"subnqn\": \"nqn.c\"")) == "listeners[0].subnqn: there is no subsystem \"nqn.c\"");
  }

  TEST_CASE("each field of the wrong kind or out of its range -> the field is named") {
    struct wrong {
      std::string text;
      std::string error;
    };
    const std::string ns = "subsystems[0].namespaces[0].";
    const std::vector<wrong> cases = {
        {"[]", "expected an object, got []"},
        {R"({"poler": {}})", "poler: unknown; known are poller, subsystems, execute, listeners"},
        {R"({"poller": 1})", "poller: expected an object, got 1"},
        {R"({"poller": {"spin_us": -1}})", "poller.spin_us: expected a number from 0 to 1000000, got -1"},
        {R"({"poller": {"foreign_poll_us": 0}})", "poller.foreign_poll_us: expected a number from 1 to 1000000, got 0"},
        {R"({"poller": {"x": 0}})", "poller.x: unknown; known are spin_us, foreign_poll_us"},
        {R"({"subsystems": {}})", "subsystems: expected an array of at most 64, got {}"},
        {R"({"subsystems": []})", "subsystems: expected at least one"},
        {R"({"subsystems": [3]})", "subsystems[0]: expected an object, got 3"},
        {in_subsystem(R"("subnqn": "")"),
         "subsystems[0].subnqn: expected 1 to 223 printable ASCII characters, got \"\""},
        {in_subsystem(R"("serial": "123456789012345678901")"),
         "subsystems[0].serial: expected 1 to 20 printable ASCII characters, got \"123456789012345678901\""},
        {in_subsystem(R"("model": 5)"), "subsystems[0].model: expected 1 to 40 printable ASCII characters, got 5"},
        {in_subsystem(R"("max_controllers": 0)"),
         "subsystems[0].max_controllers: expected a number from 1 to 65519, got 0"},
        {in_subsystem(R"("max_queue_entries": 1)"),
         "subsystems[0].max_queue_entries: expected a number from 2 to 65536, got 1"},
        {in_subsystem(R"("max_io_queue_pairs": 65)"),
         "subsystems[0].max_io_queue_pairs: expected a number from 1 to 64, got 65"},
        {in_subsystem(R"("max_transfer_bytes": "4KiB")"),
         "subsystems[0].max_transfer_bytes: expected 0 or a power of two of at least 8 KiB, got 4096"},
        {in_subsystem(R"("max_transfer_bytes": 12288)"),
         "subsystems[0].max_transfer_bytes: expected 0 or a power of two of at least 8 KiB, got 12288"},
        {in_subsystem(R"("namespaces": [1])"), "subsystems[0].namespaces[0]: expected an object, got 1"},
        {in_namespace(R"("nsid": 0)"), ns + "nsid: expected a number from 1 to 1024, got 0"},
        {in_namespace(R"("nsid": 1025)"), ns + "nsid: expected a number from 1 to 1024, got 1025"},
        {in_namespace(R"("name": "")"), ns + "name: expected 1 to 255 printable ASCII characters, got \"\""},
        {in_namespace(R"("nguid": "00")"), ns + "nguid: expected 32 to 32 printable ASCII characters, got \"00\""},
        {in_namespace(R"("nguid": "0001020304050607g8090a0b0c0d0e0f")"),
         ns + "nguid: expected 32 hexadecimal digits, got \"0001020304050607g8090a0b0c0d0e0f\""},
        {in_namespace(R"("key_encoding": "cdw")"),
         ns + "key_encoding: expected \"inline_cdw\" or \"payload_head\", got \"cdw\""},
        {in_namespace(R"("read_only": 1)"), ns + "read_only: expected true or false, got 1"},
        {in_namespace(R"("max_key_bytes": 17)"), ns + "max_key_bytes: expected a number from 1 to 16, got 17"},
        {in_namespace(R"("key_encoding": "payload_head", "max_key_bytes": 256)"),
         ns + "max_key_bytes: expected a number from 1 to 255, got 256"},
        {in_namespace(R"("max_value_bytes": "abc")"), ns + "max_value_bytes: expected a size, got \"abc\""},
        {in_namespace(R"("max_value_bytes": "129MiB")"),
         ns + "max_value_bytes: expected a size from 1 to 134217728 bytes, got \"129MiB\""},
        {in_subsystem(R"("sgl": 0)"), "subsystems[0].sgl: expected true or false, got 0"},
        {in_subsystem(R"("sgl": false, "namespaces": [{"nsid": 1}, {"nsid": 3, "key_encoding": "payload_head"}])"),
         "subsystems[0].sgl: false, and keys of nsid 3 come in payload heads, which need SGLs"},
        {in_namespace(R"("max_keys": 4294967296)"),
         ns + "max_keys: expected a number from 0 to 4294967295, got 4294967296"},
        {in_namespace(R"("optimal_granularity_bytes": "x")"),
         ns + "optimal_granularity_bytes: expected a number from 0 to 4294967295, got \"x\""},
        {in_namespace(R"("reads_head": true)"), ns + "reads_head: only with key_encoding \"payload_head\""},
        {in_namespace(R"("key_encoding": "payload_head", "reads_head": 0)"),
         ns + "reads_head: expected true or false, got 0"},
        {in_namespace(R"("max_value": 1)"),
         ns + "max_value: unknown; known are nsid, name, nguid, key_encoding, read_only, max_key_bytes, "
              "max_value_bytes, max_keys, optimal_granularity_bytes, reads_head, store, cache, execute"},
        {in_namespace(R"("store": "memory")"), ns + "store: expected an object, got \"memory\""},
        {in_namespace(R"("store": {"type": "disk"})"),
         ns + "store.type: expected \"memory\" or \"rados\", got \"disk\""},
        {in_namespace(R"("store": {"capacity_bytes": 0})"),
         ns + "store.capacity_bytes: expected a size from 1 to 1125899906842624 bytes, got 0"},
        {in_namespace(R"("store": {"kept_block_bytes": "x"})"),
         ns + "store.kept_block_bytes: expected a size, got \"x\""},
        {in_namespace(R"("store": {"path": "x"})"),
         ns + "store.path: unknown; known are type, capacity_bytes, kept_block_bytes"},
        {R"({"listeners": [{}]})", "listeners[0].endpoint: expected \"vfio-user:DIRECTORY\""},
        {R"({"listeners": [{"endpoint": "tcp://h:1"}]})",
         "listeners[0].endpoint: expected \"vfio-user:DIRECTORY\", got \"tcp://h:1\""},
        {R"({"listeners": [{"endpoint": "vfio-user:"}]})",
         "listeners[0].endpoint: expected \"vfio-user:DIRECTORY\", got \"vfio-user:\""},
        {in_listener(R"("socket_mode": "rw")"),
         "listeners[0].socket_mode: expected permissions in octal, such as \"0600\", got \"rw\""},
        {in_listener(R"("max_clients": 0)"), "listeners[0].max_clients: expected a number from 1 to 1024, got 0"},
        {in_listener(R"("map_doorbells": 1)"), "listeners[0].map_doorbells: expected true or false, got 1"},
        {in_listener(R"("accept_unsealed": "no")"), "listeners[0].accept_unsealed: expected true or false, got \"no\""},
        {in_listener(R"("accept_dma_buf": 1)"), "listeners[0].accept_dma_buf: expected true or false, got 1"},
        {in_listener(R"("mode": "0600")"),
         "listeners[0].mode: unknown; known are endpoint, subnqn, socket_mode, max_clients, map_doorbells, "
         "accept_unsealed, accept_dma_buf"},
    };
    for (const wrong& w : cases) {
      CAPTURE(w.text);
      CHECK(error_of(w.text) == w.error);
    }
  }

  TEST_CASE("duplicates of what must be unique -> refused") {
    CHECK(error_of(in_subsystem(R"("namespaces": [{"nsid": 3}, {"nsid": 4}, {"nsid": 3}])")) ==
          "subsystems[0].namespaces[2].nsid: 3 is taken by another namespace of the subsystem");
    CHECK(error_of(in_subsystem(R"("namespaces": [{}, {}])")) ==
          "subsystems[0].namespaces[1].nsid: 1 is taken by another namespace of the subsystem");
    CHECK(error_of(R"({"subsystems": [{}, {}]})") ==
          "subsystems[1].subnqn: \"nqn.2026-11.io.nkv:default\" is taken by another subsystem");
    CHECK(error_of(R"({"listeners": [{"endpoint": "vfio-user:/a"}, {"endpoint": "vfio-user:/a"}]})") ==
          "listeners[1].endpoint: \"vfio-user:/a\" is taken by another listener");
    // The same nsid in two subsystems is two namespaces.
    CHECK(error_of(R"({"subsystems": [{"subnqn": "a"}, {"subnqn": "b"}]})") == "none");
  }

  TEST_CASE("a path that no socket address holds -> refused") {
    const std::string fits(101, 'd');
    CHECK(error_of("{\"listeners\": [{\"endpoint\": \"vfio-user:" + fits + "\"}]}") == "none");
    CHECK(error_of("{\"listeners\": [{\"endpoint\": \"vfio-user:" + fits + "x\"}]}").substr(0, 31) ==
          "listeners[0].endpoint: expected");
  }

  TEST_CASE("text that is no configuration -> said so without a path") {
    CHECK(error_of("") == "line 1, column 1: not JSON");
    CHECK(error_of("{\"subsystems\": [}") == "line 1, column 17: not JSON");
    CHECK(error_of(R"({"poller": {}, "poller": {}})") == "poller: given twice");
    CHECK(error_of(std::string((1u << 20) + 1, ' ')) == "longer than 1048576 bytes");
  }

  TEST_CASE("vfio_user_directory: the text behind the scheme") {
    CHECK(target::vfio_user_directory("vfio-user:/run/x") == std::string("/run/x"));
    CHECK(target::vfio_user_directory("vfio-user:.") == std::string("."));
    CHECK_FALSE(target::vfio_user_directory("vfio-user:"));
    CHECK_FALSE(target::vfio_user_directory("vfio-use"));
    CHECK_FALSE(target::vfio_user_directory("inproc:x"));
  }

  TEST_CASE("a subsystem in RADOS -> its cluster and pool; a namespace in it -> a RADOS namespace") {
    const target::target_options o = options_of(R"({"subsystems": [{
      "rados": {"pool": "kv", "conf": "/etc/ceph/a.conf", "user": "kv", "keyring": "/etc/ceph/kv.keyring",
                "op_timeout_s": 7, "mon_timeout_s": 8, "max_operations": 9, "max_bytes": "10MiB"},
      "namespaces": [
        {"nsid": 1, "name": "cache", "max_value_bytes": "1MiB", "store": {"type": "rados"}},
        {"nsid": 2, "name": "w", "key_encoding": "payload_head", "max_key_bytes": 32,
         "store": {"type": "rados", "rados_namespace": "weights", "ttl": true},
         "cache": {"freshness": "sole_writer", "max_bytes": "3MiB", "max_values": 4}},
        {"nsid": 3, "store": {"type": "rados", "rados_namespace": ""}},
        {"nsid": 4}]}]})");
    const target::configured_subsystem& s = o.subsystems[0];
    REQUIRE(s.rados);
    CHECK(s.rados->conf == "/etc/ceph/a.conf");
    CHECK(s.rados->user == "client.kv");
    CHECK(s.rados->keyring == "/etc/ceph/kv.keyring");
    CHECK(s.rados->op_timeout_s == 7);
    CHECK(s.rados->mon_timeout_s == 8);
    CHECK(s.rados->max_operations == 9);
    CHECK(s.rados->max_bytes == 10u << 20);
    REQUIRE(s.namespaces[0].rados);
    CHECK(s.namespaces[0].rados->pool == "kv");
    CHECK(s.namespaces[0].rados->rados_namespace == "cache");
    CHECK(s.namespaces[0].rados->max_key_bytes == 16);
    CHECK(s.namespaces[0].rados->max_value_bytes == 1u << 20);
    REQUIRE(s.namespaces[1].rados);
    CHECK(s.namespaces[1].rados->rados_namespace == "weights");
    CHECK_FALSE(s.namespaces[0].cache);
    REQUIRE(s.namespaces[1].cache);
    CHECK(s.namespaces[1].cache->freshness == target::cache_freshness::sole_writer);
    CHECK(s.namespaces[1].cache->max_bytes == 3u << 20);
    CHECK(s.namespaces[1].cache->max_values == 4);
    CHECK(s.namespaces[1].rados->max_key_bytes == 32);
    CHECK(s.namespaces[1].rados->ttl);
    CHECK_FALSE(s.namespaces[0].rados->ttl);
    REQUIRE(s.namespaces[2].rados);
    CHECK(s.namespaces[2].rados->rados_namespace.empty());
    CHECK_FALSE(s.namespaces[3].rados);
    // Its stores are whoever's has librados.
    CHECK(target::make_subsystem(s) == nullptr);
    std::vector<std::string> made;
    CHECK(target::make_subsystem(s, [&](const target::rados_store_options& where) {
            made.push_back(where.rados_namespace);
            return std::make_shared<target::memory_store>();
          }) != nullptr);
    CHECK(made == std::vector<std::string>{"cache", "weights", ""});
  }

  TEST_CASE("RADOS: what is wrong -> its field") {
    const std::string rados = R"("rados": {"pool": "kv"}, )";
    const auto both = [&](const std::string& store) {
      return in_subsystem(rados + R"("namespaces": [{"store": )" + store + "}]");
    };
    const std::pair<std::string, std::string> table[] = {
        {in_subsystem(R"("rados": {})"), "subsystems[0].rados.pool: needed: the name of a pool"},
        {in_subsystem(R"("rados": {"pool": "kv", "op_timeout_s": 0})"),
         "subsystems[0].rados.op_timeout_s: expected a number from 1 to 3600, got 0"},
        {in_subsystem(R"("rados": {"pool": "kv", "key": "x"})"),
         "subsystems[0].rados.key: unknown; known are pool, conf, user, keyring, op_timeout_s, mon_timeout_s, "
         "max_operations, max_bytes"},
        {in_namespace(R"("store": {"type": "rados"})"),
         "subsystems[0].namespaces[0].store.type: \"rados\", and the subsystem has no \"rados\""},
        {both(R"({"type": "rados", "capacity_bytes": 1})"),
         "subsystems[0].namespaces[0].store.capacity_bytes: unknown; known are type, rados_namespace, ttl"},
        {both(R"({"type": "rados"}, "cache": {})"),
         "subsystems[0].namespaces[0].cache.freshness: needed: \"validated\", \"immutable\" or \"sole_writer\""},
        {both(R"({"type": "rados"}, "cache": {"freshness": "fresh"})"),
         "subsystems[0].namespaces[0].cache.freshness: expected \"validated\" or \"immutable\" or \"sole_writer\", got "
         "\"fresh\""},
        {both(R"({"type": "rados"}, "cache": {"freshness": "validated", "max_values": 0})"),
         "subsystems[0].namespaces[0].cache.max_values: expected a number from 1 to 1099511627776, got 0"},
        {in_namespace(R"("cache": {"freshness": "immutable"})"),
         "subsystems[0].namespaces[0].cache: only for a namespace in RADOS; others are in memory anyhow"},
    };
    for (const auto& [text, expected] : table) CHECK(error_of(text) == expected);
  }

  TEST_CASE("make_subsystem: namespaces with their limits, each with a store") {
    const target::target_options o = options_of(
        in_subsystem(R"("subnqn": "nqn.x", "namespaces": [{"nsid": 4, "max_value_bytes": 100}, {"nsid": 2}])"));
    const std::shared_ptr<target::subsystem> s = target::make_subsystem(o.subsystems[0]);
    REQUIRE(s != nullptr);
    CHECK(s->options().subnqn == "nqn.x");
    const auto table = s->namespaces();
    REQUIRE(table->size() == 2);
    CHECK((*table)[0]->nsid() == 2);
    CHECK((*table)[0]->max_value_bytes() == std::uint64_t{128} << 20);
    CHECK((*table)[1]->nsid() == 4);
    CHECK((*table)[1]->max_value_bytes() == 100);
    CHECK(&(*table)[0]->store() != &(*table)[1]->store());
    target::configured_subsystem twice;
    twice.namespaces.resize(2);
    CHECK(target::make_subsystem(twice) == nullptr);
  }
}
