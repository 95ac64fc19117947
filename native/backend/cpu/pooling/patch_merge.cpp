#include "backend/cpu/vectors/vector_math.h"

namespace countenance::COUNTENANCE_CPU {

namespace {

// Neighbour k of a group, Swin's order: row offset, column offset.
constexpr int64_t kRow[4] = {0, 1, 0, 1};
constexpr int64_t kColumn[4] = {0, 0, 1, 1};

}  // namespace

void CpuBackend::patch_merge_forward(Tensor y, Tensor x) {
  const int64_t width = x.shape[2];
  const int64_t channels = x.shape[3];
  const int64_t half = width / 2;
  const float* in = x.f32();
  float* out = y.f32();
  pool_.parallel_for(y.shape[0] * y.shape[1], 1, [&](int64_t row, int64_t, int) {
    for (int64_t column = 0; column < half; ++column) {
      for (int64_t k = 0; k < 4; ++k) {
        const int64_t from = ((2 * row + kRow[k]) * width + 2 * column + kColumn[k]) * channels;
        const int64_t to = ((row * half + column) * 4 + k) * channels;
        std::memcpy(out + to, in + from, static_cast<size_t>(channels) * sizeof(float));
      }
    }
  });
}

void CpuBackend::patch_merge_backward(Gradient dx, Tensor dy) {
  if (!dx.wanted()) return;
  const Shape& shape = dx.tensor.shape;
  const int64_t width = shape[2];
  const int64_t channels = shape[3];
  const int64_t half = width / 2;
  const float* gradient = dy.f32();
  float* din = dx.tensor.f32();
  with_constant(dx.accumulates(), [&](auto accumulates) {
    pool_.parallel_for(dy.shape[0] * dy.shape[1], 1, [&](int64_t row, int64_t, int) {
      for (int64_t column = 0; column < half; ++column) {
        for (int64_t k = 0; k < 4; ++k) {
          const int64_t to = ((2 * row + kRow[k]) * width + 2 * column + kColumn[k]) * channels;
          const int64_t from = ((row * half + column) * 4 + k) * channels;
          for_each_vector(0, channels, [&](auto lanes, int64_t c) {
            store_gradient(lanes, din + to + c, lanes.load(gradient + from + c), accumulates);
          });
        }
      }
    });
  });
}

}  // namespace countenance::COUNTENANCE_CPU
