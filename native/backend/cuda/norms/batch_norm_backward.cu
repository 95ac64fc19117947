#include "backend/cuda/backend_class.h"
#include "backend/cuda/frames/few_rows.h"

// Memory traffic is what counts here: (dy, x, y) are read twice and dx is written once. Few rows
// take one launch, more take three: sums by blocks of rows, their total, the result.
// With g = dy after the activation, n rows:
//   dbias = sum g,  dweight = rstd sum g (x - mean),
//   dx = weight rstd (g - dbias / n - (x - mean) rstd dweight / n).

namespace countenance::cuda {

namespace {

const char* const kName = "batch_norm_backward";

template <int N, class T>
__device__ __forceinline__ Floats<N> masked(const T* dy, const T* y, int64_t i) {
  Floats<N> g = load<N>(dy + i);
  if (!y) return g;
  const Floats<N> out = load<N>(y + i);
#pragma unroll
  for (int k = 0; k < N; ++k) g[k] = out[k] > 0.0f ? g[k] : 0.0f;
  return g;
}

// Sums of g and g (x - mean); g goes to dresidual unless that is null.
template <class T>
struct SumGradients {
  static constexpr int kSums = 2;
  static constexpr int kUnroll = 2;

  float* sum;
  float* product;
  T* dresidual;
  const T* dy;
  const T* x;
  const T* y;  // null: no activation
  const float* mean;
  int channels;

  template <int N>
  struct Constants {
    Floats<N> mean;
  };

  template <int N>
  __device__ Constants<N> constants(int channel, RowBlock) const {
    return {load<N>(mean + channel)};
  }

  template <int N>
  __device__ void add(Floats<N> (&sums)[2], int64_t i, const Constants<N>& constants) const {
    const Floats<N> g = masked<N>(dy, y, i);
    const Floats<N> in = load<N>(x + i);
    if (dresidual) store(dresidual + i, g);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      sums[0][k] += g[k];
      sums[1][k] = fmaf(g[k], in[k] - constants.mean[k], sums[1][k]);
    }
  }

  __device__ void finish(RowBlock rows, int channel, const float (&sums)[2]) const {
    sum[rows.index * channels + channel] = sums[0];
    product[rows.index * channels + channel] = sums[1];
  }
};

// dx = g gradient_factor + (x - mean) input_factor + constant, each (C).
struct InputGradient {
  float* gradient_factor;
  float* input_factor;
  float* constant;
};

struct FinishGradients {
  float* dweight;
  float* dbias;
  bool weight_accumulates;
  bool bias_accumulates;
  InputGradient factors;
  const float* sum;
  const float* product;
  const float* rstd;
  const float* weight;
  int64_t rows;
  int channels;

  __device__ void add(double (&sums)[2], int64_t block, int channel) const {
    sums[0] += sum[block * channels + channel];
    sums[1] += product[block * channels + channel];
  }

  __device__ void finish(int channel, const double (&sums)[2]) const {
    const double n = static_cast<double>(rows);
    const double inverse = rstd[channel];
    const double db = sums[0];
    const double dw = sums[1] * inverse;
    const double factor = weight[channel] * inverse;
    factors.gradient_factor[channel] = static_cast<float>(factor);
    factors.input_factor[channel] = static_cast<float>(-factor * inverse * dw / n);
    factors.constant[channel] = static_cast<float>(-factor * db / n);
    if (dweight) {
      dweight[channel] = static_cast<float>(dw + (weight_accumulates ? dweight[channel] : 0.0f));
    }
    if (dbias) {
      dbias[channel] = static_cast<float>(db + (bias_accumulates ? dbias[channel] : 0.0f));
    }
  }
};

template <class T>
struct NormaliseBackward {
  T* dx;         // null: not wanted
  T* dresidual;  // null: not wanted, or already written
  bool accumulates;
  bool residual_accumulates;
  const T* dy;
  const T* x;
  const T* y;  // null: no activation, or dy is already the gradient after it
  const float* mean;
  InputGradient factors;

  template <int N>
  struct Constants {
    Floats<N> mean;
    Floats<N> gradient_factor;
    Floats<N> input_factor;
    Floats<N> constant;
  };

