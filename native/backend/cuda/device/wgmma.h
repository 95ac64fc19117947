#pragma once

#include "backend/cuda/device/ptx.h"

// Products of a warpgroup, four consecutive warps, with operands in shared memory; they run
// concurrently with whatever the warps do next. Only on compute capability 9.0 (sm_90a); elsewhere
// the functions end the kernel. The emulator has a twin of this header, as of ptx.h.

namespace countenance::cuda {

// Whether the code being compiled has them.
#if defined(__CUDA_ARCH__) && !defined(__CUDA_ARCH_FEAT_SM90_ALL)
inline constexpr bool kHasWgmma = false;
#define COUNTENANCE_SM90A(...) __trap()
#else
inline constexpr bool kHasWgmma = true;
#define COUNTENANCE_SM90A(...) asm volatile(__VA_ARGS__)
#endif

// ---- An operand ----

// bfloat16 in lines of 128 bytes, in groups of 8 consecutive lines aligned to their 1024 bytes. The
// 16-byte chunk c of line l is at position c ^ l % 8 of the line ("128-byte swizzle").
//   along the depth: a line is a row of A, or a column of B, with 64 numbers of its depth
//   along the width: a line is a step of the depth with 64 rows of A, or columns of B; those of the
//                    next 64 are `block` bytes further on
// Bits: 0-13 the address, 16-29 `block`, 32-45 from 8 lines to the next 8, all in units of 16
// bytes; 62-63 the swizzle.
struct WgmmaOperand {
  uint64_t bits;
};

__device__ __forceinline__ WgmmaOperand wgmma_operand(const __nv_bfloat16* start, unsigned block) {
  constexpr uint64_t kLines = uint64_t{1024 >> 4} << 32;
  constexpr uint64_t kSwizzle128 = uint64_t{1} << 62;
  return {(shared_address(start) & 0x3FFFF) >> 4 | uint64_t{block >> 4} << 16 | kLines |
          kSwizzle128};
}

// ---- The product ----

// "{%0, ...}" and its operands, four numbers at a time.
#define COUNTENANCE_SUMS_64                                                                     \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, " \
  "%20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}"
#define COUNTENANCE_SUMS_128                                                                    \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, " \
  "%20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, "  \
  "%38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, "  \
  "%56, %57, %58, %59, %60, %61, %62, %63}"
#define COUNTENANCE_SUM(j) "+f"(d[j][0]), "+f"(d[j][1]), "+f"(d[j][2]), "+f"(d[j][3])
#define COUNTENANCE_SUMS_AT(j) \
  COUNTENANCE_SUM(j), COUNTENANCE_SUM(j + 1), COUNTENANCE_SUM(j + 2), COUNTENANCE_SUM(j + 3)

// d += a b for a (64, 16), b (16, N), d (64, N); kWidthA, kWidthB: the operand lies along the
// width. For lane l of warp w of the warpgroup, g = l / 4 and t = l % 4:
//   d[j][i] = d(16 w + g + 8 (i / 2), 8 j + 2 t + i % 2)
// d and the operands belong to the product until wgmma_wait.
template <bool kWidthA, bool kWidthB>
__device__ __forceinline__ void wgmma(float (&d)[8][4], WgmmaOperand a, WgmmaOperand b) {
  COUNTENANCE_SM90A("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " COUNTENANCE_SUMS_64
                    ", %32, %33, 1, 1, 1, %34, %35;"
                    : COUNTENANCE_SUMS_AT(0), COUNTENANCE_SUMS_AT(4)
                    : "l"(a.bits), "l"(b.bits), "n"(int{kWidthA}), "n"(int{kWidthB})
                    : "memory");
}
template <bool kWidthA, bool kWidthB>
__device__ __forceinline__ void wgmma(float (&d)[16][4], WgmmaOperand a, WgmmaOperand b) {
  COUNTENANCE_SM90A("wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " COUNTENANCE_SUMS_128
                    ", %64, %65, 1, 1, 1, %66, %67;"
                    : COUNTENANCE_SUMS_AT(0), COUNTENANCE_SUMS_AT(4), COUNTENANCE_SUMS_AT(8),
                      COUNTENANCE_SUMS_AT(12)
                    : "l"(a.bits), "l"(b.bits), "n"(int{kWidthA}), "n"(int{kWidthB})
                    : "memory");
}

#undef COUNTENANCE_SUMS_AT
#undef COUNTENANCE_SUM
#undef COUNTENANCE_SUMS_128
#undef COUNTENANCE_SUMS_64

// ---- Order ----

// Before the first product of a group: completes this thread's accesses to d.
__device__ __forceinline__ void wgmma_fence() {
  COUNTENANCE_SM90A("wgmma.fence.sync.aligned;" ::: "memory");
}
// Closes a group of the products issued since the last one.
__device__ __forceinline__ void wgmma_commit() {
  COUNTENANCE_SM90A("wgmma.commit_group.sync.aligned;" ::: "memory");
}
// Waits until at most `Groups` of the warp's closed groups are unfinished.
template <int Groups>
__device__ __forceinline__ void wgmma_wait() {
  COUNTENANCE_SM90A("wgmma.wait_group.sync.aligned %0;" ::"n"(Groups) : "memory");
}
// Makes what this thread wrote to shared memory, or what cp_async_wait brought there for it,
// visible to the products of all threads that pass a barrier after this.
__device__ __forceinline__ void fence_for_wgmma() {
  COUNTENANCE_SM90A("fence.proxy.async.shared::cta;" ::: "memory");
}

#undef COUNTENANCE_SM90A

}  // namespace countenance::cuda
