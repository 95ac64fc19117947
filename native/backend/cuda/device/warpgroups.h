#pragma once

#include <cuda_runtime.h>

namespace countenance::cuda {

// Whether products of warpgroups (wgmma.h) run on the current device: its compute capability is 9.0
// and the code that the driver chose for it was compiled with them. COUNTENANCE_WGMMA=0 in the
// environment turns them off, for comparison or as a workaround.
bool has_warpgroups(const cudaDeviceProp& device, cudaStream_t stream);

}  // namespace countenance::cuda
