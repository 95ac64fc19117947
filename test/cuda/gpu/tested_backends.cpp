#include <cstdlib>

#include "backend/cpu/cpu_backend.h"
#include "backend/cuda_loader.h"
#include "backend/op_cases.h"

// The backends of the op cases here: the plugin's on the first GPU, with float32 and with bfloat16
// activations, compared with the reference of each case and with the CPU backend.

namespace countenance::test {

const size_t kGuardBytes = 256;
const bool kEmulated = false;

namespace {

// Normalised errors allowed for a GPU.
constexpr double kFp32Parity = 1e-5;
constexpr double kBf16Parity = 1e-2;

// Nothing depends on a number of threads; each new backend shows that a run repeats its bits.
std::unique_ptr<Backend> make(int) { return make_cuda_backend(0); }

Backend& cpu() {
  static const std::unique_ptr<Backend> backend = make_cpu_backend(0);
  return *backend;
}

// compute-sanitizer slows kernels down by orders of magnitude: making each access once is enough.
bool thorough() {
  const char* quick = std::getenv("COUNTENANCE_TEST_QUICK");
  return !quick || !*quick;
}

}  // namespace

const std::vector<TestedBackend>& all_tested_backends() {
  static const std::vector<TestedBackend> all = {
      {"fp32", make, Precision::FP32, nullptr, thorough(), cpu, kFp32Parity},
      {"bf16", make, Precision::BF16, nullptr, thorough(), cpu, kBf16Parity}};
  return all;
}

}  // namespace countenance::test
