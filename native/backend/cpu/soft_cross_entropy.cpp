#include "backend/cpu/vector_math.h"

namespace countenance::COUNTENANCE_CPU {

// A batch of a few classes: not worth a second thread. Sums are in double.
//   dlogits_k = (softmax_k sum_j targets_j - targets_k) / B
void CpuBackend::soft_cross_entropy(Tensor loss, Gradient dlogits, Tensor logits, Tensor targets) {
  const int64_t batch = logits.shape[0];
  const int64_t classes = logits.shape[1];
  const float* scores = logits.f32();
  const float* labels = targets.f32();
  float* gradient = dlogits.wanted() ? dlogits.tensor.f32() : nullptr;
  const double share = 1.0 / static_cast<double>(std::max<int64_t>(batch, 1));
  double total = 0;
  for (int64_t b = 0; b < batch; ++b) {
    const float* z = scores + b * classes;
    const float* t = labels + b * classes;
    const double highest = *std::max_element(z, z + classes);
    double sum = 0;
    double mass = 0;
    for (int64_t k = 0; k < classes; ++k) {
      sum += std::exp(z[k] - highest);
      mass += t[k];
    }
    const double log_sum = highest + std::log(sum);
    for (int64_t k = 0; k < classes; ++k) {
      if (t[k] != 0) total += t[k] * (log_sum - z[k]);
      if (!gradient) continue;
      const double g = share * (mass * std::exp(z[k] - log_sum) - t[k]);
      float& place = gradient[b * classes + k];
      place = static_cast<float>(g + (dlogits.accumulates() ? place : 0));
    }
  }
  *loss.f32() = static_cast<float>(total * share);
}

}  // namespace countenance::COUNTENANCE_CPU
