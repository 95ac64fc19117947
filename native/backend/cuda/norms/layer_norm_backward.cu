#include "backend/cuda/backend_class.h"
#include "backend/cuda/frames/lane_row.h"
#include "backend/cuda/frames/row_sums.h"

// With g = dy weight, n = (x - mean) rstd, C channels:
//   dx = rstd (g - sum g / C - n sum(g n) / C),  dbias = sum_rows dy,  dweight = sum_rows dy n.
// Rows of up to a block's channels take one pass: a thread keeps its channels, and their sums over
// its rows, in registers. Longer ones take a pass for the sums and one for dx.

namespace countenance::cuda {

namespace {

const char* const kName = "layer_norm_backward";

template <class T>
struct LayerNormGradients {
  T* dx;  // null: not wanted
  bool accumulates;
  const T* dy;
  const T* x;
  const float* mean;
  const float* rstd;
  const float* weight;
  int64_t rows;
  int channels;
};

// Sums by blocks: of dy, of dy n; both (blocks, C).
struct PartialSums {
  float* bias;
  float* weight;
};

struct FinishSums {
  float* dweight;
  float* dbias;
  bool weight_accumulates;
  bool bias_accumulates;
  PartialSums partial;
  int channels;

  __device__ void add(double (&sums)[2], int64_t block, int channel) const {
    sums[0] += partial.bias[block * channels + channel];
    sums[1] += partial.weight[block * channels + channel];
  }

  __device__ void finish(int channel, const double (&sums)[2]) const {
    if (dbias) {
      dbias[channel] = static_cast<float>(sums[0] + (bias_accumulates ? dbias[channel] : 0.0f));
    }
    if (dweight) {
      dweight[channel] =
          static_cast<float>(sums[1] + (weight_accumulates ? dweight[channel] : 0.0f));
    }
  }
};

// ---- One pass ----

constexpr int kMostWarps = kChannelThreads / kWarp;

// The sums of a and b over the threads of this thread's row, blockDim.x of them: part of a warp, or
// whole warps, which combine in `warps`. Calls alternate between its two halves, so that one
// barrier is enough.
__device__ __forceinline__ void sum_row(float& a, float& b, float2 (&warps)[2][kMostWarps],
                                        int turn) {
  const int width = static_cast<int>(blockDim.x);
  for (int offset = (width < kWarp ? width : kWarp) / 2; offset > 0; offset /= 2) {
    a += __shfl_xor_sync(kAllLanes, a, offset);
    b += __shfl_xor_sync(kAllLanes, b, offset);
  }
  if (width <= kWarp) return;
  const int in_row = width / kWarp;
  const int first = static_cast<int>(threadIdx.y) * in_row;
  if (threadIdx.x % kWarp == 0) {
    warps[turn][first + static_cast<int>(threadIdx.x) / kWarp] = make_float2(a, b);
  }
  __syncthreads();
  a = b = 0.0f;
  for (int i = 0; i < in_row; ++i) {
    a += warps[turn][first + i].x;
    b += warps[turn][first + i].y;
  }
}

template <int N, class T>
__global__ void __launch_bounds__(kChannelThreads)
    layer_norm_backward_kernel(LayerNormGradients<T> p, PartialSums partial) {
  COUNTENANCE_SHARED(float, totals, [2][kChannelThreads * N]);
  COUNTENANCE_SHARED(float2, warps, [2][kMostWarps]);
  const int channel = static_cast<int>(threadIdx.x) * N;
  const bool has_channels = channel < p.channels;
  const float share = 1.0f / static_cast<float>(p.channels);
  const Floats<N> weight = has_channels ? load<N>(p.weight + channel) : all<N>(0.0f);
  Floats<N> sums[2] = {all<N>(0.0f), all<N>(0.0f)};
  int turn = 0;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.y;
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * blockDim.y; first < p.rows;
       first += step) {
    const int64_t row = first + threadIdx.y;
    // Threads without numbers still take part in the row's sums.
    const bool takes_part = has_channels && row < p.rows;
    const int64_t at = row * p.channels + channel;
    Floats<N> g = takes_part ? load<N>(p.dy + at) : all<N>(0.0f);
    Floats<N> n = takes_part ? load<N>(p.x + at) : all<N>(0.0f);
    const float mean = takes_part ? p.mean[row] : 0.0f;
    const float rstd = takes_part ? p.rstd[row] : 0.0f;
    float sum_g = 0.0f;
    float sum_gn = 0.0f;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      n[k] = (n[k] - mean) * rstd;
      sums[0][k] += g[k];
      sums[1][k] = fmaf(g[k], n[k], sums[1][k]);
      g[k] *= weight[k];
      sum_g += g[k];
      sum_gn = fmaf(g[k], n[k], sum_gn);
    }
    if (!p.dx) continue;
    sum_row(sum_g, sum_gn, warps, turn);
    turn ^= 1;
    if (!takes_part) continue;
    sum_g *= share;
    sum_gn *= share;
#pragma unroll
    for (int k = 0; k < N; ++k) g[k] = rstd * (g[k] - sum_g - n[k] * sum_gn);
    store_gradient(p.dx + at, g, p.accumulates);
  }
  sum_rows(sums, totals);
  for_each_total<N>(totals, p.channels, [&](int c, const float(&found)[2]) {
    partial.bias[static_cast<int64_t>(blockIdx.x) * p.channels + c] = found[0];
    partial.weight[static_cast<int64_t>(blockIdx.x) * p.channels + c] = found[1];
  });
}

