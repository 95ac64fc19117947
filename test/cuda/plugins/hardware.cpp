// What machine the emulated plugin finds, told by the environment, for tests of whole programs:
// EMULATED_DEVICES, EMULATED_MEMORY (MiB of each), EMULATED_DRIVER (12040 for CUDA 12.4, 0: none),
// EMULATED_CAPABILITY (90 for compute capability 9.0).
#include <cstdlib>

#include "runtime.h"

namespace {

long number(const char* name, long otherwise) {
  const char* value = std::getenv(name);
  return value && *value ? std::atol(value) : otherwise;
}

[[maybe_unused]] const bool set = [] {
  emulator::Hardware& hardware = emulator::hardware();
  hardware.devices = static_cast<int>(number("EMULATED_DEVICES", 1));
  hardware.memory = static_cast<size_t>(number("EMULATED_MEMORY", 1024)) << 20;
  hardware.driver_version = static_cast<int>(number("EMULATED_DRIVER", hardware.driver_version));
  hardware.capability = static_cast<int>(number("EMULATED_CAPABILITY", hardware.capability));
  if (hardware.driver_version < 13000) hardware.error = cudaErrorInsufficientDriver;
  if (hardware.devices == 0) hardware.error = cudaErrorNoDevice;
  return true;
}();

}  // namespace
