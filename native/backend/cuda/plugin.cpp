#include <algorithm>
#include <cstdio>
#include <cstring>

#include "backend/cuda/backend_class.h"
#include "backend/cuda_plugin.h"

namespace countenance::cuda {

namespace {

void say(char (&place)[512], const std::string& reason) {
  std::snprintf(place, sizeof place, "%s", reason.c_str());
}

std::string version(int number) {
  return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

std::string reason_of(cudaError_t error, const CudaStatus& status) {
  if (status.driver_version == 0) return "there is no NVIDIA driver";
  switch (error) {
    case cudaErrorInsufficientDriver:
      return "the NVIDIA driver is too old: it supports CUDA " + version(status.driver_version) +
             " and CUDA " + version(status.runtime_version) + " is needed";
    case cudaErrorNoDevice:
      return "there is no NVIDIA GPU";
    default:
      return std::string("CUDA cannot be used: ") + cudaGetErrorName(error) + " (" +
             cudaGetErrorString(error) + ")";
  }
}

void get_status(CudaStatus* status) {
  *status = {};
  cudaDriverGetVersion(&status->driver_version);
  cudaRuntimeGetVersion(&status->runtime_version);
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  cudaGetLastError();
  if (error != cudaSuccess || count == 0) {
    status->nothing_there =
        status->driver_version == 0 || error == cudaSuccess || error == cudaErrorNoDevice;
    say(status->reason, reason_of(error == cudaSuccess ? cudaErrorNoDevice : error, *status));
    return;
  }
  status->devices = count;
}

// Runs f; turns an exception into a reason and, if wanted, a code.
template <class F>
bool guarded(F&& f, const char** code, char (&reason)[512]) {
  try {
    f();
    return true;
  } catch (const Error& error) {
    if (code) *code = error.code();
    say(reason, error.what());
  } catch (const std::exception& error) {
    if (code) *code = code::kInternal;
    say(reason, error.what());
  }
  return false;
}

int get_device(int index, CudaDevice* device, char reason[512]) {
  char words[512] = "";
  const bool done = guarded(
      [&] {
        cudaDeviceProp properties;
        COUNTENANCE_CUDA(cudaGetDeviceProperties(&properties, index));
        *device = {};
        std::snprintf(device->name, sizeof device->name, "%s", properties.name);
        device->major = properties.major;
        device->minor = properties.minor;
        device->total_bytes = properties.totalGlobalMem;
      },
      nullptr, words);
  std::memcpy(reason, words, sizeof words);
  return done ? 0 : -1;
}

Backend* create(int index, const char** code, char reason[512]) {
  CudaStatus status;
  get_status(&status);
  if (status.devices == 0) {
    *code = code::kDeviceUnavailable;
    std::memcpy(reason, status.reason, sizeof status.reason);
    return nullptr;
  }
  Backend* backend = nullptr;
  char words[512] = "";
  guarded([&] { backend = new CudaBackend(index); }, code, words);
  std::memcpy(reason, words, sizeof words);
  return backend;
}

const CudaPlugin kPlugin{kCudaAbi, get_status, get_device, create};

}  // namespace

}  // namespace countenance::cuda

extern "C" __attribute__((visibility("default"))) const countenance::CudaPlugin*
countenance_cuda_plugin() {
  return &countenance::cuda::kPlugin;
}
