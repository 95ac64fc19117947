#include "backend/cpu/vectors/vector_math.h"

namespace countenance::COUNTENANCE_CPU {

// average = decay average + (1 - decay) weights
void CpuBackend::ema_update(Tensor average, Tensor weights, Tensor gradient_scale, float decay) {
  if (is_skipped(gradient_scale)) return;
  float* mean = average.f32();
  const float* w = weights.f32();
  const Vec rest = Vec::all(static_cast<float>(1 - static_cast<double>(decay)));
  pool_.parallel_for(weights.elements(), kElementGrain, [&](int64_t begin, int64_t end, int) {
    for_each_vector(begin, end, [&](auto lanes, int64_t i) {
      const Vec old = lanes.load(mean + i);
      lanes.store(mean + i, fma(rest, lanes.load(w + i) - old, old));
    });
  });
}

}  // namespace countenance::COUNTENANCE_CPU
