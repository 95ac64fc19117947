#include "backend/cuda/norms/batch_norm.h"

#include "backend/cuda/backend_class.h"
#include "backend/cuda/frames/few_rows.h"

// Memory traffic is what counts here: x is read twice and y written once. Few rows take one launch,
// more take three: sums by blocks of rows, their total, the result.

namespace countenance::cuda {

namespace {

const char* const kName = "batch_norm_forward";

// Sums of x - shift and its square. The shift is near the mean (the mean of the block's first
// rows): without it, data with a large mean would lose its variance to cancellation.
template <class T>
struct SumMoments {
  static constexpr int kSums = 2;
  static constexpr int kUnroll = 4;

  double* mean;
  float* square;
  const T* x;
  int channels;

  template <int N>
  struct Constants {
    Floats<N> shift;
  };

  template <int N>
  __device__ Constants<N> constants(int channel, RowBlock rows) const {
    constexpr int64_t kShiftRows = 4;
    const int n = static_cast<int>(rows.size() < kShiftRows ? rows.size() : kShiftRows);
    Floats<N> sum = all<N>(0.0f);
    for (int r = 0; r < n; ++r) {
      const Floats<N> row = load<N>(x + (rows.first + r) * channels + channel);
#pragma unroll
      for (int k = 0; k < N; ++k) sum[k] += row[k];
    }
    const float share = 1.0f / static_cast<float>(n);
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] *= share;
    return {sum};
  }

  template <int N>
  __device__ void add(Floats<N> (&sums)[2], int64_t i, const Constants<N>& constants) const {
    const Floats<N> v = load<N>(x + i);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float d = v[k] - constants.shift[k];
      sums[0][k] += d;
      sums[1][k] = fmaf(d, d, sums[1][k]);
    }
  }

  __device__ void finish(RowBlock rows, int channel, const float (&sums)[2]) const {
    const double n = static_cast<double>(rows.size());
    const double offset = sums[0] / n;
    const int64_t place = rows.index * channels + channel;
    mean[place] = constants<1>(channel, rows).shift[0] + offset;
    square[place] = static_cast<float>(sums[1] - sums[0] * offset);
  }
};

struct FinishMoments {
  float* mean;
  float* rstd;
  float* running_mean;
  float* running_var;
  RowMoments moments;
  int64_t rows;
  int channels;
  float eps;
  float momentum;

  // Sums of x and of its square, about the first block's mean.
  __device__ void add(double (&sums)[2], int64_t block, int channel) const {
    const int64_t rest = rows - block * moments.block_rows;
    const double n = static_cast<double>(rest < moments.block_rows ? rest : moments.block_rows);
    const int64_t place = block * channels + channel;
    const double offset = moments.mean[place] - moments.mean[channel];
    sums[0] += n * offset;
    sums[1] += n * offset * offset + moments.square[place];
  }

  __device__ void finish(int channel, const double (&sums)[2]) const {
    write(channel, moments.mean[channel], sums);
  }

  // sums: of x and of its square, about the origin.
  __device__ void write(int channel, double origin, const double (&sums)[2]) const {
    const double n = static_cast<double>(rows);
    const double offset = sums[0] / n;
    const double centre = origin + offset;
    const double variance = fmax(0.0, sums[1] - sums[0] * offset) / n;
    mean[channel] = static_cast<float>(centre);
    rstd[channel] = static_cast<float>(1.0 / sqrt(variance + eps));
    const double m = momentum;
    if (running_mean) {
      running_mean[channel] = static_cast<float>((1 - m) * running_mean[channel] + m * centre);
    }
    if (running_var) {
      const double unbiased = variance * n / fmax(n - 1, 1.0);
      running_var[channel] = static_cast<float>((1 - m) * running_var[channel] + m * unbiased);
    }
  }
};

template <class T>
struct Normalise {
  T* y;
  const T* x;
  const T* residual;
  const float* mean;
  const float* rstd;
  const float* weight;
  const float* bias;
  bool has_relu;

  template <int N>
  struct Constants {
    Floats<N> mean;
    Floats<N> scale;
    Floats<N> bias;
  };

  template <int N>
  __device__ Constants<N> constants(int channel) const {
    Floats<N> scale = load<N>(weight + channel);
    const Floats<N> inverse = load<N>(rstd + channel);
#pragma unroll
    for (int k = 0; k < N; ++k) scale[k] *= inverse[k];
    return {load<N>(mean + channel), scale, load<N>(bias + channel)};
  }

  template <int N>
  __device__ void run(int64_t i, const Constants<N>& constants) const {
    Floats<N> v = load<N>(x + i);
    // Subtract the mean first: x scale - mean scale would cancel for a large mean.
#pragma unroll
    for (int k = 0; k < N; ++k) {
      v[k] = fmaf(v[k] - constants.mean[k], constants.scale[k], constants.bias[k]);
    }
    if (residual) {
      const Floats<N> added = load<N>(residual + i);
#pragma unroll
      for (int k = 0; k < N; ++k) v[k] += added[k];
    }
    if (has_relu) {
#pragma unroll
      for (int k = 0; k < N; ++k) v[k] = relu(v[k]);
    }
    store(y + i, v);
  }
};

