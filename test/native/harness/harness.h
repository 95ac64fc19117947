#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/error.h"

// A small test harness: TEST(name) { CHECK(...); } in any file of a test program; its main calls
// run_tests.

namespace countenance::test {

struct Case {
  const char* name;
  const char* file;
  void (*run)();
};

std::vector<Case>& cases();
bool add_case(const char* name, const char* file, void (*run)());

// The exit status of a program that has no case of the names asked for. tools/test-cuda.mjs knows
// it.
inline constexpr int kNoTestStatus = 78;

// Runs all cases, or those whose name contains one of the arguments (or, for =NAME, is it) and none
// of those behind a minus sign, or with --list prints their names; a status for main to return. A
// first argument --share=1/4 takes every fourth of them, from the first on, so that four processes
// can run them side by side.
// errors: also tell the largest error that each case recorded.
int run_tests(int argc, char** argv, bool errors = false);

// Records a failure of the running case and goes on.
void report_failure(const char* file, int line, const std::string& message);
// Says why the running case did nothing.
void skip(const std::string& reason);

template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

// An error that the running case found of a backend or a quantity.
void record_error(const std::string& what, double error);

// The code of the Error that f throws, "" when it throws none.
std::string error_code(const std::function<void()>& f);

// sqrt(sum (a - b)^2 / sum b^2): ggml's normalised error. Not finite values give infinity.
double normalised_error(const float* a, const float* b, int64_t n);

}  // namespace countenance::test

#define TEST(name)                                                  \
  static void test_##name();                                        \
  [[maybe_unused]] static const bool added_##name =                 \
      ::countenance::test::add_case(#name, __FILE__, &test_##name); \
  static void test_##name()

#define CHECK(condition, ...)                                                      \
  do {                                                                             \
    if (!(condition)) {                                                            \
      ::countenance::test::report_failure(                                         \
          __FILE__, __LINE__,                                                      \
          ::countenance::test::text(#condition __VA_OPT__(, ": ", ) __VA_ARGS__)); \
    }                                                                              \
  } while (false)
