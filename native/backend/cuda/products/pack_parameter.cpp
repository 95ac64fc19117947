#include <vector>

#include "backend/cuda/backend_class.h"
#include "backend/cuda/products/packed_weight.h"

namespace countenance::cuda {

namespace {

// f(place in the packed layout, place in PyTorch's (out, in, kh, kw)) for every number.
template <class F>
void for_each_number(const PackedWeight& w, F&& f) {
  const int64_t taps = w.height * w.width;
  for (int64_t o = 0; o < w.out; ++o) {
    for (int64_t tap = 0; tap < taps; ++tap) {
      for (int64_t i = 0; i < w.in; ++i) {
        f(o * w.pitch + tap * w.in + i, (o * w.in + i) * taps + tap);
      }
    }
  }
}

}  // namespace

int64_t CudaBackend::packed_elements(const Shape& shape) const {
  return PackedWeight(shape).elements();
}

// On the host: weights move between host and device only when a model is loaded or saved, never in
// a step.
void CudaBackend::pack_parameter(Tensor packed, const float* torch) {
  const PackedWeight w(packed.shape);
  std::vector<float> rows(static_cast<size_t>(w.elements()), 0.0f);
  for_each_number(w,
                  [&](int64_t to, int64_t from) { rows[static_cast<size_t>(to)] = torch[from]; });
  copy_in({packed.data, Shape{w.elements()}, DType::F32}, rows.data());
}

void CudaBackend::unpack_parameter(float* torch, Tensor packed) {
  const PackedWeight w(packed.shape);
  std::vector<float> rows(static_cast<size_t>(w.elements()));
  copy_out(rows.data(), {packed.data, Shape{w.elements()}, DType::F32});
  for_each_number(w,
                  [&](int64_t from, int64_t to) { torch[to] = rows[static_cast<size_t>(from)]; });
}

}  // namespace countenance::cuda