// The block of that kernel: a thread for each vector of a row, and several rows.
struct OnePass {
  explicit OnePass(const Shape& x, int multiprocessors)
      : vector(x.channels() % kVector == 0 ? kVector : 1) {
    const int64_t vectors = x.channels() / vector;
    if (vectors > kChannelThreads) return;
    width = 1;
    while (width < vectors) width = width < kWarp ? 2 * width : width + kWarp;
    height = kChannelThreads / width;
    blocks =
        std::min<int64_t>(divide_up<int64_t>(x.rows(), 4 * height), int64_t{4} * multiprocessors);
  }
  bool fits() const { return width > 0; }

  int vector;
  int width = 0;
  int height = 0;
  int64_t blocks = 0;
};

// ---- Two passes ----

template <class T>
struct SumLongRows {
  static constexpr int kSums = 2;
  static constexpr int kUnroll = 1;

  PartialSums partial;
  LayerNormGradients<T> p;

  template <int N>
  struct Constants {};
  template <int N>
  __device__ Constants<N> constants(int, RowBlock) const {
    return {};
  }

  template <int N>
  __device__ void add(Floats<N> (&sums)[2], int64_t i, const Constants<N>&) const {
    const int64_t row = i / p.channels;
    const Floats<N> g = load<N>(p.dy + i);
    const Floats<N> x = load<N>(p.x + i);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      sums[0][k] += g[k];
      sums[1][k] = fmaf(g[k], (x[k] - p.mean[row]) * p.rstd[row], sums[1][k]);
    }
  }

  __device__ void finish(RowBlock rows, int channel, const float (&sums)[2]) const {
    partial.bias[rows.index * p.channels + channel] = sums[0];
    partial.weight[rows.index * p.channels + channel] = sums[1];
  }
};