template <int N, class T>
__global__ void __launch_bounds__(kChannelThreads)
    few_rows_forward_kernel(SumMoments<T> sum, FinishMoments finish, Normalise<T> normalise,
                            int rows, int channels) {
  COUNTENANCE_SHARED(float, totals, [2][kChannelThreads * N]);
  const int channel = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x) * N;
  const RowBlock block{0, 0, rows};
  sum_row_block<N>(sum, block, channel, channels, totals);
  for_each_total<N>(totals, channels, [&](int c, const float(&sums)[2]) {
    const double found[2] = {sums[0], sums[1]};
    finish.write(c, sum.template constants<1>(c, block).shift[0], found);
  });
  __syncthreads();
  run_rows<N>(normalise, rows, channel, channels);
}

template <class T>
Normalise<T> normalise_of(const BatchNormForward& t, const BatchNormAttributes& attributes) {
  return {data<T>(t.y),        data<T>(t.x),
          data<T>(t.residual), data<float>(t.mean),
          data<float>(t.rstd), data<float>(t.weight),
          data<float>(t.bias), attributes.activation == Activation::Relu};
}

FinishMoments finish_of(const BatchNormForward& t, const RowMoments& moments,
                        const BatchNormAttributes& attributes) {
  return {data<float>(t.mean),
          data<float>(t.rstd),
          data<float>(t.running_mean),
          data<float>(t.running_var),
          moments,
          t.x.shape.rows(),
          static_cast<int>(t.x.shape.channels()),
          attributes.eps,
          attributes.momentum};
}

struct Fold {
  float* scale;
  float* shift;
  const float* weight;
  const float* bias;
  const float* mean;
  const float* variance;
  float eps;

  template <int N>
  __device__ void run(int64_t i) const {
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const double factor = weight[i + k] / sqrt(static_cast<double>(variance[i + k]) + eps);
      scale[i + k] = static_cast<float>(factor);
      shift[i + k] = static_cast<float>(bias[i + k] - mean[i + k] * factor);
    }
  }
};

}  // namespace

// For each block of rows and each channel, a double and a float (forward) or two floats (backward);
// the backward pass also has three factors per channel.
size_t CudaBackend::batch_norm_workspace(const Shape& x) const {
  const int64_t block_rows = rows_of_block(x.rows(), x.channels(), multiprocessors_);
  const int64_t blocks = divide_up(x.rows(), block_rows);
  return static_cast<size_t>((3 * blocks + 3) * x.channels()) * sizeof(float);
}

void batch_norm_from_moments(const Queue& queue, const BatchNormForward& t,
                             const RowMoments& moments, const BatchNormAttributes& attributes) {
  const int64_t rows = t.x.shape.rows();
  const int64_t channels = t.x.shape.channels();
  run_finish_row_sums(kName, queue, divide_up(rows, moments.block_rows), channels,
                      finish_of(t, moments, attributes));
  with_activation(t.x.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    run_channels(kName, queue, rows, channels, normalise_of<T>(t, attributes));
  });
}

// One row has no variance: y = bias there, and running_var gets the biased variance 0. PyTorch
// rejects such a batch; so does the op.
void CudaBackend::batch_norm_forward(const BatchNormForward& t,
                                     const BatchNormAttributes& attributes) {
  const int64_t rows = t.x.shape.rows();
  const int64_t channels = t.x.shape.channels();
  const int c = static_cast<int>(channels);
  const int64_t block_rows = rows_of_block(rows, channels, multiprocessors_);
  double* means = reinterpret_cast<double*>(data<float>(t.workspace));
  float* squares = reinterpret_cast<float*>(means + divide_up(rows, block_rows) * channels);
  const RowMoments moments{means, squares, block_rows};
  with_activation(t.x.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    const SumMoments<T> sum{means, squares, data<T>(t.x), c};
    if (rows > kFewRows) return run_row_sums(kName, queue(), rows, channels, block_rows, sum);
    launch(kName, queue(), few_rows_shape(rows, channels),
           few_rows_vector(channels) == 2 ? few_rows_forward_kernel<2, T>
                                          : few_rows_forward_kernel<1, T>,
           sum, finish_of(t, moments, attributes), normalise_of<T>(t, attributes),
           static_cast<int>(rows), c);
  });
  if (rows <= kFewRows) return;
  batch_norm_from_moments(queue(), t, moments, attributes);
}

void CudaBackend::batch_norm_fold(const BatchNormFold& t, const BatchNormAttributes& attributes) {
  run_elementwise(
      "batch_norm_fold", queue(), t.scale.elements(),
      Fold{data<float>(t.scale), data<float>(t.shift), data<float>(t.weight), data<float>(t.bias),
           data<float>(t.running_mean), data<float>(t.running_var), attributes.eps});
}

}  // namespace countenance::cuda
