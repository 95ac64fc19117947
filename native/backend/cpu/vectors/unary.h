#pragma once

#include "backend/cpu/vectors/vector_math.h"

namespace countenance::COUNTENANCE_CPU {

// y = f(x), element by element. f: Vec -> Vec.
template <class F>
inline void unary_forward(ThreadPool& pool, Tensor y, Tensor x, F&& f) {
  const float* in = x.f32();
  float* out = y.f32();
  pool.parallel_for(x.elements(), kElementGrain, [&](int64_t begin, int64_t end, int) {
    for_each_vector(begin, end,
                    [&](auto lanes, int64_t i) { lanes.store(out + i, f(lanes.load(in + i))); });
  });
}

// dx = f(dy, saved), element by element. saved: x or y. f: (Vec, Vec) -> Vec.
template <class F>
inline void unary_backward(ThreadPool& pool, Gradient dx, Tensor dy, Tensor saved, F&& f) {
  if (!dx.wanted()) return;
  const float* gradient = dy.f32();
  const float* kept = saved.f32();
  float* din = dx.tensor.f32();
  with_constant(dx.accumulates(), [&](auto accumulates) {
    pool.parallel_for(dy.elements(), kElementGrain, [&](int64_t begin, int64_t end, int) {
      for_each_vector(begin, end, [&](auto lanes, int64_t i) {
        store_gradient(lanes, din + i, f(lanes.load(gradient + i), lanes.load(kept + i)),
                       accumulates);
      });
    });
  });
}

}  // namespace countenance::COUNTENANCE_CPU
