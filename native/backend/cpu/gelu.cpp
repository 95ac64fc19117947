#include "backend/cpu/vector_math.h"

namespace countenance::COUNTENANCE_CPU {

void CpuBackend::gelu_forward(Tensor y, Tensor x) {
  const float* in = x.f32();
  float* out = y.f32();
  pool_.parallel_for(x.elements(), kElementGrain, [&](int64_t begin, int64_t end, int) {
    for_each_vector(begin, end, [&](auto lanes, int64_t i) {
      const Vec v = lanes.load(in + i);
      lanes.store(out + i, v * normal_distribution(v).cdf);
    });
  });
}

// d(x Phi(x)) / dx = Phi(x) + x e^(-x^2 / 2) / sqrt(2 pi)
void CpuBackend::gelu_backward(Gradient dx, Tensor dy, Tensor x) {
  if (!dx.wanted()) return;
  const float* gradient = dy.f32();
  const float* in = x.f32();
  float* din = dx.tensor.f32();
  with_constant(dx.accumulates(), [&](auto accumulates) {
    pool_.parallel_for(x.elements(), kElementGrain, [&](int64_t begin, int64_t end, int) {
      for_each_vector(begin, end, [&](auto lanes, int64_t i) {
        const Vec v = lanes.load(in + i);
        const Normal normal = normal_distribution(v);
        const Vec slope = fma(v * Vec::all(0.39894228f), normal.kernel, normal.cdf);
        store_gradient(lanes, din + i, lanes.load(gradient + i) * slope, accumulates);
      });
    });
  });
}

}  // namespace countenance::COUNTENANCE_CPU
