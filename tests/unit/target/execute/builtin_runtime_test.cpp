// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/execute/builtin_runtime.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <string>

using namespace nkv;

namespace {

byte_span bytes_of(const std::string& s) { return {reinterpret_cast<const std::byte*>(s.data()), s.size()}; }

/// What a built-in function makes of a value and an input, in so much room.
struct ran {
  ran(const std::string& function, const std::string& value, const std::string& input, bool stopped = false) {
    std::string why;
    const std::shared_ptr<const target::program> p = target::builtin_runtime().prepare({}, function, why);
    REQUIRE(p != nullptr);
    mutable_byte_span room(reinterpret_cast<std::byte*>(text.data()), text.size());
    target::program_run run({&room, 1}, text.size());
    run.value = bytes_of(value);
    run.input = bytes_of(input);
    if (stopped) run.stop();
    how = p->run(run);
    text.resize(static_cast<std::size_t>(run.result_bytes()));
  }
  [[nodiscard]] std::uint64_t number() const {
    REQUIRE(text.size() == 8);
    return load_le<std::uint64_t>(reinterpret_cast<const std::byte*>(text.data()));
  }

  std::string text = std::string(64, '.');
  target::run_result how{};
};

}  // namespace

TEST_SUITE("target/execute/builtin_runtime") {
  TEST_CASE("each function does what it is named for") {
    CHECK(ran("bytecount", "value", "in").number() == 5);
    CHECK(ran("identity", "value", "in").text == "value");
    CHECK(ran("inputlen", "value", "in").number() == 2);
    CHECK(ran("inputecho", "value", "in").text == "in");
    // The published results of XXH64 with seed 0.
    CHECK(ran("xxh64", "", "in").number() == 0xef46db3751d8e999u);
    CHECK(ran("xxh64", "a", "in").number() == 0xd24ec4f1a98c6e5bu);
    // Hashed in pieces, which nobody sees.
    const std::string longer(3'000'001, 'x');
    CHECK(ran("xxh64", longer, "").number() == xxh64::of(bytes_of(longer)));
    CHECK(ran("xxh64", longer, "").how == target::run_result::ok);
  }

  TEST_CASE("one that takes long stops when it is told to; one that is not there is said") {
    CHECK(ran("xxh64", "value", "", true).how == target::run_result::killed);
    std::string why;
    CHECK(target::builtin_runtime().prepare({}, "nothing", why) == nullptr);
    CHECK(why == "no built-in function \"nothing\"");
  }
}
