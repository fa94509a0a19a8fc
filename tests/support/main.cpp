// SPDX-License-Identifier: BSD-3-Clause
//
// The main() of every doctest executable. Two things doctest does not do: a filter that matches no test case is a
// failure (a renamed file would otherwise pass for ever), and a run in which every test case skipped itself exits 77.
#define DOCTEST_CONFIG_IMPLEMENT
#include <support/skip.hpp>

#include <doctest/doctest.h>

#include <cstdio>
#include <string>

namespace {

unsigned test_cases_run = 0;
unsigned test_cases_skipped = 0;
bool current_skipped = false;

struct counter : doctest::IReporter {
  explicit counter(const doctest::ContextOptions&) {}
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_start(const doctest::TestCaseData&) override {
    ++test_cases_run;
    current_skipped = false;
  }
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {
    if (current_skipped) ++test_cases_skipped;
  }
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};
REGISTER_LISTENER("counter", 1, counter);

}  // namespace

void nkv_test::skip(const std::string& reason) {
  current_skipped = true;
  std::printf("skipped: %s\n", reason.c_str());
}

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  const int failed = context.run();
  if (context.shouldExit() || failed != 0) return failed;
  if (test_cases_run == 0) {
    std::printf("no test case matches the filter\n");
    return 1;
  }
  if (test_cases_skipped != 0) std::printf("%u of %u test cases skipped\n", test_cases_skipped, test_cases_run);
  return test_cases_skipped == test_cases_run ? 77 : 0;
}
