#pragma once

#include <cstdint>
#include <string>  // also defines the standard library's macros

// What countenance_cuda.so offers, found by dlsym under kCudaPluginSymbol. The functions are plain
// C; the backend behind them is a C++ object, used through Backend's virtual functions. That
// assumes the same headers and the same layout of the standard library's classes on both sides:
// `abi` is a hash of the headers, computed by the build, and the library's name; a plugin whose
// `abi` differs is not used. Versions of GCC and Clang may differ: libstdc++ keeps its layout.
//
// Exceptions propagate from the backend to its caller and back. Each side may have linked libstdc++
// statically: their types are then compared by name. The unwinder, libgcc_s, must be shared: an
// unwinder that meets frames prepared for another one aborts.

namespace countenance {

class Backend;

inline constexpr const char* kCudaPluginSymbol = "countenance_cuda_plugin";

struct CudaDevice {
  char name[256];
  int32_t major;  // compute capability
  int32_t minor;
  uint64_t total_bytes;
};

struct CudaStatus {
  int32_t devices;
  int32_t driver_version;   // 13000 for CUDA 13.0; 0: there is no driver
  int32_t runtime_version;  // of the plugin
  int32_t nothing_there;    // 1: the reason is that there is no driver or no GPU
  char reason[512];         // why there is no device, else empty
};

struct CudaPlugin {
  const char* abi;
  void (*status)(CudaStatus* status);
  // 0, or -1 with the reason.
  int (*device)(int index, CudaDevice* device, char reason[512]);
  // A new backend, owned by the caller, or null with one of countenance::code and the reason.
  Backend* (*create)(int index, const char** code, char reason[512]);
};

// Defined by the build for the two files that compare it.
#if defined(COUNTENANCE_HEADERS)
#if defined(_LIBCPP_VERSION)
#define COUNTENANCE_LIBRARY "libc++"
#elif _GLIBCXX_USE_CXX11_ABI
#define COUNTENANCE_LIBRARY "libstdc++"
#else
#define COUNTENANCE_LIBRARY "libstdc++ before C++11"
#endif
inline constexpr const char* kCudaAbi = COUNTENANCE_HEADERS ", " COUNTENANCE_LIBRARY;
#undef COUNTENANCE_LIBRARY
#endif

using CudaPluginFunction = const CudaPlugin* (*)();

}  // namespace countenance
