#include "backend/cpu/vectors/vector_math.h"

namespace countenance::COUNTENANCE_CPU {

namespace {
constexpr int64_t blocks_of(int64_t n) { return (n + kElementGrain - 1) / kElementGrain; }
}  // namespace

size_t CpuBackend::clip_workspace(int64_t n) const {
  return static_cast<size_t>(blocks_of(n)) * sizeof(double);
}

void CpuBackend::clip_gradient(Tensor gradient_scale, Tensor norm, Tensor gradients, Tensor loss,
                               float max_norm, Tensor workspace) {
  const int64_t n = gradients.elements();
  const float* g = gradients.f32();
  double* squares = static_cast<double*>(workspace.data);
  pool_.parallel_for(n, kElementGrain, [&](int64_t begin, int64_t end, int) {
    squares[begin / kElementGrain] = dot(g + begin, g + begin, end - begin);
  });
  double total = 0;
  for (int64_t i = 0; i < blocks_of(n); ++i) total += squares[i];
  const double size = std::sqrt(total);
  *norm.f32() = static_cast<float>(size);
  const double limit = static_cast<double>(max_norm);
  const bool finite = std::isfinite(*norm.f32()) && (!loss || std::isfinite(*loss.f32()));
  *gradient_scale.f32() =
      is_skipped(gradient_scale) || !finite
          ? std::numeric_limits<float>::quiet_NaN()
          : (max_norm > 0 ? static_cast<float>(std::min(1.0, limit / (size + 1e-6))) : 1.0f);
}

}  // namespace countenance::COUNTENANCE_CPU
