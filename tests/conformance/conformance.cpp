// SPDX-License-Identifier: BSD-3-Clause
//
// nkv_conformance: the KV conformance suite against one namespace of one target, whichever it is. See usage().
//
// The suite asks the target what it can do and leaves out what it does not offer. What was left out is printed, counted
// and compared with the list of what is expected of that target: a capability cannot be lost to skip its tests.
#define DOCTEST_CONFIG_IMPLEMENT
#include <conformance/embedded.hpp>
#include <conformance/skip_list.hpp>
#include <conformance/suite.hpp>
#include <nkv/host/connect.hpp>
#include <nkv/host/controller/controller_core.hpp>
#include <nkv/host/controller/kv_namespace.hpp>
#include <nkv/host/controller/queue_pair.hpp>
#include <nkv/host/memory/registration.hpp>

#include <charconv>
#include <fstream>
#include <map>
#include <memory>

namespace {

namespace host = nkv::host;

constexpr const char* usage =
    "nkv_conformance --endpoint E --nsid N [option...] [doctest's options]\n"
    "  --endpoint E          inproc:NAME, vfio-user:PATH\n"
    "  --nsid N              the namespace under test; it is empty, and empty again afterwards\n"
    "  --read-only-nsid N    a read-only namespace of the same controller\n"
    "  --encoding NAME       inline_cdw or payload_head; else found by a probe\n"
    "  --expect-skips FILE   what this target is expected to skip, one a line; else nothing is\n"
    "  --entries N           of the queue pair to ask for; else 64\n"
    "  --no-length           the target is known to give no length with a Retrieve\n"
    "  --unsealed            take doorbells in memory that is not sealed\n"
    "  --serve HOW           serve a target and use it, --endpoint is left out: inproc or vfio-user, an embedded one;\n"
    "                        foreign, a server that is not the library's\n"
    "  --shape NAME          of the embedded target: plain, narrow\n"
    "  --mode NAME[,NAME...] of the foreign server, see support/foreign_modes.hpp\n";

struct arguments {
  std::string endpoint;
  std::string serve;
  std::string shape = "plain";  ///< or the modes of a foreign server
  std::string expect_skips;
  std::uint32_t nsid = 1;
  std::uint32_t read_only_nsid = 0;
  std::uint32_t entries = 64;
  bool no_length = false;
  bool unsealed = false;
  std::optional<nkv::key_encoding> encoding;
  bool filtered = false;  ///< some cases were left out by hand: no list of skips fits
  std::string error;
};

arguments parse(int argc, char** argv, std::vector<char*>& rest) {
  arguments a;
  rest.push_back(argv[0]);
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    const auto take = [&]() -> std::string {
      if (i + 1 < argc) return argv[++i];
      a.error = std::string(name) + " needs a value";
      return {};
    };
    const auto number = [&](std::uint32_t& to) {
      const std::string text = take();
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), to);
      if (error != std::errc() || end != text.data() + text.size()) a.error = std::string(name) + " needs a number";
    };
    if (name == "--endpoint") {
      a.endpoint = take();
    } else if (name == "--nsid") {
      number(a.nsid);
    } else if (name == "--read-only-nsid") {
      number(a.read_only_nsid);
    } else if (name == "--expect-skips") {
      a.expect_skips = take();
    } else if (name == "--serve") {
      a.serve = take();
      if (a.serve != "inproc" && a.serve != "vfio-user" && a.serve != "foreign")
        a.error = "--serve inproc, --serve vfio-user or --serve foreign";
    } else if (name == "--entries") {
      number(a.entries);
    } else if (name == "--no-length") {
      a.no_length = true;
    } else if (name == "--unsealed") {
      a.unsealed = true;
    } else if (name == "--shape" || name == "--mode") {
      a.shape = take();
    } else if (name == "--encoding") {
      const std::string text = take();
      if (text == "inline_cdw")
        a.encoding = nkv::key_encoding::inline_cdw;
      else if (text == "payload_head")
        a.encoding = nkv::key_encoding::payload_head;
      else
        a.error = "--encoding inline_cdw or --encoding payload_head";
    } else {
      a.filtered = true;
      rest.push_back(argv[i]);
    }
  }
  if (a.endpoint.empty() == a.serve.empty() && a.error.empty()) a.error = "--endpoint or --serve, one of them";
  return a;
}

