#include "backend/cpu/vectors/vector_math.h"

namespace countenance::COUNTENANCE_CPU {

namespace {

// The largest value so far and its kernel position, lane by lane.
struct Best {
  Vec value;
  Vec position;  // a small integer, exact in float
};

// x replaces the best when it is greater, or NaN, as in PyTorch: the first maximum wins.
// where_equal: a == b ? v : 0. Positions are stored as bytes.
#if defined(COUNTENANCE_ISA_AVX512)
void offer(Best& best, Vec x, Vec position) {
  const __mmask16 wins = _mm512_cmp_ps_mask(x.v, best.value.v, _CMP_GT_OQ) |
                         _mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q);
  best.value.v = _mm512_mask_mov_ps(best.value.v, wins, x.v);
  best.position.v = _mm512_mask_mov_ps(best.position.v, wins, position.v);
}
Vec where_equal(Vec a, Vec b, Vec v) {
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ), v.v)};
}
void store_positions(uint8_t* p, Vec positions, int64_t n) {
  const __m128i bytes = _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(positions.v));
  _mm_mask_storeu_epi8(p, Vec::mask(n), bytes);
}
Vec load_positions(const uint8_t* p, int64_t n) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(Vec::mask(n), p)))};
}
#elif defined(COUNTENANCE_ISA_AVX2)
void offer(Best& best, Vec x, Vec position) {
  const __m256 wins = _mm256_or_ps(_mm256_cmp_ps(x.v, best.value.v, _CMP_GT_OQ),
                                   _mm256_cmp_ps(x.v, x.v, _CMP_UNORD_Q));
  best.value.v = _mm256_blendv_ps(best.value.v, x.v, wins);
  best.position.v = _mm256_blendv_ps(best.position.v, position.v, wins);
}
Vec where_equal(Vec a, Vec b, Vec v) {
  return {_mm256_and_ps(_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ), v.v)};
}
void store_positions(uint8_t* p, Vec positions, int64_t n) {
  const __m256i integers = _mm256_cvttps_epi32(positions.v);
  const __m128i shorts =
      _mm_packs_epi32(_mm256_castsi256_si128(integers), _mm256_extracti128_si256(integers, 1));
  const int64_t bytes = _mm_cvtsi128_si64(_mm_packus_epi16(shorts, shorts));
  std::memcpy(p, &bytes, static_cast<size_t>(n));
}
Vec load_positions(const uint8_t* p, int64_t n) {
  int64_t bytes = 0;
  std::memcpy(&bytes, p, static_cast<size_t>(n));
  return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(bytes)))};
}
#else
void offer(Best& best, Vec x, Vec position) {
  const auto wins = (x.v > best.value.v) | (x.v != x.v);
  best.value.v = wins ? x.v : best.value.v;
  best.position.v = wins ? position.v : best.position.v;
}
Vec where_equal(Vec a, Vec b, Vec v) { return {a.v == b.v ? v.v : Vec::Lanes{}}; }
void store_positions(uint8_t* p, Vec positions, int64_t n) {
  float values[Vec::kWidth];
  positions.store(values);
  uint8_t bytes[Vec::kWidth];
  for (int l = 0; l < Vec::kWidth; ++l) bytes[l] = static_cast<uint8_t>(values[l]);
  std::memcpy(p, bytes, static_cast<size_t>(n));
}

Vec load_positions(const uint8_t* p, int64_t n) {
  uint8_t bytes[Vec::kWidth] = {};
  std::memcpy(bytes, p, static_cast<size_t>(n));
  float values[Vec::kWidth];
  for (int l = 0; l < Vec::kWidth; ++l) values[l] = static_cast<float>(bytes[l]);
  return Vec::load(values);
}
#endif

// Indices [begin, end) of a range.
struct Range {
  int64_t begin;
  int64_t end;
};

// Kernel positions of output o that lie inside the image.
Range kernel_range(int64_t o, int64_t size, const MaxPoolAttributes& a) {
  const int64_t first = o * a.stride - a.padding;
  return {std::max<int64_t>(0, -first), std::min(a.kernel, size - first)};
}

// Outputs whose kernel covers the input index i.
Range output_range(int64_t i, int64_t outputs, const MaxPoolAttributes& a) {
  const int64_t last = (i + a.padding) / a.stride;
  const int64_t before = i + a.padding - a.kernel;
  return {before < 0 ? 0 : before / a.stride + 1, std::min(outputs, last + 1)};
}

}  // namespace

