#include "core/resize_axis.h"

#include <algorithm>
#include <cmath>

namespace countenance {

// weight(t) = triangle((t + 0.5 - center) / scale), normalised to sum 1, where center is the output
// pixel's centre among the input's pixels and scale = max(1, size / out_size): shrinking widens the
// triangle, which is what antialiases. The order of every operation is Pillow's; std::fabs between
// product and difference also keeps the compiler from fusing them.
ResizeAxis make_resize_axis(int64_t out_size, int64_t size) {
  ResizeAxis axis;
  const double step = static_cast<double>(size) / static_cast<double>(out_size);
  const double support = std::max(step, 1.0);
  const double inverse = 1.0 / support;
  std::vector<double> weights;
  axis.windows.reserve(static_cast<size_t>(out_size));
  for (int64_t i = 0; i < out_size; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * step;
    const int64_t first = std::max<int64_t>(static_cast<int64_t>(center - support + 0.5), 0);
    const int64_t last = std::min(static_cast<int64_t>(center + support + 0.5), size);
    weights.clear();
    double total = 0.0;
    for (int64_t x = first; x < last; ++x) {
      const double distance = std::fabs((static_cast<double>(x) - center + 0.5) * inverse);
      weights.push_back(distance < 1.0 ? 1.0 - distance : 0.0);
      total += weights.back();
    }
    axis.windows.push_back({static_cast<int32_t>(first), static_cast<int32_t>(last - first),
                            static_cast<int32_t>(axis.weights.size())});
    for (double weight : weights) {
      if (total != 0.0) weight /= total;
      axis.weights.push_back(static_cast<int32_t>(0.5 + weight * (1 << kResizeFractionBits)));
    }
  }
  return axis;
}

}  // namespace countenance
