#include "backend/cuda/backend_class.h"
#include "backend/cuda/optim/group_rates.h"
#include "backend/cuda/optim/skipped.h"

namespace countenance::cuda {

namespace {

// torch.optim.SGD: its first step sets v = g, which is momentum v + g with v = 0.
struct SgdStep {
  float* weights;
  __nv_bfloat16* copy;  // kept equal to the weights; may be absent
  float* velocity;      // absent without momentum
  const float* gradients;
  const float* gradient_scale;  // may be absent
  GroupRates<kSgdRates> rates;
  SgdAttributes attributes;

  template <int N>
  __device__ void run(int64_t i) const {
    const float scale = gradient_scale ? *gradient_scale : 1.0f;
    if (is_skipped(scale)) return;
    const float* row = rates.at(i);
    const float rate = row[kSgdRate];
    const float decay = row[kSgdDecay];
    Floats<N> w = load<N>(weights + i);
    Floats<N> g = load<N>(gradients + i);
#pragma unroll
    for (int k = 0; k < N; ++k) g[k] = fmaf(decay, w[k], g[k] * scale);
    if (velocity) {
      Floats<N> v = load<N>(velocity + i);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        v[k] = fmaf(attributes.momentum, v[k], g[k]);
        g[k] = attributes.nesterov ? fmaf(attributes.momentum, v[k], g[k]) : v[k];
      }
      store(velocity + i, v);
    }
#pragma unroll
    for (int k = 0; k < N; ++k) w[k] = fmaf(-rate, g[k], w[k]);
    store(weights + i, w);
    if (copy) store(copy + i, w);
  }
};

}  // namespace

void CudaBackend::sgd_step(const OptimizerStep& t, Tensor velocity,
                           const SgdAttributes& attributes) {
  run_elementwise("sgd_step", queue(), t.weights.elements(),
                  SgdStep{.weights = data<float>(t.weights),
                          .copy = bf16_copy_to_update(t.weights),
                          .velocity = data<float>(velocity),
                          .gradients = data<float>(t.gradients),
                          .gradient_scale = data<float>(t.gradient_scale),
                          .rates = {data<uint8_t>(t.groups), data<float>(t.rates)},
                          .attributes = attributes});
}

}  // namespace countenance::cuda
