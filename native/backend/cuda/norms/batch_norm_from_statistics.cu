#include "backend/cuda/backend_class.h"
#include "backend/cuda/device/launch.h"
#include "backend/cuda/frames/moments.h"
#include "backend/cuda/norms/batch_norm.h"

namespace countenance::cuda {

namespace {

constexpr int kThreads = 128;

// The moments of groups of `size` consecutive blocks, one thread per channel of a group (Chan,
// Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances").
// Rounding is no problem because differences from the first block's mean are summed in double.
__global__ void __launch_bounds__(kThreads)
    merge_moments_kernel(Moments merged, Moments moments, int64_t rows, int channels, int size) {
  const int channel = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (channel >= channels) return;
  const int64_t blocks = (rows + kMomentRows - 1) / kMomentRows;
  const int64_t group = blockIdx.y;
  const int64_t first = group * size;
  const int64_t end = min(first + size, blocks);
  const double origin = moments.mean[first * channels + channel];
  double count = 0;
  double sum = 0;
  double square = 0;
#pragma unroll 4
  for (int64_t block = first; block < end; ++block) {
    const int64_t rest = rows - block * kMomentRows;
    const double n = static_cast<double>(min(rest, int64_t{kMomentRows}));
    const double offset = moments.mean[block * channels + channel] - origin;
    count += n;
    sum += n * offset;
    square += n * offset * offset + moments.square[block * channels + channel];
  }
  const double offset = sum / count;
  merged.mean[group * channels + channel] = origin + offset;
  merged.square[group * channels + channel] = static_cast<float>(square - sum * offset);
}

}  // namespace

void CudaBackend::batch_norm_from_statistics(const BatchNormForward& t, Tensor statistics,
                                             const BatchNormAttributes& attributes) {
  const int64_t rows = t.x.shape.rows();
  const int64_t channels = t.x.shape.channels();
  const StatisticsLayout layout(rows, channels);
  float* const memory = data<float>(statistics);
  Moments moments = layout.moments(memory);
  if (layout.group > 1) {
    const Moments merged = layout.merged(memory);
    launch("batch_norm_from_statistics", queue(),
           {dim3(static_cast<unsigned>(divide_up<int64_t>(channels, kThreads)),
                 static_cast<unsigned>(layout.groups)),
            dim3(kThreads)},
           merge_moments_kernel, merged, moments, rows, static_cast<int>(channels),
           static_cast<int>(layout.group));
    moments = merged;
  }
  batch_norm_from_moments(queue(), t, {moments.mean, moments.square, layout.group * kMomentRows},
                          attributes);
}

}  // namespace countenance::cuda
