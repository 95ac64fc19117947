#include "backend/cpu/vectors/vector_math.h"

// One row at a time: it stays in the first-level cache for the mean, the variance about it and the
// result.

namespace countenance::COUNTENANCE_CPU {

namespace {

// x - mean in the first n lanes, 0 in the rest, so that squares can be summed.
Vec centred(WholeVector lanes, const float* x, Vec mean) { return lanes.load(x) - mean; }
Vec centred(PartialVector lanes, const float* x, Vec mean) {
  float values[Vec::kWidth] = {};
  lanes.store(values, lanes.load(x) - mean);
  return Vec::load(values);
}

// f(lanes, c, j) over the channels; j counts 0, 1, 2, 3, 0, ...: four independent sums.
template <class F>
void for_each_vector_of_row(int64_t channels, F&& f) {
  constexpr int64_t kStep = 4 * Vec::kWidth;
  int64_t c = 0;
  for (; c + kStep <= channels; c += kStep) {
    for (int j = 0; j < 4; ++j) f(WholeVector{}, c + j * Vec::kWidth, j);
  }
  for_each_vector(c, channels, [&](auto lanes, int64_t i) { f(lanes, i, 0); });
}

struct Sums {
  Vec v[4] = {Vec::zero(), Vec::zero(), Vec::zero(), Vec::zero()};
  float total() const { return sum((v[0] + v[1]) + (v[2] + v[3])); }
};

struct Moments {
  float mean;
  float variance;
};

// The variance about a first mean, whose rounding error the second pass measures and removes.
Moments moments_of(const float* row, int64_t channels) {
  const float share = 1.0f / static_cast<float>(channels);
  Sums sums;
  for_each_vector_of_row(
      channels, [&](auto lanes, int64_t c, int j) { sums.v[j] = sums.v[j] + lanes.load(row + c); });
  const float mean = share * sums.total();
  const Vec centre = Vec::all(mean);
  Sums offsets;
  Sums squares;
  for_each_vector_of_row(channels, [&](auto lanes, int64_t c, int j) {
    const Vec d = centred(lanes, row + c, centre);
    offsets.v[j] = offsets.v[j] + d;
    squares.v[j] = fma(d, d, squares.v[j]);
  });
  const float offset = share * offsets.total();
  return {mean + offset, std::max(0.0f, share * squares.total() - offset * offset)};
}

}  // namespace

// In floats: two sums per slice and channel.
size_t CpuBackend::layer_norm_workspace(const Shape& x) const {
  const Slices slices = row_slices(x.rows(), x.channels());
  return static_cast<size_t>(2 * slices.count * x.channels()) * sizeof(float);
}

void CpuBackend::layer_norm_forward(const LayerNormForward& t, float eps) {
  const int64_t rows = t.x.shape.rows();
  const int64_t channels = t.x.shape.channels();
  const float* in = t.x.f32();
  const float* weights = t.weight.f32();
  const float* biases = t.bias.f32();
  float* out = t.y.f32();
  float* means = t.mean ? t.mean.f32() : nullptr;
  float* rstds = t.rstd ? t.rstd.f32() : nullptr;
  pool_.parallel_for(rows, row_grain(channels), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = in + r * channels;
      const auto [m, variance] = moments_of(row, channels);
      const Vec centre = Vec::all(m);
      const float inverse = 1.0f / std::sqrt(variance + eps);
      if (means) means[r] = m;
      if (rstds) rstds[r] = inverse;
      const Vec scale = Vec::all(inverse);
      for_each_vector(0, channels, [&](auto lanes, int64_t c) {
        const Vec normalised = (lanes.load(row + c) - centre) * scale;
        lanes.store(out + r * channels + c,
                    fma(normalised, lanes.load(weights + c), lanes.load(biases + c)));
      });
    }
  });
}

