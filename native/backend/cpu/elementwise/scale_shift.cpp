#include "backend/cpu/vectors/vector_math.h"

namespace countenance::COUNTENANCE_CPU {

void CpuBackend::scale_shift_forward(Tensor y, Tensor x, const Epilogue& epilogue) {
  const int64_t rows = x.shape.rows();
  const int64_t channels = x.shape.channels();
  const float* in = x.f32();
  float* out = y.f32();
  const float* scales = epilogue.scale ? epilogue.scale.f32() : nullptr;
  const float* shifts = epilogue.shift ? epilogue.shift.f32() : nullptr;
  const float* added = epilogue.residual ? epilogue.residual.f32() : nullptr;
  const bool has_relu = epilogue.activation == Activation::Relu;
  with_constant(added != nullptr, [&](auto has_residual) {
    pool_.parallel_for(rows, row_grain(channels), [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r) {
        const int64_t row = r * channels;
        for_each_vector(0, channels, [&](auto lanes, int64_t c) {
          const Vec scale = scales ? lanes.load(scales + c) : Vec::all(1.0f);
          const Vec shift = shifts ? lanes.load(shifts + c) : Vec::zero();
          Vec v = fma(lanes.load(in + row + c), scale, shift);
          if constexpr (has_residual.value) v = v + lanes.load(added + row + c);
          lanes.store(out + row + c, has_relu ? relu(v) : v);
        });
      }
    });
  });
}

}  // namespace countenance::COUNTENANCE_CPU
