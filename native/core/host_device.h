#pragma once

// Marks a function that CUDA kernels call too. Only headers without dependencies use it.
#if defined(__CUDACC__)
#define COUNTENANCE_HOST_DEVICE __host__ __device__
#else
#define COUNTENANCE_HOST_DEVICE
#endif
