#include "backend/cpu/gemm.h"

namespace countenance::COUNTENANCE_CPU {

namespace {

// out[o][i] = in[i][o] for i < inputs and o < outputs, o < 16 and i < 16; zero for further i.
void transpose_block(float* out, const float* in, int64_t inputs, int64_t outputs) {
  if (inputs == kPanel && outputs == kPanel) {
    for (int64_t o = 0; o < kPanel; ++o) {
      for (int64_t i = 0; i < kPanel; ++i) out[o * kPanel + i] = in[i * kPanel + o];
    }
    return;
  }
  for (int64_t o = 0; o < outputs; ++o) {
    for (int64_t i = 0; i < kPanel; ++i) out[o * kPanel + i] = i < inputs ? in[i * kPanel + o] : 0;
  }
}

}  // namespace

int64_t transposed_elements(const Shape& weight) {
  return panels_of(weight[1]) * kPanel * weight[0] * kernel_height(weight) * kernel_width(weight);
}

void transpose_weight(const Workers& workers, float* transposed, Tensor weight, int64_t stride) {
  const int64_t outputs = weight.shape[0];
  const int64_t inputs = weight.shape[1];
  const int64_t height = kernel_height(weight.shape);
  const int64_t width = kernel_width(weight.shape);
  const int64_t taps = height * width;
  const int64_t panels = panels_of(inputs);
  const float* in = weight.f32();
  // Piece: one tap of one panel.
  workers.pool.parallel_for(taps * panels, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t tap = piece / panels;
      const int64_t panel = piece % panels;
      const int64_t y = tap / width;
      const int64_t x = tap % width;
      // Taps of the classes before this one: all those above its rows, then those left of it.
      int64_t before = 0;
      for (int64_t first = 0; first < y % stride; ++first) {
        before += TapClass(first, stride, height).count * width;
      }
      const TapClass rows(y % stride, stride, height);
      for (int64_t first = 0; first < x % stride; ++first) {
        before += TapClass(first, stride, width).count * rows.count;
      }
      const TapClass columns(x % stride, stride, width);
      const int64_t place = y / stride * columns.count + x / stride;
      float* out = transposed + before * panels * outputs * kPanel +
                   (panel * rows.count * columns.count + place) * outputs * kPanel;
      const int64_t lanes = std::min(kPanel, inputs - panel * kPanel);
      for (int64_t o = 0; o < outputs; o += kPanel) {
        const float* from = in + o * taps * inputs + (tap * inputs + panel * kPanel) * kPanel;
        transpose_block(out + o * kPanel, from, lanes, std::min(kPanel, outputs - o));
      }
    }
  });
}

}  // namespace countenance::COUNTENANCE_CPU
