#include "backend/cpu/vectors/vector_math.h"

namespace countenance::COUNTENANCE_CPU {

namespace {

// f(row_scale[b], begin, end) over the elements of each sample b in [begin, end).
template <class F>
void for_each_sample(const float* row_scale, int64_t sample, int64_t begin, int64_t end, F&& f) {
  while (begin < end) {
    const int64_t b = row_scale ? begin / sample : 0;
    const int64_t stop = row_scale ? std::min(end, (b + 1) * sample) : end;
    f(Vec::all(row_scale ? row_scale[b] : 1.0f), begin, stop);
    begin = stop;
  }
}

}  // namespace

void CpuBackend::add_forward(Tensor y, Tensor a, Tensor b, Tensor row_scale) {
  const float* first = a.f32();
  const float* second = b.f32();
  float* out = y.f32();
  const float* scales = row_scale ? row_scale.f32() : nullptr;
  const int64_t n = y.elements();
  const int64_t sample = n / std::max<int64_t>(y.shape[0], 1);
  pool_.parallel_for(n, kElementGrain, [&](int64_t begin, int64_t end, int) {
    for_each_sample(scales, sample, begin, end, [&](Vec scale, int64_t from, int64_t to) {
      for_each_vector(from, to, [&](auto lanes, int64_t i) {
        lanes.store(out + i, fma(scale, lanes.load(second + i), lanes.load(first + i)));
      });
    });
  });
}

void CpuBackend::add_backward(Gradient da, Gradient db, Tensor dy, Tensor row_scale) {
  const float* gradient = dy.f32();
  const float* scales = row_scale ? row_scale.f32() : nullptr;
  float* first = da.wanted() ? da.tensor.f32() : nullptr;
  float* second = db.wanted() ? db.tensor.f32() : nullptr;
  if (!first && !second) return;
  const int64_t n = dy.elements();
  const int64_t sample = n / std::max<int64_t>(dy.shape[0], 1);
  pool_.parallel_for(n, kElementGrain, [&](int64_t begin, int64_t end, int) {
    for_each_sample(scales, sample, begin, end, [&](Vec scale, int64_t from, int64_t to) {
      for_each_vector(from, to, [&](auto lanes, int64_t i) {
        const Vec g = lanes.load(gradient + i);
        if (first) lanes.store(first + i, da.accumulates() ? lanes.load(first + i) + g : g);
        if (second) {
          const Vec v = scale * g;
          lanes.store(second + i, db.accumulates() ? lanes.load(second + i) + v : v);
        }
      });
    });
  });
}

}  // namespace countenance::COUNTENANCE_CPU
