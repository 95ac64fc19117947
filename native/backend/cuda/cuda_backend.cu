#include "backend/cuda/backend_class.h"
#include "backend/cuda/device/recording.h"
#include "backend/cuda/device/warpgroups.h"
#include "backend/cuda/frames/elementwise.h"

namespace countenance::cuda {

namespace {

// The value is a kernel parameter, so that the host need not keep it in pinned memory.
__global__ void set_shift_kernel(uint64_t* place, uint64_t value) { *place = value; }

constexpr int kNoShift = 0;
constexpr int kReplayShift = 1;

uint64_t* shift_at(const DeviceMemory& shifts, int which) {
  return static_cast<uint64_t*>(shifts.data()) + which;
}

}  // namespace

CudaBackend::CudaBackend(int device) : device_(device) {
  int count = 0;
  COUNTENANCE_CUDA(cudaGetDeviceCount(&count));
  if (device < 0 || device >= count) {
    fail(code::kDeviceUnavailable, "there is no GPU cuda:", device, "; this machine has ", count);
  }
  COUNTENANCE_CUDA(cudaSetDevice(device));
  cudaDeviceProp properties;
  COUNTENANCE_CUDA(cudaGetDeviceProperties(&properties, device));
  if (properties.major < 8) {
    fail(code::kDeviceUnavailable, properties.name, " has compute capability ", properties.major,
         ".", properties.minor, "; countenance needs 8.0 or later");
  }
  name_ = properties.name;
  multiprocessors_ = properties.multiProcessorCount;
  compute_ = make_stream();
  warpgroups_ = has_warpgroups(properties, compute_);
  staging_ = std::make_unique<Staging>(compute_);
  shifts_ = make_device_memory(2 * sizeof(uint64_t));
  COUNTENANCE_CUDA(cudaMemsetAsync(shifts_.data(), 0, shifts_.bytes(), compute_));
}

CudaBackend::~CudaBackend() {
  // Nothing may still be running on memory about to be freed. An error of an earlier command has
  // already been reported.
  cudaSetDevice(device_);
  try {
    synchronize();
  } catch (const std::exception&) {
  }
}

std::string CudaBackend::description() const {
  return "cuda:" + std::to_string(device_) + " (" + name_ + ")";
}

Queue CudaBackend::queue() const {
  COUNTENANCE_CUDA(cudaSetDevice(device_));
  return {compute_, multiprocessors_};
}

StreamShift CudaBackend::stream_shift() const {
  return shift_at(shifts_, recording_ ? kReplayShift : kNoShift);
}

std::unique_ptr<Recording> CudaBackend::record(FunctionRef<void()> operations) {
  const Queue to = queue();
  ensure(!recording_, "a recording inside a recording");
  auto recording = std::make_unique<CudaRecording>();
  COUNTENANCE_CUDA(cudaStreamBeginCapture(to, cudaStreamCaptureModeThreadLocal));
  recording_ = recording.get();
  const auto end = [&] {
    recording_ = nullptr;
    cudaGraph_t graph = nullptr;
    const cudaError_t error = cudaStreamEndCapture(to, &graph);
    Graph owned(graph);
    return std::pair(std::move(owned), error);
  };
  try {
    operations();
  } catch (...) {
    end();
    throw;
  }
  const auto [graph, error] = end();
  check(error, "cudaStreamEndCapture");
  cudaGraphExec_t exec = nullptr;
  COUNTENANCE_CUDA(cudaGraphInstantiate(&exec, graph, 0));
  recording->exec = GraphExec(exec);
  return recording;
}

void CudaBackend::replay(const Recording& recorded, uint64_t stream_shift) {
  const auto& recording = static_cast<const CudaRecording&>(recorded);
  const Queue to = queue();
  for (const void* address : recording.read) {
    if (CudaBlock* block = blocks_->find(address)) refresh_bf16(*block);
  }
  launch("replay", to, {dim3(1), dim3(1)}, set_shift_kernel, shift_at(shifts_, kReplayShift),
         stream_shift);
  COUNTENANCE_CUDA(cudaGraphLaunch(recording.exec, to));
  for (const void* address : recording.written) {
    if (CudaBlock* block = blocks_->find(address)) block->bf16_fresh = false;
  }
}

}  // namespace countenance::cuda
