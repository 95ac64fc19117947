#pragma once

#include <cuda_bf16.h>

#include <cstdint>

#include "backend/cuda/device/launch.h"
#include "backend/cuda/device/ptx.h"
#include "backend/cuda/device/wgmma.h"

// Every PTX wrapper, and every device function that kernels use, on fixed input: one kernel each,
// one warp, results as 32-bit words. ptx_test.cu compares the emulator's results with the PTX
// manual's definitions and, once golden/record.cu has run on a GPU, with what that gave. For wgmma,
// which takes a warpgroup, this needs compute capability 9.0.

namespace countenance::test {

inline constexpr int kMmaWords = 16 * 8;
inline constexpr int kLoadWords = 32 * 2 * (1 + 2 + 4);
inline constexpr int kAsyncWords = 32 * 4 + 32;
inline constexpr int kWarpgroupThreads = 128;
inline constexpr int kWarpgroupDepth = 64;
inline constexpr int kWarpgroupColumns = 128;
inline constexpr size_t kWarpgroupBytes = size_t{64 + kWarpgroupColumns} * kWarpgroupDepth * 2;
inline constexpr int kWarpgroupWords = 2 * 4 * kWarpgroupThreads;
inline constexpr int kMathInputs = 96;
inline constexpr int kMathFunctions = 7;
inline constexpr int kMathWords = kMathInputs * kMathFunctions;

// Integers from -8 to 7: they and sums of 16 of their products are exact.
__host__ __device__ inline float small_integer(int i) {
  return static_cast<float>((static_cast<uint32_t>(i) * 2654435761u >> 20) % 16u) - 8.0f;
}

// d (16, 8) = a (16, 16) b (16, 8) + c, for a = integers from 0, b from 1000, c from 2000; a and b
// row by row in shared memory.
static __global__ void mma_functions(uint32_t* out) {
  COUNTENANCE_SHARED(__nv_bfloat16, a, [16 * 16]);
  COUNTENANCE_SHARED(__nv_bfloat16, b, [16 * 8]);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += 32) a[i] = __float2bfloat16_rn(small_integer(i));
  for (int i = lane; i < 128; i += 32) b[i] = __float2bfloat16_rn(small_integer(1000 + i));
  __syncwarp();
  uint32_t fragment_a[4];
  uint32_t fragment_b[2];
  cuda::ldmatrix_x4(fragment_a, &a[lane % 16 * 16 + lane / 16 * 8]);
  cuda::ldmatrix_x2_trans(fragment_b, &b[lane % 16 * 8]);
  float d[4];
  int place[4];
  for (int i = 0; i < 4; ++i) {
    place[i] = (lane / 4 + 8 * (i / 2)) * 8 + 2 * (lane % 4) + i % 2;
    d[i] = small_integer(2000 + place[i]);
  }
  cuda::mma_bf16(d, fragment_a, fragment_b);
  for (int i = 0; i < 4; ++i) out[place[i]] = __float_as_uint(d[i]);
}

// Four 8 x 8 matrices of the numbers 0, 1, 2, ... as bits; out[lane][x1, x2, x4, then transposed].
static __global__ void load_functions(uint32_t* out) {
  COUNTENANCE_SHARED(uint16_t, numbers, [4 * 64]);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += 32) numbers[i] = static_cast<uint16_t>(i);
  __syncwarp();
  const __nv_bfloat16* row = reinterpret_cast<const __nv_bfloat16*>(&numbers[lane * 8]);
  uint32_t one[2][1], two[2][2], four[2][4];
  cuda::ldmatrix_x1(one[0], row);
  cuda::ldmatrix_x2(two[0], row);
  cuda::ldmatrix_x4(four[0], row);
  cuda::ldmatrix_x1_trans(one[1], row);
  cuda::ldmatrix_x2_trans(two[1], row);
  cuda::ldmatrix_x4_trans(four[1], row);
  uint32_t* place = out + lane * 14;
  for (int t = 0; t < 2; ++t) {
    *place++ = one[t][0];
    for (int i = 0; i < 2; ++i) *place++ = two[t][i];
    for (int i = 0; i < 4; ++i) *place++ = four[t][i];
  }
}

// Copies of 16 bytes per lane, every third one invalid; then of 4, in a second group.
static __global__ void async_functions(uint32_t* out, const uint32_t* in) {
  COUNTENANCE_SHARED(uint32_t, tile, [32 * 4 + 32]);
  const int lane = static_cast<int>(threadIdx.x);
  cuda::cp_async_16(&tile[4 * lane], &in[4 * (31 - lane)], lane % 3 != 0);
  cuda::cp_async_commit();
  cuda::cp_async_4(&tile[128 + lane], &in[lane], lane % 3 != 1);
  cuda::cp_async_commit();
  cuda::cp_async_wait<0>();
  __syncwarp();
  for (int i = lane; i < kAsyncWords; i += 32) out[i] = tile[i];
}

// A thread's sums as one number, which changes if any two of them swap offsets.
template <int Columns8>
__host__ __device__ inline uint32_t digest_of(const float (&d)[Columns8][4]) {
  uint32_t sum = 0;
  for (int i = 0; i < 4 * Columns8; ++i) {
    sum += static_cast<uint32_t>(i + 1) * static_cast<uint32_t>(static_cast<int>(d[i / 4][i % 4]));
  }
  return sum;
}

