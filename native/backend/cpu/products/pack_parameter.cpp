#include "backend/cpu/products/gemm.h"

namespace countenance::COUNTENANCE_CPU {

namespace {

// f(offset in the packed layout, offset in PyTorch's (out, in, kh, kw)) for every element.
template <class F>
void for_each_element(const Shape& shape, F&& f) {
  const int64_t out = shape[0];
  const int64_t in = shape[1];
  const int64_t taps = kernel_height(shape) * kernel_width(shape);
  for (int64_t o = 0; o < out; ++o) {
    const int64_t panel = o / kPanel * taps * in * kPanel + o % kPanel;
    for (int64_t i = 0; i < in; ++i) {
      for (int64_t tap = 0; tap < taps; ++tap) {
        f(panel + (tap * in + i) * kPanel, (o * in + i) * taps + tap);
      }
    }
  }
}

}  // namespace

int64_t CpuBackend::packed_elements(const Shape& shape) const {
  require(shape.rank() == 2 || shape.rank() == 4,
          "Expected a matrix parameter (out, in) or (out, in, kh, kw) but received ", shape);
  return panels_of(shape[0]) * kPanel * shape[1] * kernel_height(shape) * kernel_width(shape);
}

void CpuBackend::pack_parameter(Tensor packed, const float* torch) {
  float* out = packed.f32();
  std::fill(out, out + packed_elements(packed.shape), 0.0f);
  for_each_element(packed.shape, [&](int64_t to, int64_t from) { out[to] = torch[from]; });
}

void CpuBackend::unpack_parameter(float* torch, Tensor packed) {
  const float* in = packed.f32();
  for_each_element(packed.shape, [&](int64_t from, int64_t to) { torch[to] = in[from]; });
}

}  // namespace countenance::COUNTENANCE_CPU
