#include "backend/cpu/vector_math.h"

namespace countenance::COUNTENANCE_CPU {

void CpuBackend::relu_forward(Tensor y, Tensor x) {
  const float* in = x.f32();
  float* out = y.f32();
  pool_.parallel_for(x.elements(), kElementGrain, [&](int64_t begin, int64_t end, int) {
    for_each_vector(begin, end,
                    [&](auto lanes, int64_t i) { lanes.store(out + i, relu(lanes.load(in + i))); });
  });
}

void CpuBackend::relu_backward(Gradient dx, Tensor dy, Tensor y) {
  if (!dx.wanted()) return;
  const float* gradient = dy.f32();
  const float* out = y.f32();
  float* din = dx.tensor.f32();
  with_constant(dx.accumulates(), [&](auto accumulates) {
    pool_.parallel_for(dy.elements(), kElementGrain, [&](int64_t begin, int64_t end, int) {
      for_each_vector(begin, end, [&](auto lanes, int64_t i) {
        const Vec v = where_positive(lanes.load(out + i), lanes.load(gradient + i));
        store_gradient(lanes, din + i, v, accumulates);
      });
    });
  });
}

}  // namespace countenance::COUNTENANCE_CPU