class open_target final : public nkv_test::fixture {
 public:
  using queue = host::queue_pair<nkv::exclusive>;
  static constexpr std::size_t memory_bytes = std::size_t{160} << 20;

  /// @return what went wrong; empty for nothing
  std::string open(const arguments& a, const std::string& endpoint) {
    const host::deadline until = nkv_test::soon();
    const auto where = host::endpoint::parse(endpoint);
    if (!where) return "no endpoint: " + endpoint;
    host::connect_options connecting;
    connecting.vfio_user.allow_unsealed = a.unsealed;
    auto transport = host::open_transport(*where, connecting, until);
    if (!transport) return "connecting to " + endpoint + ": " + text(transport.error());
    auto core = host::controller_core::create(*std::move(transport), {}, until);
    if (!core) return "bringing the controller up: " + text(core.error());
    core_ = *std::move(core);

    host::namespace_options how;
    how.encoding = a.encoding;
    if (a.no_length) {
      // What no server tells of itself.
      nkv::quirks known = nkv::quirks::of(a.encoding.value_or(nkv::key_encoding::inline_cdw));
      known.reports_true_length = false;
      known.dropped_store_options = 0x38;
      how.quirks = known;
    }
    std::string error = profile_of(a.nsid, how, profile_);
    if (!error.empty()) return error;
    if (a.read_only_nsid != 0) {
      nkv::namespace_profile other;
      error = profile_of(a.read_only_nsid, how, other);
      if (!error.empty()) return error;
      read_only_ = other;
    }

    // Room for the PRP lists of a client that takes no SGLs, so that both kinds of data pointer are tried.
    nkv::limits by_prp = profile_.limits;
    by_prp.sgl = false;
    host::queue_options queue_how;
    queue_how.entries = a.entries;
    auto q = queue::create(core_, queue_how, by_prp, until);
    if (!q) return "creating a queue pair: " + text(q.error());
    queue_ = std::make_unique<queue>(*std::move(q));

    auto memory = host::registration::allocate(core_->attached(), memory_bytes, {}, until);
    if (!memory) return "registering memory: " + text(memory.error());
    registered_ = *std::move(memory);
    arena_ = {registered_.data(), registered_.value().address, registered_.size_bytes()};
    return {};
  }
  void close() {
    queue_.reset();
    registered_ = {};
    core_.reset();
  }

  nkv_test::kv_namespace ns() override { return {queue_->ref(), profile_}; }
  std::optional<nkv_test::kv_namespace> read_only() override {
    if (!read_only_) return std::nullopt;
    return nkv_test::kv_namespace{queue_->ref(), *read_only_};
  }
  nkv::status set_feature(nkv::feature_id feature, std::uint32_t value) override {
    return core_->execute(nkv::admin_set_features(feature, value, profile_.nsid), {}, nkv_test::soon()).status;
  }
  nkv::result<std::uint32_t> get_feature(nkv::feature_id feature) override {
    const nkv::completion c = core_->execute(nkv::admin_get_features(feature, profile_.nsid), {}, nkv_test::soon());
    if (!c.status) return c.status;
    return c.dw0;
  }
  nkv_test::arena& memory() override { return arena_; }

  /// Keys in the namespace now, up to a page of them.
  nkv::result<std::uint32_t> keys() {
    const nkv_test::buffer page = arena_.take(4096);
    const nkv::outcome o = ns().list({}, page.ref(), page.data(), nkv_test::soon());
    if (!o && !(o.status == nkv::status(nkv::client_status::value_too_large))) return o.status;
    return nkv::list_page({page.data(), page.size()}, profile_.quirks.list_padding).count();
  }

  /// Whether every key can be deleted.
  bool deletes_all() const { return profile_.quirks.exist_and_delete_carry(profile_.longest_key_bytes()); }

  void print() const {
    const nkv::limits& l = profile_.limits;
    const nkv::quirks& q = profile_.quirks;
    std::printf("namespace %u: %s, keys to %u bytes, values to %llu, transfers to %llu (0: any), %s%s%s\n",
                profile_.nsid, q.encoding == nkv::key_encoding::inline_cdw ? "inline_cdw" : "payload_head",
                profile_.longest_key_bytes(), static_cast<unsigned long long>(l.max_value_bytes),
                static_cast<unsigned long long>(l.max_transfer_bytes), l.sgl ? "SGLs" : "PRPs",
                l.sgl_dword_granular ? " of dwords" : "", q.list_continues ? "" : ", listings in one piece");
  }

