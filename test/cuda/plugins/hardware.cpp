// The machine that the emulated plugin finds, set by the environment, for tests of whole programs:
// EMULATED_DEVICES, EMULATED_MEMORY (MiB of each), EMULATED_DRIVER (12040 for CUDA 12.4, 0: none),
// EMULATED_CAPABILITY (90 for compute capability 9.0).
// With EMULATED_REPORT the process reports at exit what it did not free.
#include <cstdio>
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

struct Report {
  // The machine exists first, so it outlives the report.
  Report() { emulator::resources(); }
  ~Report() {
    if (!std::getenv("EMULATED_REPORT")) return;
    const emulator::Resources left = emulator::resources();
    std::printf("left on the GPUs: %zu bytes, %zu blocks, %zu handles\n", left.device_bytes,
                left.blocks, left.handles);
    std::fflush(stdout);
  }
};
[[maybe_unused]] const Report report;

}  // namespace
