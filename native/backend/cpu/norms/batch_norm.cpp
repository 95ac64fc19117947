#include "backend/cpu/vectors/vector_math.h"

// Memory traffic is what counts here: forward reads x twice and writes y once; backward reads
// (dy, x, y) twice and writes dx once. With dresidual the masked dy takes the place of dy and y in
// the second pass.

namespace countenance::COUNTENANCE_CPU {

namespace {

// Moments of one slice's rows in one block of channels, about a shift near the mean (the mean of
// the first rows): sum (x - shift) and sum (x - shift)^2. Without the shift, data with a large
// mean would lose its variance to cancellation.
template <int N, class Lanes>
void slice_moments(float* shifts, float* sums, float* squares, const float* x, int64_t rows,
                   int64_t stride, Lanes lanes) {
  constexpr int64_t kShiftRows = 8;
  Vec shift[N];
  const int64_t shift_rows = std::min(rows, kShiftRows);
  for (int j = 0; j < N; ++j) {
    Vec s = Vec::zero();
    for (int64_t r = 0; r < shift_rows; ++r) s = s + lanes.load(x + r * stride + j * Vec::kWidth);
    shift[j] = s * Vec::all(1.0f / static_cast<float>(shift_rows));
  }
  Vec total[N];
  Vec total_square[N];
  for (int j = 0; j < N; ++j) total[j] = total_square[j] = Vec::zero();
  for (int64_t begin = 0; begin < rows; begin += kFoldRows) {
    Vec s[N];
    Vec q[N];
    for (int j = 0; j < N; ++j) s[j] = q[j] = Vec::zero();
    const int64_t end = std::min(rows, begin + kFoldRows);
    for (int64_t r = begin; r < end; ++r) {
      const float* row = x + r * stride;
      for (int j = 0; j < N; ++j) {
        const Vec d = lanes.load(row + j * Vec::kWidth) - shift[j];
        s[j] = s[j] + d;
        q[j] = fma(d, d, q[j]);
      }
    }
    for (int j = 0; j < N; ++j) {
      total[j] = total[j] + s[j];
      total_square[j] = total_square[j] + q[j];
    }
  }
  for (int j = 0; j < N; ++j) {
    lanes.store(shifts + j * Vec::kWidth, shift[j]);
    lanes.store(sums + j * Vec::kWidth, total[j]);
    lanes.store(squares + j * Vec::kWidth, total_square[j]);
  }
}

// Sums of dy and dy (x - mean) over one slice's rows, dy after the activation; with `writes`, dy
// after the activation goes to dresidual.
template <int N, class Lanes, class Masks, class Writes>
void slice_gradient_sums(float* sums, float* products, float* dresidual, const float* dy,
                         const float* x, const float* y, const float* mean, int64_t rows,
                         int64_t stride, Lanes lanes, Masks, Writes) {
  Vec centre[N];
  Vec total[N];
  Vec total_product[N];
  for (int j = 0; j < N; ++j) {
    centre[j] = lanes.load(mean + j * Vec::kWidth);
    total[j] = total_product[j] = Vec::zero();
  }
  for (int64_t begin = 0; begin < rows; begin += kFoldRows) {
    Vec s[N];
    Vec p[N];
    for (int j = 0; j < N; ++j) s[j] = p[j] = Vec::zero();
    const int64_t end = std::min(rows, begin + kFoldRows);
    for (int64_t r = begin; r < end; ++r) {
      for (int j = 0; j < N; ++j) {
        const int64_t i = r * stride + j * Vec::kWidth;
        Vec g = lanes.load(dy + i);
        if constexpr (Masks::value) g = where_positive(lanes.load(y + i), g);
        if constexpr (Writes::value) lanes.store(dresidual + i, g);
        s[j] = s[j] + g;
        p[j] = fma(g, lanes.load(x + i) - centre[j], p[j]);
      }
    }
    for (int j = 0; j < N; ++j) {
      total[j] = total[j] + s[j];
      total_product[j] = total_product[j] + p[j];
    }
  }
  for (int j = 0; j < N; ++j) {
    lanes.store(sums + j * Vec::kWidth, total[j]);
    lanes.store(products + j * Vec::kWidth, total_product[j]);
  }
}

constexpr int64_t kFinishChannels = 64;

}  // namespace

// In floats, per channel: three sums per slice (forward); two per slice and three coefficients
// (backward).
size_t CpuBackend::batch_norm_workspace(const Shape& x) const {
  const Slices slices = row_slices(x.rows(), x.channels());
  return static_cast<size_t>((3 * slices.count + 3) * x.channels()) * sizeof(float);
}

// One row has no variance: y = bias there, and running_var gets the biased variance 0. PyTorch
// rejects such a batch; so does the op.
void CpuBackend::batch_norm_forward(const BatchNormForward& t,
                                    const BatchNormAttributes& attributes) {
  const int64_t rows = t.x.shape.rows();
  const int64_t channels = t.x.shape.channels();
  const Slices slices = row_slices(rows, channels);
  const float* in = t.x.f32();
  float* shifts = t.workspace.f32();
  float* sums = shifts + slices.count * channels;
  float* squares = sums + slices.count * channels;

  pool_.parallel_for(slices.count, 1, [&](int64_t slice, int64_t, int) {
    for_each_channel_block(channels, [&](auto vectors, auto lanes, int64_t c) {
      const int64_t at = slice * channels + c;
      slice_moments<vectors.value>(shifts + at, sums + at, squares + at,
                                   in + slices.begin(slice) * channels + c, slices.length(slice),
                                   channels, lanes);
    });
  });

  float* means = t.mean.f32();
  float* rstds = t.rstd.f32();
  float* running_means = t.running_mean ? t.running_mean.f32() : nullptr;
  float* running_vars = t.running_var ? t.running_var.f32() : nullptr;
  const double n = static_cast<double>(rows);
  const double momentum = attributes.momentum;
  pool_.parallel_for(channels, kFinishChannels, [&](int64_t begin, int64_t end, int) {
    double centre[kFinishChannels] = {};
    double spread[kFinishChannels] = {};
    for (int64_t s = 0; s < slices.count; ++s) {
      const double slice_rows = static_cast<double>(slices.length(s));
      for (int64_t c = begin; c < end; ++c) {
        const int64_t at = s * channels + c;
        centre[c - begin] += slice_rows * shifts[at] + sums[at];
      }
    }
    for (int64_t c = begin; c < end; ++c) centre[c - begin] /= n;
    for (int64_t s = 0; s < slices.count; ++s) {
      const double slice_rows = static_cast<double>(slices.length(s));
      const double inverse = 1.0 / slice_rows;
      for (int64_t c = begin; c < end; ++c) {
        const int64_t at = s * channels + c;
        const double sum = sums[at];
        const double off = shifts[at] + sum * inverse - centre[c - begin];
        spread[c - begin] += squares[at] - sum * sum * inverse + slice_rows * off * off;
      }
    }
    for (int64_t c = begin; c < end; ++c) {
      const double variance = std::max(0.0, spread[c - begin]) / n;
      means[c] = static_cast<float>(centre[c - begin]);
      rstds[c] = static_cast<float>(1.0 / std::sqrt(variance + attributes.eps));
      if (running_means) {
        running_means[c] =
            static_cast<float>((1 - momentum) * running_means[c] + momentum * centre[c - begin]);
      }
      if (running_vars) {
        const double unbiased = variance * n / std::max(n - 1, 1.0);
        running_vars[c] =
            static_cast<float>((1 - momentum) * running_vars[c] + momentum * unbiased);
      }
    }
  });

  // The sums are no longer needed: the workspace now holds the scales.
  float* scales = shifts;
  const float* weights = t.weight.f32();
  const float* biases = t.bias.f32();
  for_each_vector(0, channels, [&](auto lanes, int64_t c) {
    lanes.store(scales + c, lanes.load(weights + c) * lanes.load(rstds + c));
  });
  float* out = t.y.f32();
  const float* added = t.residual ? t.residual.f32() : nullptr;
  with_constant(added != nullptr, [&](auto has_residual) {
    with_constant(attributes.activation == Activation::Relu, [&](auto has_relu) {
      pool_.parallel_for(rows, row_grain(channels), [&](int64_t begin, int64_t end, int) {
        for (int64_t r = begin; r < end; ++r) {
          const int64_t row = r * channels;
          for_each_vector(0, channels, [&](auto lanes, int64_t c) {
            // Subtract the mean first: x scale - mean scale would cancel for a large mean.
            Vec v = fma(lanes.load(in + row + c) - lanes.load(means + c), lanes.load(scales + c),
                        lanes.load(biases + c));
            if constexpr (has_residual.value) v = v + lanes.load(added + row + c);
            if constexpr (has_relu.value) v = relu(v);
            lanes.store(out + row + c, v);
          });
        }
      });
    });
  });
}

// With g = dy after the activation, n rows:
//   dbias = sum g,  dweight = rstd sum g (x - mean),
//   dx = weight rstd (g - dbias / n - (x - mean) rstd dweight / n).
void CpuBackend::batch_norm_backward(const BatchNormBackward& t,
                                     const BatchNormAttributes& attributes) {
  const int64_t rows = t.x.shape.rows();
  const int64_t channels = t.x.shape.channels();
  const Slices slices = row_slices(rows, channels);
  const bool masks = attributes.activation == Activation::Relu;
  // The masked gradient is written once and read in place of dy and y.
  const bool writes_early = masks && t.dresidual.wanted() && !t.dresidual.accumulates();
  const float* gradient = t.dy.f32();
  const float* in = t.x.f32();
  const float* out = masks ? t.y.f32() : nullptr;
  const float* means = t.mean.f32();
  const float* rstds = t.rstd.f32();
  const float* weights = t.weight.f32();
  float* dres = t.dresidual.wanted() ? t.dresidual.tensor.f32() : nullptr;
  float* sums = t.workspace.f32();
  float* products = sums + slices.count * channels;
  float* gradient_factors = products + slices.count * channels;
  float* input_factors = gradient_factors + channels;
  float* constants = input_factors + channels;

  with_constant(masks, [&](auto mask) {
    with_constant(writes_early, [&](auto writes) {
      pool_.parallel_for(slices.count, 1, [&](int64_t slice, int64_t, int) {
        for_each_channel_block(channels, [&](auto vectors, auto lanes, int64_t c) {
          const int64_t at = slice * channels + c;
          const int64_t from = slices.begin(slice) * channels + c;
          slice_gradient_sums<vectors.value>(sums + at, products + at,
                                             writes_early ? dres + from : nullptr, gradient + from,
                                             in + from, masks ? out + from : nullptr, means + c,
                                             slices.length(slice), channels, lanes, mask, writes);
        });
      });
    });
  });

  const double n = static_cast<double>(rows);
  float* dweights = t.dweight.wanted() ? t.dweight.tensor.f32() : nullptr;
  float* dbiases = t.dbias.wanted() ? t.dbias.tensor.f32() : nullptr;
  pool_.parallel_for(channels, kFinishChannels, [&](int64_t begin, int64_t end, int) {
    double sum[kFinishChannels] = {};
    double product[kFinishChannels] = {};
    for (int64_t s = 0; s < slices.count; ++s) {
      for (int64_t c = begin; c < end; ++c) {
        sum[c - begin] += sums[s * channels + c];
        product[c - begin] += products[s * channels + c];
      }
    }
    for (int64_t c = begin; c < end; ++c) {
      const double db = sum[c - begin];
      const double dw = product[c - begin] * rstds[c];
      const double factor = static_cast<double>(weights[c]) * rstds[c];
      gradient_factors[c] = static_cast<float>(factor);
      input_factors[c] = static_cast<float>(-factor * rstds[c] * dw / n);
      constants[c] = static_cast<float>(-factor * db / n);
      if (dweights)
        dweights[c] = static_cast<float>(dw + (t.dweight.accumulates() ? dweights[c] : 0));
      if (dbiases) dbiases[c] = static_cast<float>(db + (t.dbias.accumulates() ? dbiases[c] : 0));
    }
  });

  const bool writes_late = t.dresidual.wanted() && !writes_early;
  if (!t.dx.wanted() && !writes_late) return;
  if (writes_early) gradient = dres;
  float* din = t.dx.wanted() ? t.dx.tensor.f32() : nullptr;
  with_constant(masks && !writes_early, [&](auto mask) {
    with_constant(t.dx.accumulates(), [&](auto accumulates) {
      pool_.parallel_for(rows, row_grain(channels), [&](int64_t begin, int64_t end, int) {
        for (int64_t r = begin; r < end; ++r) {
          const int64_t row = r * channels;
          for_each_vector(0, channels, [&](auto lanes, int64_t c) {
            const int64_t i = row + c;
            Vec g = lanes.load(gradient + i);
            if constexpr (mask.value) g = where_positive(lanes.load(out + i), g);
            if (writes_late) {
              lanes.store(dres + i, t.dresidual.accumulates() ? lanes.load(dres + i) + g : g);
            }
            if (!din) return;
            const Vec centred = lanes.load(in + i) - lanes.load(means + c);
            const Vec v =
                fma(g, lanes.load(gradient_factors + c),
                    fma(centred, lanes.load(input_factors + c), lanes.load(constants + c)));
            store_gradient(lanes, din + i, v, accumulates);
          });
        }
      });
    });
  });
}

void CpuBackend::batch_norm_fold(const BatchNormFold& t, const BatchNormAttributes& attributes) {
  const float* weights = t.weight.f32();
  const float* biases = t.bias.f32();
  const float* means = t.running_mean.f32();
  const float* variances = t.running_var.f32();
  float* scales = t.scale.f32();
  float* shifts = t.shift.f32();
  for (int64_t c = 0; c < t.scale.elements(); ++c) {
    const double factor =
        weights[c] / std::sqrt(static_cast<double>(variances[c]) + attributes.eps);
    scales[c] = static_cast<float>(factor);
    shifts[c] = static_cast<float>(biases[c] - means[c] * factor);
  }
}

}  // namespace countenance::COUNTENANCE_CPU
