#include "backend/cuda/backend_class.h"
#include "backend/cuda/frames/elementwise.h"
#include "backend/cuda/frames/lane_row.h"

namespace countenance::cuda {

namespace {

constexpr int kThreads = 256;
const char* const kName = "layer_norm_forward";

template <class T>
struct LayerNorm {
  T* y;
  float* mean;  // null in evaluation mode, as rstd
  float* rstd;
  const T* x;
  const float* weight;
  const float* bias;
  int64_t rows;
  int channels;
  float eps;
};

// The variance about a first mean, whose rounding error the second pass measures and removes.
template <int N, int Held, class T>
__global__ void __launch_bounds__(kThreads) layer_norm_kernel(LayerNorm<T> p, int lanes) {
  const int64_t row = lane_row(lanes);
  // Lanes without a row still take part in the sums.
  const LaneRow<T, N, Held> x(p.x, row, row < p.rows ? p.channels : 0, p.channels, lanes);
  const float share = 1.0f / static_cast<float>(p.channels);
  float sum = 0.0f;
  x.for_each([&](int, const Floats<N>& v) {
#pragma unroll
    for (int k = 0; k < N; ++k) sum += v[k];
  });
  const float first = share * lanes_sum(sum, lanes);
  float offset = 0.0f;
  float square = 0.0f;
  x.for_each([&](int, const Floats<N>& v) {
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float d = v[k] - first;
      offset += d;
      square = fmaf(d, d, square);
    }
  });
  offset = share * lanes_sum(offset, lanes);
  square = share * lanes_sum(square, lanes);
  if (row >= p.rows) return;
  const float mean = first + offset;
  const float rstd = 1.0f / sqrtf(fmaxf(0.0f, fmaf(-offset, offset, square)) + p.eps);
  if (p.mean && x.lane() == 0) p.mean[row] = mean;
  if (p.rstd && x.lane() == 0) p.rstd[row] = rstd;
  x.for_each([&](int channel, Floats<N> v) {
    const Floats<N> weight = load<N>(p.weight + channel);
    const Floats<N> bias = load<N>(p.bias + channel);
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] = fmaf((v[k] - mean) * rstd, weight[k], bias[k]);
    store(p.y + row * p.channels + channel, v);
  });
}

}  // namespace

void CudaBackend::layer_norm_forward(const LayerNormForward& t, float eps) {
  const int64_t rows = t.x.shape.rows();
  const int channels = static_cast<int>(t.x.shape.channels());
  with_activation(t.x.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    const LayerNorm<T> p{data<T>(t.y),
                         data<float>(t.mean),
                         data<float>(t.rstd),
                         data<T>(t.x),
                         data<float>(t.weight),
                         data<float>(t.bias),
                         rows,
                         channels,
                         eps};
    with_lane_row(channels, [&](auto vector, auto held, int lanes) {
      launch(kName, queue(), {dim3(lane_row_blocks(rows, lanes, kThreads)), dim3(kThreads)},
             layer_norm_kernel<vector.value, held.value, T>, p, lanes);
    });
  });
}

}  // namespace countenance::cuda
