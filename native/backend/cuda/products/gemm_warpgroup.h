#pragma once

#include "backend/cuda/device/vector.h"
#include "backend/cuda/device/wgmma.h"
#include "backend/cuda/products/gemm_reader.h"
#include "backend/cuda/products/gemm_source.h"

namespace countenance::cuda {

// An operand's stage as wgmma reads it: lines of 64 numbers, permuted by chunks of 8 (wgmma.h).
template <Major kMajor, int kWidth, int kDepth>
struct WarpgroupStage {
  static constexpr bool kAlongWidth = kMajor == Major::Width;
  static constexpr int kLine = 64;
  static constexpr int kNumbers = kWidth * kDepth;
  static constexpr int kBlock = kDepth * kLine;  // of 64 rows (columns), along the width
  static_assert(kDepth == 64 && kWidth % 64 == 0);

  __device__ __forceinline__ static int offset(int line, int chunk) {
    const int block = kAlongWidth ? chunk / 8 * kBlock : 0;
    return block + line * kLine + (chunk % 8 ^ line % 8) * 8;
  }

  // The rows (columns) from `width` on, a multiple of 64, at the 16 steps of the depth from `depth`
  // on. Within a line the address advances as if nothing were permuted.
  __device__ __forceinline__ static WgmmaOperand operand(const __nv_bfloat16* stage, int width,
                                                         int depth) {
    const int at = kAlongWidth ? width / 64 * kBlock + depth * kLine : width * kLine + depth;
    return wgmma_operand(stage + at, kAlongWidth ? kBlock * sizeof(__nv_bfloat16) : 16);
  }
};

// A block's tile of a bfloat16 product with float32 sums on compute capability 9.0: one warpgroup
// for every 64 rows, its sums in registers, both operands in shared memory. The implicit GEMM
// gathers its operands, with zeros around the image, so they are copied with cp.async, as for
// TensorTile; of two blocks on a multiprocessor, one multiplies while the other waits for a stage.
template <int M, int N>
struct WarpgroupTile {
  static constexpr bool kCompiled = kHasWgmma;  // for the architecture at hand
  static constexpr int kM = M;
  static constexpr int kN = N;
  static constexpr int kDepth = 64;
  static constexpr int kStages = N == 64 ? 4 : 3;
  static constexpr int kThreads = M / 64 * 4 * kWarp;
  static constexpr int kResident = 2;
  static constexpr int kPitch = N + 8;

  template <class Product>
  static constexpr size_t shared_bytes() {
    return std::max(kStages * kDepth * (M + N) * sizeof(__nv_bfloat16), M * kPitch * sizeof(float));
  }

  // shared = A B for `chunks` of the depth from chunk `first` on, the tile's rows kPitch apart.
  template <class Product>
  __device__ __forceinline__ static void multiply(float* shared, const Product& product, int row,
                                                  int column, int first, int chunks) {
    using StageA = WarpgroupStage<Product::kMajorA, M, kDepth>;
    using StageB = WarpgroupStage<Product::kMajorB, N, kDepth>;
    static_assert(Product::A::kWhole && Product::B::kWhole, "the operands come by cp.async");
    const TileReader<typename Product::A, Product::kMajorA, M, kDepth, kThreads> a(product.a, row);
    const TileReader<typename Product::B, Product::kMajorB, N, kDepth, kThreads> b(product.b,
                                                                                   column);
    __nv_bfloat16* const stages = reinterpret_cast<__nv_bfloat16*>(shared);
    const auto stage = [&](int i) {
      return stages + i % kStages * (StageA::kNumbers + StageB::kNumbers);
    };
    const auto start = [&](int i) {
      if (i < chunks) {
        const int depth = (first + i) * kDepth;
        a.copy_async(stage(i), depth, StageA::offset);
        b.copy_async(stage(i) + StageA::kNumbers, depth, StageB::offset);
      }
      cp_async_commit();  // also an empty group: the waits count groups
    };
    for (int i = 0; i < kStages - 1; ++i) start(i);
    const int rows = static_cast<int>(threadIdx.x) / (4 * kWarp) * 64;  // of this warpgroup
    float sums[N / 8][4] = {};
    for (int i = 0; i < chunks; ++i) {
      cp_async_wait<kStages - 2>();
      fence_for_wgmma();
      __syncthreads();  // stage i has arrived, stage i - 1 is free
      const __nv_bfloat16* const now = stage(i);
      wgmma_fence();
#pragma unroll
      for (int depth = 0; depth < kDepth; depth += 16) {
        wgmma<StageA::kAlongWidth, StageB::kAlongWidth>(
            sums, StageA::operand(now, rows, depth),
            StageB::operand(now + StageA::kNumbers, 0, depth));
      }
      wgmma_commit();
      start(i + kStages - 1);
      wgmma_wait<0>();
    }
    cp_async_wait<0>();
    __syncthreads();
    store_sums(shared, sums);
  }

 private:
  __device__ __forceinline__ static void store_sums(float* tile, const float (&sums)[N / 8][4]) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int row = static_cast<int>(threadIdx.x) / kWarp * 16 + lane / 4;
    float* to = tile + row * kPitch + lane % 4 * 2;
#pragma unroll
    for (int j = 0; j < N / 8; ++j) {
      store(to + 8 * j, Floats<2>{{sums[j][0], sums[j][1]}});
      store(to + 8 * kPitch + 8 * j, Floats<2>{{sums[j][2], sums[j][3]}});
    }
  }
};

}  // namespace countenance::cuda
