#include "backend/cpu/vectors/vector_math.h"

namespace countenance::COUNTENANCE_CPU {

void CpuBackend::global_average_pool_forward(Tensor y, Tensor x) {
  const int64_t channels = y.shape.channels();
  const int64_t pixels = x.shape[1] * x.shape[2];
  const float* in = x.f32();
  float* out = y.f32();
  const Vec factor = Vec::all(1.0f / static_cast<float>(pixels));
  pool_.parallel_for(y.shape[0], 1, [&](int64_t b, int64_t, int) {
    const float* image = in + b * pixels * channels;
    for_each_channel_block(channels, [&](auto vectors, auto lanes, int64_t c) {
      constexpr int kVectors = vectors.value;
      Vec total[kVectors];
      for (int j = 0; j < kVectors; ++j) total[j] = Vec::zero();
      for (int64_t begin = 0; begin < pixels; begin += kFoldRows) {
        Vec s[kVectors];
        for (int j = 0; j < kVectors; ++j) s[j] = Vec::zero();
        const int64_t end = std::min(pixels, begin + kFoldRows);
        for (int64_t p = begin; p < end; ++p) {
          for (int j = 0; j < kVectors; ++j) {
            s[j] = s[j] + lanes.load(image + p * channels + c + j * Vec::kWidth);
          }
        }
        for (int j = 0; j < kVectors; ++j) total[j] = total[j] + s[j];
      }
      for (int j = 0; j < kVectors; ++j) {
        lanes.store(out + b * channels + c + j * Vec::kWidth, total[j] * factor);
      }
    });
  });
}

void CpuBackend::global_average_pool_backward(Gradient dx, Tensor dy) {
  if (!dx.wanted()) return;
  const Shape& shape = dx.tensor.shape;
  const int64_t channels = shape.channels();
  const int64_t pixels = shape[1] * shape[2];
  const float* gradient = dy.f32();
  float* din = dx.tensor.f32();
  const Vec factor = Vec::all(1.0f / static_cast<float>(pixels));
  with_constant(dx.accumulates(), [&](auto accumulates) {
    pool_.parallel_for(shape[0], 1, [&](int64_t b, int64_t, int) {
      for (int64_t p = 0; p < pixels; ++p) {
        float* pixel = din + (b * pixels + p) * channels;
        for_each_vector(0, channels, [&](auto lanes, int64_t c) {
          store_gradient(lanes, pixel + c, lanes.load(gradient + b * channels + c) * factor,
                         accumulates);
        });
      }
    });
  });
}

}  // namespace countenance::COUNTENANCE_CPU
