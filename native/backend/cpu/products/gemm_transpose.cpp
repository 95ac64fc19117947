#include "backend/cpu/products/gemm.h"

namespace countenance::COUNTENANCE_CPU {

namespace {

#if defined(COUNTENANCE_ISA_AVX512)

// 16 x 16, in four rounds of exchanges between registers 1, 2, 4 and 8 apart.
void transpose_whole(float* out, const float* in) {
  __m512 a[kPanel];
  __m512 b[kPanel];
#pragma GCC unroll 16
  for (int i = 0; i < kPanel; ++i) a[i] = _mm512_loadu_ps(in + i * kPanel);
#pragma GCC unroll 8
  for (int i = 0; i < kPanel; i += 2) {
    b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < kPanel; i += 4) {
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      const __m512d low = _mm512_castps_pd(b[i + j]);
      const __m512d high = _mm512_castps_pd(b[i + j + 2]);
      a[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
      a[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
    }
  }
  // a[4 g + c], lane quarter q: rows 4 g .. 4 g + 3 of column 4 q + c.
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    const __m512 even_low = _mm512_shuffle_f32x4(a[c], a[4 + c], 0x88);
    const __m512 odd_low = _mm512_shuffle_f32x4(a[c], a[4 + c], 0xdd);
    const __m512 even_high = _mm512_shuffle_f32x4(a[8 + c], a[12 + c], 0x88);
    const __m512 odd_high = _mm512_shuffle_f32x4(a[8 + c], a[12 + c], 0xdd);
    _mm512_storeu_ps(out + c * kPanel, _mm512_shuffle_f32x4(even_low, even_high, 0x88));
    _mm512_storeu_ps(out + (4 + c) * kPanel, _mm512_shuffle_f32x4(odd_low, odd_high, 0x88));
    _mm512_storeu_ps(out + (8 + c) * kPanel, _mm512_shuffle_f32x4(even_low, even_high, 0xdd));
    _mm512_storeu_ps(out + (12 + c) * kPanel, _mm512_shuffle_f32x4(odd_low, odd_high, 0xdd));
  }
}

#else

void transpose_whole(float* out, const float* in) {
  for (int64_t o = 0; o < kPanel; ++o) {
    for (int64_t i = 0; i < kPanel; ++i) out[o * kPanel + i] = in[i * kPanel + o];
  }
}

#endif

// out[o][i] = in[i][o] for i < inputs and o < outputs, o < 16 and i < 16; zero for larger i.
void transpose_block(float* out, const float* in, int64_t inputs, int64_t outputs) {
  if (inputs == kPanel && outputs == kPanel) {
    transpose_whole(out, in);
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
