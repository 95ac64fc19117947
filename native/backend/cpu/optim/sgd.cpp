#include "backend/cpu/optim/parameter_groups.h"

namespace countenance::COUNTENANCE_CPU {

// torch.optim.SGD: its first step sets v = g, which is momentum v + g with v = 0.
void CpuBackend::sgd_step(const OptimizerStep& t, Tensor velocity,
                          const SgdAttributes& attributes) {
  if (is_skipped(t.gradient_scale)) return;
  float* w = t.weights.f32();
  float* v = velocity ? velocity.f32() : nullptr;  // absent without momentum
  const float* g = t.gradients.f32();
  const Vec scale = Vec::all(t.gradient_scale ? *t.gradient_scale.f32() : 1.0f);
  const Vec momentum = Vec::all(attributes.momentum);
  with_constant(v != nullptr, [&](auto has_velocity) {
    with_constant(attributes.nesterov, [&](auto nesterov) {
      const auto update = [&](int64_t begin, int64_t end, const float* rate) {
        const Vec decay = Vec::all(rate[kSgdDecay]);
        const Vec minus_rate = Vec::all(-rate[kSgdRate]);
        for_each_vector(begin, end, [&](auto lanes, int64_t i) {
          const Vec weight = lanes.load(w + i);
          Vec step = fma(decay, weight, lanes.load(g + i) * scale);
          if constexpr (has_velocity.value) {
            const Vec next = fma(momentum, lanes.load(v + i), step);
            lanes.store(v + i, next);
            step = nesterov.value ? fma(momentum, next, step) : next;
          }
          lanes.store(w + i, fma(minus_rate, step, weight));
        });
      };
      pool_.parallel_for(t.weights.elements(), kElementGrain, [&](int64_t begin, int64_t end, int) {
        for_each_group(t.groups, t.rates, begin, end, update);
      });
    });
  });
}

}  // namespace countenance::COUNTENANCE_CPU
