#pragma once

// The emulator's twin of native/backend/cuda/device/launch.h.

#include <cuda_runtime.h>

#include "backend/cuda/device/check.h"

#define COUNTENANCE_SHARED(type, name, extents)                                \
  alignas(128) static type name extents;                                       \
  {                                                                            \
    static uint64_t last_block_of_##name = 0;                                  \
    ::emulator::enter_static_shared(&name, sizeof name, last_block_of_##name); \
  }                                                                            \
  static_assert(true)

#define COUNTENANCE_DYNAMIC_SHARED(type, name) \
  type* const name = reinterpret_cast<type*>(::emulator::dynamic_shared())

namespace countenance::cuda {

struct LaunchShape {
  dim3 grid;
  dim3 block;
  size_t shared = 0;
};

template <class... Parameters, class... Arguments>
void launch(const char* name, cudaStream_t stream, const LaunchShape& shape,
            void (*kernel)(Parameters...), const Arguments&... arguments) {
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return;
  check(::emulator::enqueue(stream, {name, shape.grid, shape.block, shape.shared},
                            [=] { kernel(static_cast<Parameters>(arguments)...); }),
        name);
}

}  // namespace countenance::cuda
