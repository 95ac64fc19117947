#include "backend/prepared_images.h"

#include "backend/cpu/vectors/simd.h"

namespace countenance::COUNTENANCE_CPU {

namespace {

constexpr int kChannels = kImageChannels;

// (p / 255 - mean) / std of every pixel value, with torchvision's steps and rounding (to_tensor
// divides by 255, normalize subtracts and divides): three divisions are too slow per pixel but free
// for 256 values per channel.
struct Levels {
  float value[kChannels][256];

  explicit Levels(const Normalization& normalization) {
    for (int c = 0; c < kChannels; ++c) {
      for (int p = 0; p < 256; ++p) {
        value[c][p] =
            (static_cast<float>(p) / 255.0f - normalization.mean[c]) / normalization.std[c];
      }
    }
  }
};

// One row of the output: `in` is the source row, or null if it is outside the image. Columns
// [begin, end) of the crop are inside.
void prepare_row(float* out, const uint8_t* in, int64_t size, int64_t shift_x, bool flip,
                 const Levels& levels) {
  const float black[kChannels] = {levels.value[0][0], levels.value[1][0], levels.value[2][0]};
  const int64_t begin = in ? std::clamp<int64_t>(-shift_x, 0, size) : size;
  const int64_t end = in ? std::clamp<int64_t>(size - shift_x, begin, size) : size;
  // Column x of the crop is at x, or mirrored; column x + 1 is `step` floats further on.
  const int64_t step = flip ? -kChannels : kChannels;
  float* to = out + (flip ? (size - 1) * kChannels : 0);
  int64_t x = 0;
  const auto fill_black = [&](int64_t until) {
    for (; x < until; ++x, to += step) {
      for (int c = 0; c < kChannels; ++c) to[c] = black[c];
    }
  };
  fill_black(begin);
  const uint8_t* from = in + (in ? (begin + shift_x) * kChannels : 0);
  for (; x < end; ++x, to += step, from += kChannels) {
    for (int c = 0; c < kChannels; ++c) to[c] = levels.value[c][from[c]];
  }
  fill_black(size);
}

}  // namespace

void CpuBackend::prepare_images(Tensor out, Tensor images,
                                std::span<const ImageTransform> transforms,
                                const Normalization& normalization) {
  const int64_t batch = images.shape[0];
  const int64_t size = images.shape[1];
  float* y = out.f32();
  const uint8_t* x = images.u8();
  ensure(images.shape == Shape({batch, size, size, kChannels}), "images of shape ", images.shape);
  ensure_prepares(out, batch, transforms);
  const Levels levels(normalization);
  // The rows of all images together: even one large image keeps every thread busy.
  const int64_t grain = std::max<int64_t>(1, (int64_t{1} << 14) / (size * kChannels));
  pool_.parallel_for(batch * size, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const ImageTransform& t = transforms[static_cast<size_t>(i / size)];
      const int64_t row = i % size;
      const int64_t source = row + t.shift_y;
      const bool inside = source >= 0 && source < size;
      float* to = y + i * size * kChannels;
      prepare_row(to, inside ? x + (i - row + source) * size * kChannels : nullptr, size, t.shift_x,
                  t.flip, levels);
      if (row >= t.erase_top && row < t.erase_top + t.erase_height) {
        std::fill_n(to + t.erase_left * kChannels, t.erase_width * kChannels, 0.0f);
      }
    }
  });
}

}  // namespace countenance::COUNTENANCE_CPU
