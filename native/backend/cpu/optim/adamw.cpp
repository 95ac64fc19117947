#include "backend/cpu/optim/parameter_groups.h"

namespace countenance::COUNTENANCE_CPU {

//   w -= lr weight_decay w;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
//   w -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
void CpuBackend::adamw_step(const OptimizerStep& t, Tensor first_moment, Tensor second_moment,
                            const AdamWAttributes& attributes) {
  if (is_skipped(t.gradient_scale)) return;
  const Vec beta1 = Vec::all(attributes.beta1);
  const Vec beta2 = Vec::all(attributes.beta2);
  const Vec rest1 = Vec::all(static_cast<float>(1 - static_cast<double>(attributes.beta1)));
  const Vec rest2 = Vec::all(static_cast<float>(1 - static_cast<double>(attributes.beta2)));
  const Vec eps = Vec::all(attributes.eps);
  const Vec scale = Vec::all(t.gradient_scale ? *t.gradient_scale.f32() : 1.0f);
  float* w = t.weights.f32();
  float* m = first_moment.f32();
  float* v = second_moment.f32();
  const float* gradient = t.gradients.f32();
  const auto update = [&](int64_t begin, int64_t end, const float* rate) {
    const Vec keep = Vec::all(rate[kAdamWKeep]);
    const Vec minus_rate = Vec::all(-rate[kAdamWRate]);
    const Vec root_factor = Vec::all(rate[kAdamWRootFactor]);
    for_each_vector(begin, end, [&](auto lanes, int64_t i) {
      const Vec g = lanes.load(gradient + i) * scale;
      const Vec first = fma(beta1, lanes.load(m + i), rest1 * g);
      const Vec second = fma(beta2, lanes.load(v + i), rest2 * (g * g));
      lanes.store(m + i, first);
      lanes.store(v + i, second);
      const Vec direction = first / fma(sqrt(second), root_factor, eps);
      lanes.store(w + i, fma(minus_rate, direction, lanes.load(w + i) * keep));
    });
  };
  pool_.parallel_for(t.weights.elements(), kElementGrain, [&](int64_t begin, int64_t end, int) {
    for_each_group(t.groups, t.rates, begin, end, update);
  });
}

}  // namespace countenance::COUNTENANCE_CPU
