#include "harness/harness.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <limits>
#include <map>

namespace countenance::test {

namespace {
int failures_of_case = 0;
std::string skip_reason;
std::map<std::string, double> largest_errors;  // of the running case

void print_errors() {
  const char* separator = "     largest error: ";
  for (const auto& [what, error] : largest_errors) {
    std::printf("%s%s %.3g", separator, what.c_str(), error);
    separator = ", ";
  }
  if (!largest_errors.empty()) std::printf("\n");
}

bool matches(const char* name, const char* pattern) {
  return pattern[0] == '=' ? std::strcmp(name, pattern + 1) == 0
                           : std::strstr(name, pattern) != nullptr;
}

bool wanted(const char* name, const std::vector<const char*>& patterns) {
  bool chosen = true;  // by the selecting patterns; all if there are none
  bool any = false;
  for (const char* pattern : patterns) {
    if (pattern[0] == '-') {
      if (matches(name, pattern + 1)) return false;
      continue;
    }
    chosen = (any && chosen) || matches(name, pattern);
    any = true;
  }
  return chosen;
}

// " (12.3 s)" for a slow case.
std::string time_since(std::chrono::steady_clock::time_point started) {
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - started;
  if (passed.count() < 1.0) return "";
  char said[32];
  std::snprintf(said, sizeof said, " (%.1f s)", passed.count());
  return said;
}

}  // namespace

std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

bool add_case(const char* name, const char* file, void (*run)()) {
  cases().push_back({name, file, run});
  return true;
}

void report_failure(const char* file, int line, const std::string& message) {
  if (++failures_of_case <= 10) std::printf("    %s:%d: %s\n", file, line, message.c_str());
}

void skip(const std::string& reason) { skip_reason = reason; }

void record_error(const std::string& what, double error) {
  const auto [place, first] = largest_errors.emplace(what, error);
  // A NaN stays: nothing is larger than it.
  if (!first && !(error <= place->second)) place->second = error;
}

std::string error_code(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.code();
  }
  return "";
}

double normalised_error(const float* a, const float* b, int64_t n) {
  double difference = 0;
  double reference = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(a[i]) || !std::isfinite(b[i]))
      return std::numeric_limits<double>::infinity();
    difference += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
    reference += static_cast<double>(b[i]) * b[i];
  }
  return reference == 0 ? std::sqrt(difference) : std::sqrt(difference / reference);
}

int run_tests(int argc, char** argv, bool errors) {
  if (argc == 2 && std::strcmp(argv[1], "--list") == 0) {
    for (const Case& c : cases()) std::printf("%s\n", c.name);
    return 0;
  }
  int passed = 0;
  int failed = 0;
  int skipped = 0;
  int share = 1;
  int shares = 1;
  std::vector<const char*> patterns;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--errors") == 0) {
      errors = true;
    } else if (std::sscanf(argv[i], "--share=%d/%d", &share, &shares) != 2) {
      patterns.push_back(argv[i]);
    }
  }
  int found = 0;
  for (const Case& c : cases()) {
    if (!wanted(c.name, patterns) || found++ % shares != share - 1) continue;
    failures_of_case = 0;
    skip_reason.clear();
    largest_errors.clear();
    const auto started = std::chrono::steady_clock::now();
    try {
      c.run();
    } catch (const std::exception& error) {
      report_failure(c.file, 0, text("threw: ", error.what()));
    }
    const std::string time = time_since(started);
    if (failures_of_case) {
      ++failed;
      std::printf("FAIL %s (%d checks)%s\n", c.name, failures_of_case, time.c_str());
    } else if (!skip_reason.empty()) {
      ++skipped;
      std::printf("skip %s: %s\n", c.name, skip_reason.c_str());
    } else {
      ++passed;
      std::printf("  ok %s%s\n", c.name, time.c_str());
    }
    if (errors) print_errors();
    std::fflush(stdout);
  }
  std::printf("native tests: %d passed, %d failed, %d skipped\n", passed, failed, skipped);
  if (passed + failed + skipped == 0) return kNoTestStatus;
  return failed == 0 ? 0 : 1;
}

}  // namespace countenance::test
