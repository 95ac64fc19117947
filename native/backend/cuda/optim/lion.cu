#include "backend/cuda/backend_class.h"
#include "backend/cuda/optim/group_rates.h"
#include "backend/cuda/optim/skipped.h"

namespace countenance::cuda {

namespace {

struct LionStep {
  float* weights;
  __nv_bfloat16* copy;  // kept equal to the weights; may be absent
  float* momentum;
  const float* gradients;
  const float* gradient_scale;  // may be absent
  GroupRates<kLionRates> rates;
  LionAttributes attributes;

  template <int N>
  __device__ void run(int64_t i) const {
    const float scale = gradient_scale ? *gradient_scale : 1.0f;
    if (is_skipped(scale)) return;
    const float* row = rates.at(i);
    Floats<N> w = load<N>(weights + i);
    Floats<N> m = load<N>(momentum + i);
    const Floats<N> g = load<N>(gradients + i);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float gradient = g[k] * scale;
      // beta m + (1 - beta) g = g + beta (m - g)
      const float blend = fmaf(attributes.beta1, m[k] - gradient, gradient);
      const float direction = blend > 0 ? 1.0f : blend < 0 ? -1.0f : 0.0f;  // 0: the padding
      w[k] = fmaf(-row[kLionRate], direction, row[kLionKeep] * w[k]);
      m[k] = fmaf(attributes.beta2, m[k] - gradient, gradient);
    }
    store(momentum + i, m);
    store(weights + i, w);
    if (copy) store(copy + i, w);
  }
};

}  // namespace

void CudaBackend::lion_step(const OptimizerStep& t, Tensor momentum,
                            const LionAttributes& attributes) {
  run_elementwise("lion_step", queue(), t.weights.elements(),
                  LionStep{.weights = data<float>(t.weights),
                           .copy = bf16_copy_to_update(t.weights),
                           .momentum = data<float>(momentum),
                           .gradients = data<float>(t.gradients),
                           .gradient_scale = data<float>(t.gradient_scale),
                           .rates = {data<uint8_t>(t.groups), data<float>(t.rates)},
                           .attributes = attributes});
}

}  // namespace countenance::cuda