void CpuBackend::max_pool_forward(Tensor y, Tensor argmax, Tensor x,
                                  const MaxPoolAttributes& attributes) {
  const int64_t height = x.shape[1];
  const int64_t width = x.shape[2];
  const int64_t channels = x.shape[3];
  const int64_t out_height = y.shape[1];
  const int64_t out_width = y.shape[2];
  const float* in = x.f32();
  float* out = y.f32();
  uint8_t* positions = argmax ? argmax.u8() : nullptr;
  pool_.parallel_for(y.shape[0] * out_height, 1, [&](int64_t row, int64_t, int) {
    const int64_t oy = row % out_height;
    const float* image = in + row / out_height * height * width * channels;
    const Range ky = kernel_range(oy, height, attributes);
    for (int64_t ox = 0; ox < out_width; ++ox) {
      const Range kx = kernel_range(ox, width, attributes);
      const int64_t iy = oy * attributes.stride - attributes.padding;
      const int64_t ix = ox * attributes.stride - attributes.padding;
      const int64_t at = (row * out_width + ox) * channels;
      const float* corner = image + ((iy + ky.begin) * width + ix + kx.begin) * channels;
      const auto pool_block = [&](auto vectors, auto lanes, int64_t c) {
        constexpr int kVectors = vectors.value;
        Best best[kVectors];
        const Vec first = Vec::all(static_cast<float>(ky.begin * attributes.kernel + kx.begin));
        for (int j = 0; j < kVectors; ++j) {
          best[j] = {Vec::all(-std::numeric_limits<float>::infinity()), first};
        }
        for (int64_t v = ky.begin; v < ky.end; ++v) {
          const float* pixel = corner + (v - ky.begin) * width * channels + c;
          for (int64_t u = kx.begin; u < kx.end; ++u, pixel += channels) {
            const Vec position = Vec::all(static_cast<float>(v * attributes.kernel + u));
            for (int j = 0; j < kVectors; ++j) {
              offer(best[j], lanes.load(pixel + j * Vec::kWidth), position);
            }
          }
        }
        for (int j = 0; j < kVectors; ++j) {
          const int64_t to = at + c + j * Vec::kWidth;
          lanes.store(out + to, best[j].value);
          if (positions) store_positions(positions + to, best[j].position, lanes.lanes());
        }
      };
      // Four vectors share one pass over the kernel.
      int64_t c = 0;
      for (; c + 4 * Vec::kWidth <= channels; c += 4 * Vec::kWidth) {
        pool_block(std::integral_constant<int, 4>{}, WholeVector{}, c);
      }
      for_each_vector(c, channels, [&](auto lanes, int64_t i) {
        pool_block(std::integral_constant<int, 1>{}, lanes, i);
      });
    }
  });
}

// Each input gathers from the outputs that may have chosen it: no two tasks write to the same
// place.
void CpuBackend::max_pool_backward(Gradient dx, Tensor dy, Tensor argmax,
                                   const MaxPoolAttributes& attributes) {
  if (!dx.wanted()) return;
  const Shape& shape = dx.tensor.shape;
  const int64_t height = shape[1];
  const int64_t width = shape[2];
  const int64_t channels = shape[3];
  const int64_t out_height = dy.shape[1];
  const int64_t out_width = dy.shape[2];
  const float* gradient = dy.f32();
  const uint8_t* positions = argmax.u8();
  float* din = dx.tensor.f32();
  with_constant(dx.accumulates(), [&](auto accumulates) {
    pool_.parallel_for(shape[0] * height, 1, [&](int64_t row, int64_t, int) {
      const int64_t iy = row % height;
      const int64_t image = row / height * out_height * out_width;
      const Range oy = output_range(iy, out_height, attributes);
      for (int64_t ix = 0; ix < width; ++ix) {
        const Range ox = output_range(ix, out_width, attributes);
        for_each_vector(0, channels, [&](auto lanes, int64_t c) {
          Vec total = Vec::zero();
          for (int64_t v = oy.begin; v < oy.end; ++v) {
            for (int64_t u = ox.begin; u < ox.end; ++u) {
              const int64_t ky = iy + attributes.padding - v * attributes.stride;
              const int64_t kx = ix + attributes.padding - u * attributes.stride;
              const int64_t at = (image + v * out_width + u) * channels + c;
              const Vec here = Vec::all(static_cast<float>(ky * attributes.kernel + kx));
              total = total + where_equal(load_positions(positions + at, lanes.lanes()), here,
                                          lanes.load(gradient + at));
            }
          }
          store_gradient(lanes, din + (row * width + ix) * channels + c, total, accumulates);
        });
      }
    });
  });
}

}  // namespace countenance::COUNTENANCE_CPU
