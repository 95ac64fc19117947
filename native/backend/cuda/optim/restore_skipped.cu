#include "backend/cuda/backend_class.h"
#include "backend/cuda/frames/elementwise.h"
#include "backend/cuda/optim/skipped.h"

namespace countenance::cuda {

namespace {

struct RestoreSkipped {
  float* x;
  const float* saved;
  const float* gradient_scale;

  template <int N>
  __device__ void run(int64_t i) const {
    if (is_skipped(*gradient_scale)) store(x + i, load<N>(saved + i));
  }
};

}  // namespace

void CudaBackend::restore_skipped(Tensor x, Tensor saved, Tensor gradient_scale) {
  run_elementwise("restore_skipped", queue(), x.elements(),
                  RestoreSkipped{data<float>(x), data<float>(saved), data<float>(gradient_scale)});
  written(x);
}

}  // namespace countenance::cuda
