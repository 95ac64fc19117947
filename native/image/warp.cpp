#include "image/warp.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/resize.h"

namespace countenance {

namespace {

constexpr int kChannels = 3;
// Maximum samples per side of an output pixel: a face of 7,000 pixels still shrinks to 112 cleanly.
constexpr int64_t kMaxSamples = 64;

struct Image {
  const uint8_t* data;
  int64_t width;
  int64_t height;

  // sum += weight * pixel; adds nothing outside the image.
  void add(double (&sum)[kChannels], int64_t x, int64_t y, double weight) const {
    if (x < 0 || y < 0 || x >= width || y >= height) return;
    const uint8_t* pixel = data + (y * width + x) * kChannels;
    for (int c = 0; c < kChannels; ++c) sum[c] += weight * pixel[c];
  }

  void add_bilinear(double (&sum)[kChannels], double x, double y) const {
    // Pixel centres are at halves. Far outside the image there is nothing to sample.
    x -= 0.5;
    y -= 0.5;
    if (!(x > -1 && y > -1 && x < static_cast<double>(width) && y < static_cast<double>(height)))
      return;
    const double left = std::floor(x);
    const double top = std::floor(y);
    const double right_share = x - left;
    const double bottom_share = y - top;
    const int64_t column = static_cast<int64_t>(left);
    const int64_t row = static_cast<int64_t>(top);
    add(sum, column, row, (1 - right_share) * (1 - bottom_share));
    add(sum, column + 1, row, right_share * (1 - bottom_share));
    add(sum, column, row + 1, (1 - right_share) * bottom_share);
    add(sum, column + 1, row + 1, right_share * bottom_share);
  }
};

int64_t samples_for(const AffineMap& map) {
  // Input pixels from one output pixel to the next, along x and along y.
  const double step =
      std::sqrt(std::max(map[0] * map[0] + map[3] * map[3], map[1] * map[1] + map[4] * map[4]));
  return static_cast<int64_t>(std::clamp(std::ceil(step - 1e-6), 1.0, double{kMaxSamples}));
}

}  // namespace

void warp_affine(uint8_t* out, int64_t size, const uint8_t* in, int64_t width, int64_t height,
                 const AffineMap& map) {
  check_image_side("new size", size);
  check_image_side("width", width);
  check_image_side("height", height);
  require(std::all_of(map.begin(), map.end(), [](double m) { return std::isfinite(m); }),
          "Expected finite numbers for an affine map");
  const Image image{in, width, height};
  const int64_t samples = samples_for(map);
  const double share = 1.0 / static_cast<double>(samples * samples);
  for (int64_t row = 0; row < size; ++row) {
    for (int64_t column = 0; column < size; ++column) {
      double sum[kChannels] = {};
      for (int64_t j = 0; j < samples; ++j) {
        const double y = static_cast<double>(row) +
                         (static_cast<double>(j) + 0.5) / static_cast<double>(samples);
        for (int64_t i = 0; i < samples; ++i) {
          const double x = static_cast<double>(column) +
                           (static_cast<double>(i) + 0.5) / static_cast<double>(samples);
          image.add_bilinear(sum, map[0] * x + map[1] * y + map[2],
                             map[3] * x + map[4] * y + map[5]);
        }
      }
      for (double s : sum) *out++ = static_cast<uint8_t>(s * share + 0.5);
    }
  }
}

}  // namespace countenance
