// Records on a GPU what the functions of ptx_functions.h give, for the emulator's tests:
//   build/gpu/Release/record_ptx > test/cuda/golden/ptx.txt
// bench/gpu/run.sh does this in its part `parity`.
#include <cstdio>
#include <vector>

#include "backend/cuda/device/warpgroups.h"
#include "gpu/no_gpu.h"
#include "ptx_functions.h"

namespace {

using countenance::cuda::launch;
using countenance::cuda::LaunchShape;

const LaunchShape kWarp{dim3(1), dim3(32)};

template <class Kernel, class... Arguments>
void record(const char* name, const LaunchShape& shape, int count, Kernel kernel,
            Arguments... arguments) {
  const size_t bytes = static_cast<size_t>(count) * sizeof(uint32_t);
  void* out = nullptr;
  COUNTENANCE_CUDA(cudaMalloc(&out, bytes));
  launch(name, nullptr, shape, kernel, static_cast<uint32_t*>(out), arguments...);
  std::vector<uint32_t> words(static_cast<size_t>(count));
  COUNTENANCE_CUDA(cudaMemcpy(words.data(), out, bytes, cudaMemcpyDeviceToHost));
  COUNTENANCE_CUDA(cudaFree(out));
  std::printf("%s", name);
  for (uint32_t word : words) std::printf(" %08x", word);
  std::printf("\n");
}

}  // namespace

int main() {
  using namespace countenance::test;
  const std::string reason = why_no_gpu();
  if (!reason.empty()) {
    std::fprintf(stderr, "no GPU: %s\n", reason.c_str());
    return kNoGpuStatus;
  }
  try {
    cudaDeviceProp properties;
    COUNTENANCE_CUDA(cudaGetDeviceProperties(&properties, 0));
    int driver = 0;
    COUNTENANCE_CUDA(cudaDriverGetVersion(&driver));
    std::printf("# %s, compute capability %d.%d, driver %d\n", properties.name, properties.major,
                properties.minor, driver);
    std::vector<uint32_t> numbers;
    for (uint32_t i = 0; i < 128; ++i) numbers.push_back(1000 + i);
    void* in = nullptr;
    COUNTENANCE_CUDA(cudaMalloc(&in, numbers.size() * sizeof(uint32_t)));
    COUNTENANCE_CUDA(
        cudaMemcpy(in, numbers.data(), numbers.size() * sizeof(uint32_t), cudaMemcpyHostToDevice));
    record("mma", kWarp, kMmaWords, mma_functions);
    record("ldmatrix", kWarp, kLoadWords, load_functions);
    record("cp_async", kWarp, kAsyncWords, async_functions, static_cast<const uint32_t*>(in));
    record("math", kWarp, kMathWords, math_functions);
    if (countenance::cuda::has_warpgroups(properties, nullptr)) {
      record("wgmma", {dim3(1), dim3(kWarpgroupThreads), kWarpgroupBytes}, kWarpgroupWords,
             warpgroup_functions);
    }
    COUNTENANCE_CUDA(cudaFree(in));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
