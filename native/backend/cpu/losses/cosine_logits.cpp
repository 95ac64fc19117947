#include "backend/cpu/vectors/vector_math.h"

namespace countenance::COUNTENANCE_CPU {

void CpuBackend::cosine_logits(Tensor logits, Tensor features, Tensor text, float scale) {
  const int64_t width = features.shape[1];
  const int64_t classes = text.shape[0];
  const float* f = features.f32();
  const float* t = text.f32();
  float* out = logits.f32();
  pool_.parallel_for(features.shape[0], 8, [&](int64_t begin, int64_t end, int) {
    for (int64_t k = 0; k < classes; ++k) {
      const double factor = scale * inverse_norm(t + k * width, width);
      for (int64_t b = begin; b < end; ++b) {
        out[b * classes + k] =
            static_cast<float>(factor * dot(f + b * width, t + k * width, width));
      }
    }
    for (int64_t b = begin; b < end; ++b) {
      const double factor = inverse_norm(f + b * width, width);
      for (int64_t k = 0; k < classes; ++k) {
        float& z = out[b * classes + k];
        z = static_cast<float>(z * factor);
      }
    }
  });
}

}  // namespace countenance::COUNTENANCE_CPU
