#include "backend/cuda_loader.h"
#include "golden/golden.h"
#include "golden/golden_run.h"
#include "harness/harness.h"

// The recorded runs of the reference on the first GPU.

namespace countenance::test {
namespace {

void check_run(const char* name, Precision precision, const GoldenTolerance& of_float32 = {}) {
  const bool exact = precision == Precision::FP32;
  check_golden(name, exact ? of_float32 : kBf16Tolerance, precision, make_cuda_backend(0));
}

// In these runs of deep networks some unit lies so close to relu's kink that the GPU's order of
// sums puts it on the other side: in resnet50-49 in the first step (gradients then differ by 4e-3,
// while outputs and losses agree to 2e-5), in resnet34-48 in the second (a loss by 2.4e-4). The
// other runs keep the kernels to the usual tolerances.
constexpr GoldenTolerance kAcrossKink{.loss = 1e-3, .gradient = 1e-2, .median_gradient = 2e-3};
// As on the CPU (test/native/golden/golden_test.cpp): a gradient that cancels over four samples.
constexpr GoldenTolerance kCancelling{.gradient = 3e-4};

TEST(golden_resnet18_48_pairwise_fp32) { check_run("resnet18-48-pairwise", Precision::FP32); }
TEST(golden_resnet18_112_pairwise_fp32) { check_run("resnet18-112-pairwise", Precision::FP32); }
TEST(golden_resnet18_112_diagonal_fp32) { check_run("resnet18-112-diagonal", Precision::FP32); }
TEST(golden_resnet34_48_pairwise_fp32) {
  check_run("resnet34-48-pairwise", Precision::FP32, kAcrossKink);
}
TEST(golden_resnet50_48_diagonal_fp32) { check_run("resnet50-48-diagonal", Precision::FP32); }
TEST(golden_resnet50_49_pairwise_fp32) {
  check_run("resnet50-49-pairwise", Precision::FP32, kAcrossKink);
}
TEST(golden_swint_112_pairwise_fp32) { check_run("swint-112-pairwise", Precision::FP32); }
TEST(golden_swint_112_diagonal_fp32) { check_run("swint-112-diagonal", Precision::FP32); }
TEST(golden_swins_112_pairwise_fp32) {
  check_run("swins-112-pairwise", Precision::FP32, kCancelling);
}
TEST(golden_resnet18_48_pairwise_bf16) { check_run("resnet18-48-pairwise", Precision::BF16); }
TEST(golden_resnet18_112_pairwise_bf16) { check_run("resnet18-112-pairwise", Precision::BF16); }
TEST(golden_resnet18_112_diagonal_bf16) { check_run("resnet18-112-diagonal", Precision::BF16); }
TEST(golden_resnet34_48_pairwise_bf16) { check_run("resnet34-48-pairwise", Precision::BF16); }
TEST(golden_resnet50_48_diagonal_bf16) { check_run("resnet50-48-diagonal", Precision::BF16); }
TEST(golden_resnet50_49_pairwise_bf16) { check_run("resnet50-49-pairwise", Precision::BF16); }
TEST(golden_swint_112_pairwise_bf16) { check_run("swint-112-pairwise", Precision::BF16); }
TEST(golden_swint_112_diagonal_bf16) { check_run("swint-112-diagonal", Precision::BF16); }

}  // namespace
}  // namespace countenance::test
