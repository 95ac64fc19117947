#include "backend/cpu/vectors/vector_math.h"

namespace countenance::COUNTENANCE_CPU {

// One number per sample: not worth a second thread.
void CpuBackend::drop_path_scale(Tensor row_scale, float probability, RandomKey key) {
  const RandomStream random(key.seed, key.stream);
  float* scales = row_scale.f32();
  const float kept = 1.0f / (1.0f - probability);
  for (int64_t b = 0; b < row_scale.elements(); ++b) {
    scales[b] = random.uniform(static_cast<uint64_t>(b)) < probability ? 0.0f : kept;
  }
}

}  // namespace countenance::COUNTENANCE_CPU
