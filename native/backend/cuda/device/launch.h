#pragma once

#include <cuda_runtime.h>

#include "backend/cuda/device/check.h"

// How kernels are launched and declare shared memory. The emulator (test/cuda/emulator) has a twin
// of this header and of ptx.h, found first on its include path: the same kernel sources then
// compile with g++. Nothing else in a kernel depends on where it runs.

// Shared memory of a fixed size, undefined at the start of a block:
//   COUNTENANCE_SHARED(float, tile, [32][33]);
#define COUNTENANCE_SHARED(type, name, extents) __shared__ __align__(128) type name extents

// The launch's dynamic shared memory, aligned to 1024 bytes; once in a kernel:
//   COUNTENANCE_DYNAMIC_SHARED(__nv_bfloat16, stages);
#define COUNTENANCE_DYNAMIC_SHARED(type, name)                                  \
  extern __shared__ __align__(1024) unsigned char countenance_dynamic_shared[]; \
  type* const name = reinterpret_cast<type*>(countenance_dynamic_shared)

namespace countenance::cuda {

struct LaunchShape {
  dim3 grid;
  dim3 block;
  size_t shared = 0;  // bytes of dynamic shared memory
};

// The shared memory that a block can use without opting in.
inline constexpr size_t kPlainSharedBytes = 48 * 1024;

// Starts a kernel on a stream; a grid without blocks does nothing. `name` is the Backend's method,
// for error messages.
template <class... Parameters, class... Arguments>
void launch(const char* name, cudaStream_t stream, const LaunchShape& shape,
            void (*kernel)(Parameters...), const Arguments&... arguments) {
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return;
  if (shape.shared > kPlainSharedBytes) {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shape.shared)),
          name);
  }
  kernel<<<shape.grid, shape.block, shape.shared, stream>>>(static_cast<Parameters>(arguments)...);
  check(cudaGetLastError(), name);
}

}  // namespace countenance::cuda
