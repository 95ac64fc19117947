#include "backend/cpu/products/winograd.h"

namespace countenance::COUNTENANCE_CPU {

namespace {

// Costs in multiply-adds of one lane. A transform's is what it takes per channel of a tile, or per
// element of the weight, with its loads and stores.
constexpr double kInputCost = 300;
constexpr double kOutputCost = 250;
constexpr double kWeightCost = 200;
constexpr int64_t kLeastRows = 6;  // a product of fewer rows takes as long

double winograd_cost(const WinogradConv& c) {
  const double channels = static_cast<double>(c.depth) * static_cast<double>(c.columns);
  const double tiles = static_cast<double>(c.tiles());
  const double rows = static_cast<double>(std::max(c.tiles(), kLeastRows));
  return rows * channels * static_cast<double>(kPositions) +
         tiles * (kInputCost * static_cast<double>(c.depth) +
                  kOutputCost * static_cast<double>(c.columns)) +
         channels * kWeightCost;
}

// The taps inside the image, which are all that the direct product multiplies.
double taps_inside(int64_t out, int64_t in, int64_t padding) {
  int64_t taps = 0;
  for (int64_t tap = 0; tap < 3; ++tap) {
    const int64_t first = std::max<int64_t>(0, padding - tap);
    const int64_t last = std::min(out, in + padding - tap);
    taps += std::max<int64_t>(0, last - first);
  }
  return static_cast<double>(taps);
}

double direct_cost(const WinogradConv& c) {
  return static_cast<double>(c.batch * c.depth * c.columns) *
         taps_inside(c.out_height, c.in_height, c.padding) *
         taps_inside(c.out_width, c.in_width, c.padding);
}

}  // namespace

std::optional<WinogradConv> WinogradConv::of(const Shape& x, const Shape& weight, const Shape& y,
                                             const Conv2dAttributes& conv) {
  const WinogradConv c{x[0], x[1], x[2], weight[1], y[1], y[2], weight[0], conv.padding};
  const bool fits = weight[2] == 3 && weight[3] == 3 && conv.stride == 1 && conv.padding <= 2 &&
                    c.depth % kPanel == 0 && c.columns % kPanel == 0 && c.depth <= kMaxDepth &&
                    c.columns <= kMaxDepth;
  if (!fits || winograd_cost(c) * 1.1 > direct_cost(c)) return {};
  return c;
}

}  // namespace countenance::COUNTENANCE_CPU
