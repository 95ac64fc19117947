#include "golden/golden.h"
#include "backend/cpu/cpu_backend.h"
#include "golden/golden_run.h"
#include "harness/harness.h"

// Our training and evaluation against the recorded runs of the reference (test/golden).

namespace countenance::test {
namespace {

void check_run(const std::string& name, Isa isa) {
  check_golden(name, {}, Precision::FP32, make_cpu_backend(2, isa));
}

// Some seeds of deep networks put units so close to relu's kink that a different order of sums
// flips them and changes gradients by 1e-2. The seeds of the runs below were chosen for these
// instruction sets, whose bits are the same on every machine; AVX-512 is covered by ResNet-18's
// runs and by the op cases.
Isa at_most_avx2() { return supported(Isa::Avx2) ? Isa::Avx2 : Isa::Portable; }

TEST(golden_resnet18_48_pairwise_on_every_instruction_set) {
  for (Isa isa : {Isa::Portable, Isa::Avx2, Isa::Avx512}) {
    if (supported(isa)) check_run("resnet18-48-pairwise", isa);
  }
}
TEST(golden_resnet18_112_pairwise) { check_run("resnet18-112-pairwise", detect_isa()); }
TEST(golden_resnet18_112_diagonal) { check_run("resnet18-112-diagonal", detect_isa()); }
TEST(golden_resnet34_48_pairwise) { check_run("resnet34-48-pairwise", at_most_avx2()); }
TEST(golden_resnet50_48_diagonal) { check_run("resnet50-48-diagonal", at_most_avx2()); }
TEST(golden_resnet50_49_pairwise) { check_run("resnet50-49-pairwise", at_most_avx2()); }
TEST(golden_swint_112_pairwise) { check_run("swint-112-pairwise", detect_isa()); }
TEST(golden_swint_112_diagonal) { check_run("swint-112-diagonal", detect_isa()); }
TEST(golden_swins_112_pairwise) {
  // The bias before the last norms shifts every token equally, and over four samples its gradient
  // cancels: PyTorch's own float32 is 1e-4 from float64 there, and 4e-5 in the next worst tensor.
  const GoldenTolerance tolerance{.gradient = 3e-4};
  check_golden("swins-112-pairwise", tolerance, Precision::FP32,
               make_cpu_backend(2, at_most_avx2()));
}

TEST(golden_runs_are_all_checked) { CHECK(golden_names().size() == 9); }

}  // namespace
}  // namespace countenance::test
