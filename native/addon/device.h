#pragma once

#include <memory>
#include <string>

#include "addon/node.h"
#include "backend/cpu/cpu_backend.h"

namespace countenance::addon {

// `device` of lib/native.ts.
struct Device {
  enum class Kind : uint8_t { Auto, Cpu, Cuda } kind = Kind::Auto;
  int index = 0;  // of a GPU
};

// 'auto', 'cpu', 'cuda' or 'cuda:N'.
Device read_device(Napi::Value value);

// The backend of a model, and how to make another one for its trainers.
struct ModelBackend {
  std::shared_ptr<Backend> backend;
  bool is_cpu = true;
  std::string fallback;  // why 'auto' could not use the GPU that is present, else empty
};

// Opens the CUDA plugin if the device may need it, so do not call it on the JavaScript thread.
// Throws ERR_DEVICE_UNAVAILABLE if the requested GPU is unavailable; 'auto' falls back to the CPU.
ModelBackend make_backend(const Device& device, int threads, Isa isa);

}  // namespace countenance::addon