// One warp per row.
template <int N, class T>
__global__ void __launch_bounds__(kChannelThreads) long_row_kernel(LayerNormGradients<T> p) {
  const int64_t row = lane_row(kWarp);
  if (row >= p.rows) return;
  const LaneRow<T, N, 0> dy(p.dy, row, p.channels, p.channels, kWarp);
  const float mean = p.mean[row];
  const float rstd = p.rstd[row];
  const float share = 1.0f / static_cast<float>(p.channels);
  const auto for_each = [&](auto f) {
    dy.for_each([&](int channel, Floats<N> g) {
      const Floats<N> weight = load<N>(p.weight + channel);
      Floats<N> n = load<N>(p.x + row * p.channels + channel);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        g[k] *= weight[k];
        n[k] = (n[k] - mean) * rstd;
      }
      f(channel, g, n);
    });
  };
  float sum_g = 0.0f;
  float sum_gn = 0.0f;
  for_each([&](int, const Floats<N>& g, const Floats<N>& n) {
#pragma unroll
    for (int k = 0; k < N; ++k) {
      sum_g += g[k];
      sum_gn = fmaf(g[k], n[k], sum_gn);
    }
  });
  sum_g = share * warp_sum(sum_g);
  sum_gn = share * warp_sum(sum_gn);
  for_each([&](int channel, Floats<N> g, const Floats<N>& n) {
#pragma unroll
    for (int k = 0; k < N; ++k) g[k] = rstd * (g[k] - sum_g - n[k] * sum_gn);
    store_gradient(p.dx + row * p.channels + channel, g, p.accumulates);
  });
}

int64_t sum_blocks(const Shape& x, int multiprocessors) {
  const OnePass shape(x, multiprocessors);
  if (shape.fits()) return shape.blocks;
  return divide_up(x.rows(), rows_of_block(x.rows(), x.channels(), multiprocessors));
}

}  // namespace

// In floats: two sums per block and channel.
size_t CudaBackend::layer_norm_workspace(const Shape& x) const {
  return static_cast<size_t>(2 * sum_blocks(x, multiprocessors_) * x.channels()) * sizeof(float);
}

void CudaBackend::layer_norm_backward(const LayerNormBackward& t) {
  const int64_t rows = t.x.shape.rows();
  const int64_t channels = t.x.shape.channels();
  const int64_t blocks = sum_blocks(t.x.shape, multiprocessors_);
  float* const sums = data<float>(t.workspace);
  const PartialSums partial{sums, sums + blocks * channels};
  const FinishSums finish{data<float>(t.dweight),
                          data<float>(t.dbias),
                          t.dweight.accumulates(),
                          t.dbias.accumulates(),
                          partial,
                          static_cast<int>(channels)};
  const bool sums_wanted = t.dweight.wanted() || t.dbias.wanted();
  if (!sums_wanted && !t.dx.wanted()) return;
  with_activation(t.x.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    const LayerNormGradients<T> p{data<T>(t.dx),
                                  t.dx.accumulates(),
                                  data<T>(t.dy),
                                  data<T>(t.x),
                                  data<float>(t.mean),
                                  data<float>(t.rstd),
                                  data<float>(t.weight),
                                  rows,
                                  static_cast<int>(channels)};
    const OnePass shape(t.x.shape, multiprocessors_);
    if (shape.fits()) {
      launch(kName, queue(),
             {dim3(static_cast<unsigned>(blocks)),
              dim3(static_cast<unsigned>(shape.width), static_cast<unsigned>(shape.height))},
             shape.vector == 1 ? layer_norm_backward_kernel<1, T>
                               : layer_norm_backward_kernel<kVector, T>,
             p, partial);
      return;
    }
    // dx may overwrite dy, which the sums read.
    if (sums_wanted) {
      run_row_sums(kName, queue(), rows, channels, rows_of_block(rows, channels, multiprocessors_),
                   SumLongRows<T>{partial, p});
    }
    if (!t.dx.wanted()) return;
    launch(kName, queue(),
           {dim3(lane_row_blocks(rows, kWarp, kChannelThreads)), dim3(kChannelThreads)},
           shape.vector == 1 ? long_row_kernel<1, T> : long_row_kernel<kVector, T>, p);
  });
  if (sums_wanted) run_finish_row_sums(kName, queue(), blocks, channels, finish);
}

}  // namespace countenance::cuda