// With g = dy weight, n = (x - mean) rstd, C channels:
//   dx = rstd (g - sum g / C - n sum(g n) / C),  dbias = sum_rows dy,  dweight = sum_rows dy n.
void CpuBackend::layer_norm_backward(const LayerNormBackward& t) {
  const int64_t channels = t.x.shape.channels();
  const Slices slices = row_slices(t.x.shape.rows(), channels);
  const float* gradient = t.dy.f32();
  const float* in = t.x.f32();
  const float* means = t.mean.f32();
  const float* rstds = t.rstd.f32();
  const float* weights = t.weight.f32();
  float* din = t.dx.wanted() ? t.dx.tensor.f32() : nullptr;
  float* sums = t.workspace.f32();  // dbias, dweight of each slice
  const float share = 1.0f / static_cast<float>(channels);

  with_constant(t.dx.accumulates(), [&](auto accumulates) {
    pool_.parallel_for(slices.count, 1, [&](int64_t slice, int64_t, int worker) {
      // Sums of kFoldRows rows in the worker's scratch, folded into the slice's.
      float* slice_bias = sums + 2 * slice * channels;
      float* slice_weight = slice_bias + channels;
      float* fold_bias = scratch(worker);
      float* fold_weight = fold_bias + channels;
      const auto fold = [&](float* total, const float* part) {
        for_each_vector(0, channels, [&](auto lanes, int64_t c) {
          lanes.store(total + c, lanes.load(total + c) + lanes.load(part + c));
        });
      };
      std::fill(slice_bias, slice_bias + 2 * channels, 0.0f);
      for (int64_t begin = slices.begin(slice); begin < slices.end(slice); begin += kFoldRows) {
        std::fill(fold_bias, fold_bias + 2 * channels, 0.0f);
        const int64_t end = std::min(slices.end(slice), begin + kFoldRows);
        for (int64_t r = begin; r < end; ++r) {
          const float* dy_row = gradient + r * channels;
          const float* x_row = in + r * channels;
          const Vec centre = Vec::all(means[r]);
          const Vec scale = Vec::all(rstds[r]);
          Vec sum_g = Vec::zero();
          Vec sum_gn = Vec::zero();
          for_each_vector(0, channels, [&](auto lanes, int64_t c) {
            const Vec d = lanes.load(dy_row + c);
            const Vec n = (lanes.load(x_row + c) - centre) * scale;
            const Vec g = d * lanes.load(weights + c);
            sum_g = sum_g + g;
            sum_gn = fma(g, n, sum_gn);
            lanes.store(fold_bias + c, lanes.load(fold_bias + c) + d);
            lanes.store(fold_weight + c, fma(d, n, lanes.load(fold_weight + c)));
          });
          if (!din) continue;
          const Vec mean_g = Vec::all(share * sum(sum_g));
          const Vec mean_gn = Vec::all(share * sum(sum_gn));
          for_each_vector(0, channels, [&](auto lanes, int64_t c) {
            const Vec n = (lanes.load(x_row + c) - centre) * scale;
            const Vec g = lanes.load(dy_row + c) * lanes.load(weights + c);
            store_gradient(lanes, din + r * channels + c, scale * (g - mean_g - n * mean_gn),
                           accumulates);
          });
        }
        fold(slice_bias, fold_bias);
        fold(slice_weight, fold_weight);
      }
    });
  });

  float* dweights = t.dweight.wanted() ? t.dweight.tensor.f32() : nullptr;
  float* dbiases = t.dbias.wanted() ? t.dbias.tensor.f32() : nullptr;
  if (!dweights && !dbiases) return;
  for (int64_t c = 0; c < channels; ++c) {
    double bias_sum = 0;
    double weight_sum = 0;
    for (int64_t s = 0; s < slices.count; ++s) {
      bias_sum += sums[2 * s * channels + c];
      weight_sum += sums[(2 * s + 1) * channels + c];
    }
    if (dbiases) {
      dbiases[c] = static_cast<float>(bias_sum + (t.dbias.accumulates() ? dbiases[c] : 0));
    }
    if (dweights) {
      dweights[c] = static_cast<float>(weight_sum + (t.dweight.accumulates() ? dweights[c] : 0));
    }
  }
}

}  // namespace countenance::COUNTENANCE_CPU
