#include "backend/cuda/backend_class.h"
#include "backend/cuda/frames/elementwise.h"
#include "backend/cuda/optim/skipped.h"

namespace countenance::cuda {

namespace {

struct EmaUpdate {
  float* average;
  const float* weights;
  const float* gradient_scale;  // may be absent
  float rest;                   // 1 - decay

  template <int N>
  __device__ void run(int64_t i) const {
    if (gradient_scale && is_skipped(*gradient_scale)) return;
    Floats<N> v = load<N>(average + i);
    const Floats<N> w = load<N>(weights + i);
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] = fmaf(rest, w[k] - v[k], v[k]);
    store(average + i, v);
  }
};

}  // namespace

void CudaBackend::ema_update(Tensor average, Tensor weights, Tensor gradient_scale, float decay) {
  run_elementwise("ema_update", queue(), weights.elements(),
                  EmaUpdate{data<float>(average), data<float>(weights), data<float>(gradient_scale),
                            static_cast<float>(1 - static_cast<double>(decay))});
  written(average);
}

}  // namespace countenance::cuda
