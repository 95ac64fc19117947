#include "backend/cuda/backend_class.h"
#include "backend/op_cases.h"
#include "block.h"

// The backends of the op cases here: the CUDA backend on the emulator, with float32 and with
// bfloat16 activations. Its "threads" are the order in which CUDA threads and blocks take turns.

namespace countenance::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kThorough = false;
#else
constexpr bool kThorough = true;
#endif

const bool kEmulated = true;

#if defined(__SANITIZE_ADDRESS__)
const size_t kGuardBytes = 0;  // the emulator makes memory past an allocation's end out of bounds
#else
const size_t kGuardBytes = 256;
#endif

namespace {

void set_order(int threads) {
  using emulator::Order;
  emulator::set_order(threads == 1   ? Order::Forward
                      : threads == 2 ? Order::Reverse
                                     : Order::Random);
}

std::unique_ptr<Backend> make(int threads) {
  set_order(threads);
  return std::make_unique<cuda::CudaBackend>(0);
}

}  // namespace

const std::vector<TestedBackend>& all_tested_backends() {
  static const std::vector<TestedBackend> all = {
      {"emulated cuda", make, Precision::FP32, set_order, kThorough},
      {"emulated cuda bf16", make, Precision::BF16, set_order, kThorough}};
  return all;
}

}  // namespace countenance::test