  template <int N>
  __device__ Constants<N> constants(int channel) const {
    return {load<N>(mean + channel), load<N>(factors.gradient_factor + channel),
            load<N>(factors.input_factor + channel), load<N>(factors.constant + channel)};
  }

  template <int N>
  __device__ void run(int64_t i, const Constants<N>& constants) const {
    Floats<N> g = masked<N>(dy, y, i);
    if (dresidual) store_gradient(dresidual + i, g, residual_accumulates);
    if (!dx) return;
    const Floats<N> in = load<N>(x + i);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float rest =
          fmaf(in[k] - constants.mean[k], constants.input_factor[k], constants.constant[k]);
      g[k] = fmaf(g[k], constants.gradient_factor[k], rest);
    }
    store_gradient(dx + i, g, accumulates);
  }
};

template <int N, class T>
__global__ void __launch_bounds__(kChannelThreads)
    few_rows_backward_kernel(SumGradients<T> sum, FinishGradients finish,
                             NormaliseBackward<T> normalise, int rows, int channels) {
  COUNTENANCE_SHARED(float, totals, [2][kChannelThreads * N]);
  const int channel = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x) * N;
  sum_row_block<N>(sum, {0, 0, rows}, channel, channels, totals);
  for_each_total<N>(totals, channels, [&](int c, const float(&sums)[2]) {
    const double found[2] = {sums[0], sums[1]};
    finish.finish(c, found);
  });
  __syncthreads();
  run_rows<N>(normalise, rows, channel, channels);
}

}  // namespace

void CudaBackend::batch_norm_backward(const BatchNormBackward& t,
                                      const BatchNormAttributes& attributes) {
  const int64_t rows = t.x.shape.rows();
  const int64_t channels = t.x.shape.channels();
  const int c = static_cast<int>(channels);
  const int64_t block_rows = rows_of_block(rows, channels, multiprocessors_);
  const int64_t blocks = divide_up(rows, block_rows);
  const bool masks = attributes.activation == Activation::Relu;
  // The masked gradient is written once and read in place of dy and y.
  const bool writes_early = masks && t.dresidual.wanted() && !t.dresidual.accumulates();
  float* factors = data<float>(t.workspace);
  float* sums = factors + 3 * channels;
  float* products = sums + blocks * channels;
  const InputGradient input{factors, factors + channels, factors + 2 * channels};
  const FinishGradients finish{data<float>(t.dweight),
                               data<float>(t.dbias),
                               t.dweight.accumulates(),
                               t.dbias.accumulates(),
                               input,
                               sums,
                               products,
                               data<float>(t.rstd),
                               data<float>(t.weight),
                               rows,
                               c};
  with_activation(t.x.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    T* const residual = data<T>(t.dresidual);
    const T* const out = masks ? data<T>(t.y) : nullptr;
    const SumGradients<T> sum{sums,
                              products,
                              writes_early ? residual : nullptr,
                              data<T>(t.dy),
                              data<T>(t.x),
                              out,
                              data<float>(t.mean),
                              c};
    const NormaliseBackward<T> normalise{data<T>(t.dx),
                                         writes_early ? nullptr : residual,
                                         t.dx.accumulates(),
                                         t.dresidual.accumulates(),
                                         writes_early ? residual : data<T>(t.dy),
                                         data<T>(t.x),
                                         writes_early ? nullptr : out,
                                         data<float>(t.mean),
                                         input};
    if (rows <= kFewRows) {
      launch(kName, queue(), few_rows_shape(rows, channels),
             few_rows_vector(channels) == 2 ? few_rows_backward_kernel<2, T>
                                            : few_rows_backward_kernel<1, T>,
             sum, finish, normalise, static_cast<int>(rows), c);
      return;
    }
    run_row_sums(kName, queue(), rows, channels, block_rows, sum);
    run_finish_row_sums(kName, queue(), blocks, channels, finish);
    if (!normalise.dx && !normalise.dresidual) return;
    run_channels(kName, queue(), rows, channels, normalise);
  });
}

}  // namespace countenance::cuda
