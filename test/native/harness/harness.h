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

// The exit status of a program that has none of the requested cases. tools/test-cuda.mjs relies on
// it.
inline constexpr int kNoTestStatus = 78;

// Runs all cases, or those whose name contains one of the arguments (or, for =NAME, equals it) and
// none of those after a minus sign; with --list prints their names instead. Returns a status for
// main. A first argument --share=1/4 takes every fourth case, starting with the first, so that four
// processes can run them side by side.
// errors, or --errors among the arguments: also print the largest error that each case recorded.
int run_tests(int argc, char** argv, bool errors = false);

// Records a failure of the running case and continues.
void report_failure(const char* file, int line, const std::string& message);
// Says why the running case did nothing.
void skip(const std::string& reason);

template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

// An error that the running case measured for a backend or a quantity.
void record_error(const std::string& what, double error);

// The code of the Error that f throws, "" when it throws none.
std::string error_code(const std::function<void()>& f);

// sqrt(sum (a - b)^2 / sum b^2): ggml's normalised error. Non-finite values give infinity.
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