// An operand (width, 64) of the integers from `first`, row by row, in wgmma's layout.
template <bool kAlongWidth>
__device__ inline void store_operand(__nv_bfloat16* to, int width, int first) {
  for (int i = static_cast<int>(threadIdx.x); i < width * kWarpgroupDepth; i += kWarpgroupThreads) {
    const int w = i / kWarpgroupDepth, k = i % kWarpgroupDepth;
    const int line = kAlongWidth ? w / 64 * kWarpgroupDepth + k : w;
    const int in_line = kAlongWidth ? w % 64 : k;
    to[line * 64 + (in_line / 8 ^ line % 8) * 8 + in_line % 8] =
        __float2bfloat16_rn(small_integer(first + i));
  }
}

// d (64, 8 Columns8) = a (64, 64) b (64, 8 Columns8) + c; a holds integers from 0, b, column by
// column, from 10000, c from 50000; one digest per thread.
template <bool kWidthA, bool kWidthB, int Columns8>
__device__ inline void multiply_by_warpgroup(uint32_t* out, __nv_bfloat16* shared) {
  constexpr int kColumns = 8 * Columns8;
  __nv_bfloat16* const b = shared + 64 * kWarpgroupDepth;
  __syncthreads();
  store_operand<kWidthA>(shared, 64, 0);
  store_operand<kWidthB>(b, kColumns, 10000);
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  float d[Columns8][4];
  for (int i = 0; i < 4 * Columns8; ++i) {
    const int row = 16 * warp + lane / 4 + 8 * (i % 4 / 2);
    const int column = i / 4 * 8 + 2 * (lane % 4) + i % 2;
    d[i / 4][i % 4] = small_integer(50000 + row * kColumns + column);
  }
  cuda::fence_for_wgmma();
  __syncthreads();
  cuda::wgmma_fence();
  for (int depth = 0; depth < kWarpgroupDepth; depth += 16) {
    cuda::wgmma<kWidthA, kWidthB>(
        d, cuda::wgmma_operand(shared + depth * (kWidthA ? 64 : 1), kWidthA ? 8192 : 16),
        cuda::wgmma_operand(b + depth * (kWidthB ? 64 : 1), kWidthB ? 8192 : 16));
  }
  cuda::wgmma_commit();
  cuda::wgmma_wait<0>();
  out[threadIdx.x] = digest_of(d);
}

// Operands along the depth and along the width, of 64 and of 128 columns.
static __global__ void warpgroup_functions(uint32_t* out) {
  COUNTENANCE_DYNAMIC_SHARED(__nv_bfloat16, shared);
  multiply_by_warpgroup<false, false, 8>(out, shared);
  multiply_by_warpgroup<false, true, 8>(out + kWarpgroupThreads, shared);
  multiply_by_warpgroup<true, false, 8>(out + 2 * kWarpgroupThreads, shared);
  multiply_by_warpgroup<true, true, 8>(out + 3 * kWarpgroupThreads, shared);
  multiply_by_warpgroup<false, false, 16>(out + 4 * kWarpgroupThreads, shared);
  multiply_by_warpgroup<false, true, 16>(out + 5 * kWarpgroupThreads, shared);
  multiply_by_warpgroup<true, false, 16>(out + 6 * kWarpgroupThreads, shared);
  multiply_by_warpgroup<true, true, 16>(out + 7 * kWarpgroupThreads, shared);
}

// Some of every kind: from -6 to 6 in steps, large, tiny, ties of bfloat16, infinite, NaN.
__host__ __device__ inline float math_input(int i) {
  const uint32_t special[] = {0x00000000, 0x80000000, 0x3F808000, 0x3F818000, 0xBF80C000,
                              0x7F7FFFFF, 0x00000001, 0x00800000, 0x7F800000, 0xFF800000,
                              0x7FC00000, 0x7F800001, 0x42B17218, 0xC2CFF1B5, 0x3F7FFFFF};
  constexpr int kSpecial = static_cast<int>(sizeof special / sizeof special[0]);
  if (i < kSpecial) {
    float value;
    memcpy(&value, &special[i], sizeof value);
    return value;
  }
  return -6.0f + 12.0f * static_cast<float>(i - kSpecial) / (kMathInputs - kSpecial - 1);
}

// out[input][function]: rounding to bfloat16, exp, log, sqrt, 1 / sqrt, normcdf, division by 3.
static __global__ void math_functions(uint32_t* out) {
  for (int i = static_cast<int>(threadIdx.x); i < kMathInputs; i += 32) {
    const float x = math_input(i);
    uint32_t* place = out + i * kMathFunctions;
    place[0] = __float_as_uint(__bfloat162float(__float2bfloat16_rn(x)));
    place[1] = __float_as_uint(expf(x));
    place[2] = __float_as_uint(logf(x));
    place[3] = __float_as_uint(sqrtf(x));
    place[4] = __float_as_uint(rsqrtf(x));
    place[5] = __float_as_uint(normcdff(x));
    place[6] = __float_as_uint(x / 3.0f);
  }
}

}  // namespace countenance::test
