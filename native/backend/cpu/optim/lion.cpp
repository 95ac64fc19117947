#include "backend/cpu/optim/parameter_groups.h"

namespace countenance::COUNTENANCE_CPU {

namespace {

// 1, 0 or -1: zero stays zero, and so does an arena's padding.
Vec sign(Vec x) {
  const Vec one = Vec::all(1.0f);
  return where_positive(x, one) - where_positive(Vec::zero() - x, one);
}

}  // namespace

void CpuBackend::lion_step(const OptimizerStep& t, Tensor momentum,
                           const LionAttributes& attributes) {
  if (is_skipped(t.gradient_scale)) return;
  float* w = t.weights.f32();
  float* m = momentum.f32();
  const float* g = t.gradients.f32();
  const Vec scale = Vec::all(t.gradient_scale ? *t.gradient_scale.f32() : 1.0f);
  const Vec beta1 = Vec::all(attributes.beta1);
  const Vec beta2 = Vec::all(attributes.beta2);
  const auto update = [&](int64_t begin, int64_t end, const float* row) {
    const Vec keep = Vec::all(row[kLionKeep]);
    const Vec minus_rate = Vec::all(-row[kLionRate]);
    for_each_vector(begin, end, [&](auto lanes, int64_t i) {
      const Vec gradient = lanes.load(g + i) * scale;
      const Vec old = lanes.load(m + i);
      // beta m + (1 - beta) g = g + beta (m - g)
      const Vec direction = sign(fma(beta1, old - gradient, gradient));
      lanes.store(w + i, fma(minus_rate, direction, keep * lanes.load(w + i)));
      lanes.store(m + i, fma(beta2, old - gradient, gradient));
    });
  };
  pool_.parallel_for(t.weights.elements(), kElementGrain, [&](int64_t begin, int64_t end, int) {
    for_each_group(t.groups, t.rates, begin, end, update);
  });
}

}  // namespace countenance::COUNTENANCE_CPU
