#pragma once

// Marks a function that CUDA kernels call too. Only headers without any dependency carry it.
#if defined(__CUDACC__)
#define COUNTENANCE_HOST_DEVICE __host__ __device__
#else
#define COUNTENANCE_HOST_DEVICE
#endif
