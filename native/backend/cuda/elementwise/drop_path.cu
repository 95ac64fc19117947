#include "backend/cuda/backend_class.h"
#include "backend/cuda/frames/elementwise.h"
#include "backend/cuda/frames/random.h"

namespace countenance::cuda {

namespace {

struct DropPathScale {
  float* row_scale;
  float probability;
  float kept;
  DeviceRandom random;

  template <int N>
  __device__ void run(int64_t i) const {
    const RandomStream stream = random.stream();
#pragma unroll
    for (int k = 0; k < N; ++k) {
      row_scale[i + k] = stream.uniform(i + k) < probability ? 0.0f : kept;
    }
  }
};

}  // namespace

void CudaBackend::drop_path_scale(Tensor row_scale, float probability, RandomKey key) {
  run_elementwise(
      "drop_path_scale", queue(), row_scale.elements(),
      DropPathScale{
          data<float>(row_scale), probability, 1.0f / (1.0f - probability), {key, stream_shift()}});
}

}  // namespace countenance::cuda
