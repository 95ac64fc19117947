#include <cstdio>

#include "harness/harness.h"
#include "no_gpu.h"

int main(int argc, char** argv) {
  using namespace countenance::test;
  const std::string reason = why_no_gpu();
  if (!reason.empty()) {
    std::printf("no GPU: %s\n", reason.c_str());
    return kNoGpuStatus;
  }
  return run_tests(argc, argv, true);
}
