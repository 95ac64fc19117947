#include "backend/cuda/backend_class.h"
#include "backend/cuda/optim/group_rates.h"
#include "backend/cuda/optim/skipped.h"

namespace countenance::cuda {

namespace {

//   w -= lr weight_decay w;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
//   w -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
struct AdamWStep {
  float* weights;
  __nv_bfloat16* copy;  // kept equal to the weights; may be absent
  float* first_moment;
  float* second_moment;
  const float* gradients;
  const float* gradient_scale;  // may be absent
  GroupRates<kAdamWRates> rates;
  float beta1, rest1;  // rest = 1 - beta
  float beta2, rest2;
  float eps;

  template <int N>
  __device__ void run(int64_t i) const {
    const float scale = gradient_scale ? *gradient_scale : 1.0f;
    if (is_skipped(scale)) return;
    const float* row = rates.at(i);
    const float keep = row[kAdamWKeep];
    const float rate = row[kAdamWRate];
    const float root_factor = row[kAdamWRootFactor];
    Floats<N> w = load<N>(weights + i);
    Floats<N> m = load<N>(first_moment + i);
    Floats<N> v = load<N>(second_moment + i);
    const Floats<N> gradient = load<N>(gradients + i);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float g = gradient[k] * scale;
      m[k] = fmaf(beta1, m[k], rest1 * g);
      v[k] = fmaf(beta2, v[k], rest2 * (g * g));
      const float direction = m[k] / fmaf(sqrtf(v[k]), root_factor, eps);
      w[k] = fmaf(-rate, direction, w[k] * keep);
    }
    store(first_moment + i, m);
    store(second_moment + i, v);
    store(weights + i, w);
    if (copy) store(copy + i, w);
  }
};

}  // namespace

void CudaBackend::adamw_step(const OptimizerStep& t, Tensor first_moment, Tensor second_moment,
                             const AdamWAttributes& attributes) {
  run_elementwise("adamw_step", queue(), t.weights.elements(),
                  AdamWStep{.weights = data<float>(t.weights),
                            .copy = bf16_copy_to_update(t.weights),
                            .first_moment = data<float>(first_moment),
                            .second_moment = data<float>(second_moment),
                            .gradients = data<float>(t.gradients),
                            .gradient_scale = data<float>(t.gradient_scale),
                            .rates = {data<uint8_t>(t.groups), data<float>(t.rates)},
                            .beta1 = attributes.beta1,
                            .rest1 = static_cast<float>(1 - static_cast<double>(attributes.beta1)),
                            .beta2 = attributes.beta2,
                            .rest2 = static_cast<float>(1 - static_cast<double>(attributes.beta2)),
                            .eps = attributes.eps});
}

}  // namespace countenance::cuda
