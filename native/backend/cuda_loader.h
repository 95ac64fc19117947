#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace countenance {

struct CudaDeviceInfo {
  int index = 0;
  std::string name;
  int major = 0;  // compute capability
  int minor = 0;
  uint64_t total_bytes = 0;
};

struct CudaInfo {
  std::vector<CudaDeviceInfo> devices;
  std::string reason;  // why there is no device, else empty
  // True if there is nothing to use: no plugin, no driver or no GPU. Otherwise something that is
  // present does not work.
  bool nothing_there = false;
  std::string plugin;       // path of the plugin, empty when it was not opened
  int driver_version = 0;   // 13000 for CUDA 13.0; 0: no driver, or it could not be queried
  int runtime_version = 0;  // what the plugin was built with
};

// The CUDA plugin countenance_cuda.so is next to the addon, or where set_cuda_plugin says;
// COUNTENANCE_CUDA_PLUGIN in the environment overrides both. It is opened on the first call and
// stays open. Never throws: any failure to find a GPU is reported as a reason.
CudaInfo cuda_info();

// The path of a plugin that is not next to the addon, and why it must not be used (empty: it may
// be). Must be called before the other functions.
void set_cuda_plugin(std::string path, std::string problem = "");

// ERR_DEVICE_UNAVAILABLE with the reason when there is no such device.
std::unique_ptr<Backend> make_cuda_backend(int device);

}  // namespace countenance