 private:
  static std::string text(nkv::status s) { return nkv::status_text(s.sct(), s.sc()); }

  std::string profile_of(std::uint32_t nsid, const host::namespace_options& how, nkv::namespace_profile& to) {
    auto ns = host::kv_namespace<nkv::exclusive>::open(core_, nsid, how, nkv_test::soon());
    if (!ns) return "opening namespace " + std::to_string(nsid) + ": " + text(ns.error());
    to = ns->profile();
    return {};
  }

  std::shared_ptr<host::controller_core> core_;
  host::registration registered_;
  std::unique_ptr<queue> queue_;
  nkv::namespace_profile profile_;
  std::optional<nkv::namespace_profile> read_only_;
  nkv_test::arena arena_;
};

open_target opened;
std::map<std::string, std::string> skipped;
unsigned cases_run = 0;

struct counter : doctest::IReporter {
  explicit counter(const doctest::ContextOptions&) {}
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_start(const doctest::TestCaseData&) override { ++cases_run; }
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};
REGISTER_LISTENER("counter", 1, counter);

/// Prints what was skipped. @return whether that is what the file says
bool check_skips(const std::string& file, bool filtered) {
  for (const auto& [name, reason] : skipped) std::printf("skipped: %s: %s\n", name.c_str(), reason.c_str());
  std::printf("%u cases, %zu skips\n", cases_run, skipped.size());
  if (filtered) return true;
  std::vector<std::string> expected;
  if (!file.empty()) {
    std::ifstream in(file);
    if (!in) {
      std::printf("cannot read %s\n", file.c_str());
      return false;
    }
    expected = nkv_test::read_skip_list(in);
  }
  std::vector<std::string> names;
  for (const auto& [name, reason] : skipped) names.push_back(name);
  const std::vector<std::string> wrong = nkv_test::compare_skips(names, expected);
  for (const std::string& line : wrong) std::printf("%s\n", line.c_str());
  return wrong.empty();
}

/// @return whether the namespace has no keys
bool is_empty(const char* when) {
  const auto keys = opened.keys();
  if (keys && *keys == 0) return true;
  if (keys)
    std::printf("the namespace has keys %s: %u and maybe more\n", when, *keys);
  else
    std::printf("listing the keys %s: %s\n", when, nkv::status_text(keys.error().sct(), keys.error().sc()));
  return false;
}

}  // namespace

nkv_test::fixture& nkv_test::target() { return opened; }

void nkv_test::skip(const std::string& reason, std::string_view what) {
  std::string name = doctest::getContextOptions()->currentTest->m_name;
  if (!what.empty()) name += " [" + std::string(what) + "]";
  skipped[name] = reason;
}

int main(int argc, char** argv) {
  std::vector<char*> rest;
  arguments a = parse(argc, argv, rest);
  if (!a.error.empty()) {
    std::fprintf(stderr, "%s\n%s", a.error.c_str(), usage);
    return 2;
  }
  doctest::Context context(static_cast<int>(rest.size()), rest.data());
  nkv_test::served_target served;
  if (!a.serve.empty()) {
    const std::string error = served.start(a.serve, a.shape, a.endpoint);
    if (!error.empty()) {
      std::fprintf(stderr, "serving a target: %s\n", error.c_str());
      return 1;
    }
  }
  const std::string error = opened.open(a, a.endpoint);
  if (!error.empty()) {
    std::fprintf(stderr, "%s\n", error.c_str());
    opened.close();
    return 1;
  }
  opened.print();
  if (!is_empty("before the suite")) return 1;
  // Where long keys cannot be deleted these cases leave some, so they come last.
  doctest::Context last(static_cast<int>(rest.size()), rest.data());
  context.addFilter("test-suite-exclude", "conformance/long key");
  last.addFilter("test-suite", "conformance/long key");
  int failed = context.run();
  if (!context.shouldExit()) failed += last.run();
  if (!context.shouldExit()) {
    if (cases_run == 0) {
      std::printf("no test case matches the filter\n");
      failed = 1;
    }
    if (!is_empty("after the suite") && opened.deletes_all()) failed = 1;
    if (!check_skips(a.expect_skips, a.filtered)) failed = 1;
  }
  opened.close();
  return failed != 0 ? 1 : 0;
}
