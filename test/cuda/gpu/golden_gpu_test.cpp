#include "backend/cuda_loader.h"
#include "golden/golden.h"
#include "golden/golden_run.h"
#include "harness/harness.h"

// The recorded runs of the reference on the first GPU.

namespace countenance::test {
namespace {

void check_run(const char* name, Precision precision) {
  const bool exact = precision == Precision::FP32;
  check_golden(name, exact ? GoldenTolerance{} : kBf16Tolerance, precision, make_cuda_backend(0));
}

TEST(golden_resnet18_48_pairwise_fp32) { check_run("resnet18-48-pairwise", Precision::FP32); }
TEST(golden_resnet18_112_pairwise_fp32) { check_run("resnet18-112-pairwise", Precision::FP32); }
TEST(golden_resnet18_112_diagonal_fp32) { check_run("resnet18-112-diagonal", Precision::FP32); }
TEST(golden_swint_112_pairwise_fp32) { check_run("swint-112-pairwise", Precision::FP32); }
TEST(golden_swint_112_diagonal_fp32) { check_run("swint-112-diagonal", Precision::FP32); }
TEST(golden_resnet18_48_pairwise_bf16) { check_run("resnet18-48-pairwise", Precision::BF16); }
TEST(golden_resnet18_112_pairwise_bf16) { check_run("resnet18-112-pairwise", Precision::BF16); }
TEST(golden_resnet18_112_diagonal_bf16) { check_run("resnet18-112-diagonal", Precision::BF16); }
TEST(golden_swint_112_pairwise_bf16) { check_run("swint-112-pairwise", Precision::BF16); }
TEST(golden_swint_112_diagonal_bf16) { check_run("swint-112-diagonal", Precision::BF16); }

}  // namespace
}  // namespace countenance::test
