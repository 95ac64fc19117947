#include "backend/cuda/backend_class.h"
#include "backend/cuda/elementwise.h"

namespace countenance::cuda {

namespace {

struct EmaUpdate {
  float* average;
  const float* weights;
  float rest;  // 1 - decay

  template <int N>
  __device__ void run(int64_t i) const {
    Floats<N> v = load<N>(average + i);
    const Floats<N> w = load<N>(weights + i);
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] = fmaf(rest, w[k] - v[k], v[k]);
    store(average + i, v);
  }
};

}  // namespace

void CudaBackend::ema_update(Tensor average, Tensor weights, float decay) {
  run_elementwise("ema_update", queue(), weights.elements(),
                  EmaUpdate{data<float>(average), data<float>(weights),
                            static_cast<float>(1 - static_cast<double>(decay))});
  written(average);
}

}  // namespace countenance::cuda
