#include <cmath>

#include "backend/cuda/backend_class.h"
#include "backend/cuda/norms/batch_norm.h"
#include "device_array.h"
#include "harness/harness.h"

// Batch norm with statistics from another kernel, such as a convolution's epilogue.

namespace countenance::test {

using cuda::CudaBackend;

namespace {

constexpr int64_t kRows = 301;
constexpr int64_t kBlockRows = 128;  // the last block is shorter
constexpr int64_t kBlocks = 3;
constexpr int64_t kChannels = 10;

// Numbers around 1000; no block repeats.
std::vector<float> numbers() {
  std::vector<float> x;
  for (int64_t i = 0; i < kRows * kChannels; ++i) {
    x.push_back(1000.0f + static_cast<float>((i * i + 7 * i) % 1009) / 512.0f);
  }
  return x;
}

struct Moments {
  std::vector<double> mean;
  std::vector<float> square;
};

Moments moments_of(const std::vector<float>& x) {
  Moments m;
  for (int64_t block = 0; block < kBlocks; ++block) {
    const int64_t first = block * kBlockRows, end = std::min(kRows, first + kBlockRows);
    for (int64_t c = 0; c < kChannels; ++c) {
      const auto at = [&](int64_t row) { return x[static_cast<size_t>(row * kChannels + c)]; };
      double mean = 0, square = 0;
      for (int64_t row = first; row < end; ++row) mean += at(row);
      mean /= static_cast<double>(end - first);
      for (int64_t row = first; row < end; ++row) square += (at(row) - mean) * (at(row) - mean);
      m.mean.push_back(mean);
      m.square.push_back(static_cast<float>(square));
    }
  }
  return m;
}

}  // namespace

TEST(batch_norm_takes_moments_of_others) {
  CudaBackend backend(0);
  const cuda::Stream stream = cuda::make_stream();
  const cuda::Queue queue{stream, 1};
  const std::vector<float> values = numbers();
  const Moments moments = moments_of(values);
  const DeviceArray<double> block_mean(moments.mean, stream);
  const DeviceArray<float> block_square(moments.square, stream);
  const DeviceArray<float> x(values, stream);
  const DeviceArray<float> ones(std::vector<float>(kChannels, 1.0f), stream);
  const auto empty = [&](int64_t n) {
    return DeviceArray<float>(std::vector<float>(static_cast<size_t>(n), NAN), stream);
  };
  const DeviceArray<float> y = empty(kRows * kChannels), expected_y = empty(kRows * kChannels);
  const DeviceArray<float> mean = empty(kChannels), expected_mean = empty(kChannels);
  const DeviceArray<float> rstd = empty(kChannels), expected_rstd = empty(kChannels);
  const DeviceArray<float> running(std::vector<float>(kChannels, 2.0f), stream);
  const DeviceArray<float> expected_running(std::vector<float>(kChannels, 2.0f), stream);
  const Shape rows{kRows, kChannels}, channels{kChannels};
  const auto workspace = backend.allocate(backend.batch_norm_workspace(rows));
  COUNTENANCE_CUDA(cudaStreamSynchronize(stream));

  const BatchNormAttributes attributes{.activation = Activation::Relu};
  const Tensor in = tensor_of(x.data(), rows), weight = tensor_of(ones.data(), channels);
  cuda::batch_norm_from_moments(queue,
                                {.y = tensor_of(y.data(), rows),
                                 .mean = tensor_of(mean.data(), channels),
                                 .rstd = tensor_of(rstd.data(), channels),
                                 .running_mean = {},
                                 .running_var = tensor_of(running.data(), channels),
                                 .x = in,
                                 .weight = weight,
                                 .bias = weight},
                                {block_mean.data(), block_square.data(), kBlockRows}, attributes);
  backend.batch_norm_forward({.y = tensor_of(expected_y.data(), rows),
                              .mean = tensor_of(expected_mean.data(), channels),
                              .rstd = tensor_of(expected_rstd.data(), channels),
                              .running_mean = {},
                              .running_var = tensor_of(expected_running.data(), channels),
                              .x = in,
                              .weight = weight,
                              .bias = weight,
                              .workspace = tensor_of(static_cast<float*>(workspace->data()), {1})},
                             attributes);
  backend.synchronize();

  const auto error = [](const DeviceArray<float>& a, const DeviceArray<float>& b) {
    const std::vector<float> first = a.get(), second = b.get();
    return normalised_error(first.data(), second.data(), static_cast<int64_t>(first.size()));
  };
  CHECK(error(mean, expected_mean) < 1e-7);
  CHECK(error(rstd, expected_rstd) < 1e-6, error(rstd, expected_rstd));
  CHECK(error(running, expected_running) < 1e-6, error(running, expected_running));
  CHECK(error(y, expected_y) < 1e-4, error(y, expected_y));
}

}  // namespace countenance::test
