#pragma once

#include "backend/cuda/device/launch.h"
#include "backend/cuda/frames/reduce.h"
#include "backend/cuda/products/gemm_reader.h"

namespace countenance::cuda {

// An operand's stage in shared memory, bfloat16. Its lines hold chunks of 16 bytes whose order is
// permuted line by line, so that the 8 chunks of an ldmatrix matrix, one from each of 8 lines, are
// in 8 different groups of banks:
//   Major::Depth: lines of 64 bytes, one per row (column) of the operand
//   Major::Width: lines of 128 bytes or more, one per step of the depth
template <Major kMajor, int kWidth, int kDepth>
struct OperandStage {
  static constexpr int kLine = kMajor == Major::Depth ? kDepth : kWidth;
  static constexpr int kNumbers = kWidth * kDepth;
  static_assert(kMajor == Major::Depth ? kLine == 32 : kLine % 64 == 0);

  __device__ __forceinline__ static int offset(int line, int chunk) {
    const int permuted = kMajor == Major::Depth ? chunk ^ (line >> 1 & 3) : chunk ^ (line & 7);
    return line * kLine + permuted * 8;
  }

  // Four matrices of 8 x 8: those at `width` and width + 8, each at `depth` and depth + 8. As an
  // operand A the fragment's order is (width, depth) = (0, 0), (8, 0), (0, 8), (8, 8); as two
  // operands B, of 8 columns each, it is (0, 0), (0, 8), (8, 0), (8, 8).
  template <bool kAsA>
  __device__ __forceinline__ static void load(uint32_t (&fragment)[4], const __nv_bfloat16* stage,
                                              int width, int depth) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int low = lane / 8 % 2 * 8;
    const int high = lane / 16 * 8;
    const int w = width + (kAsA ? low : high);
    const int d = depth + (kAsA ? high : low);
    if constexpr (kMajor == Major::Depth) {
      ldmatrix_x4(fragment, stage + offset(w + lane % 8, d / 8));
    } else {
      ldmatrix_x4_trans(fragment, stage + offset(d + lane % 8, w / 8));
    }
  }
};

// A block's tile of a bfloat16 product with float32 sums: WarpsM x WarpsN warps, each with its part
// of the tile in the registers of mma.sync; kStages stages of the depth in shared memory, copied
// asynchronously.
template <int M, int N, int WarpsM, int WarpsN>
struct TensorTile {
  static constexpr bool kCompiled = true;  // for the architecture at hand
  static constexpr int kM = M;
  static constexpr int kN = N;
  static constexpr int kDepth = 32;
  static constexpr int kStages = 4;
  static constexpr int kThreads = WarpsM * WarpsN * kWarp;
  static constexpr int kResident = kThreads == 256 ? 2 : N == M ? 4 : 3;
  static constexpr int kPitch = N + 8;
  static constexpr int kWarpM = M / WarpsM;
  static constexpr int kWarpN = N / WarpsN;
  static constexpr int kRows16 = kWarpM / 16;
  static constexpr int kColumns8 = kWarpN / 8;
  static_assert(kRows16 * 16 == kWarpM && kColumns8 % 2 == 0);

  template <class Product>
  static constexpr size_t shared_bytes() {
    return std::max(kStages * kDepth * (M + N) * sizeof(__nv_bfloat16), M * kPitch * sizeof(float));
  }

  // How one operand gets into its stages.
  template <class Source, Major kMajor, int kWidth>
  class Feed {
   public:
    using Stage = OperandStage<kMajor, kWidth, kDepth>;

    __device__ __forceinline__ Feed(const Source& source, int first, __nv_bfloat16* stages)
        : reader_(source, first), stages_(stages) {}

    __device__ __forceinline__ __nv_bfloat16* stage(int i) const {
      return stages_ + i % kStages * Stage::kNumbers;
    }
    // Between these two calls, nobody may read the stage; other work may go on.
    __device__ __forceinline__ void start(int i, int depth) {
      if constexpr (Source::kWhole) {
        reader_.copy_async(stage(i), depth, Stage::offset);
      } else {
        reader_.fetch(chunks_, depth);
      }
    }
    __device__ __forceinline__ void finish(int i) {
      if constexpr (!Source::kWhole) {
#pragma unroll
        for (int c = 0; c < Reader::kCount; ++c) {
          store_chunk(stage(i) + Stage::offset(Reader::line(c), Reader::column()), chunks_[c]);
        }
      }
    }

   private:
    using Reader = TileReader<Source, kMajor, kWidth, kDepth, kThreads>;
    Reader reader_;
    __nv_bfloat16* stages_;
    Chunk chunks_[Source::kWhole ? 1 : Reader::kCount];
  };

  // shared = A B for `chunks` of the depth from chunk `first` on, the tile's rows kPitch apart.
  template <class Product>
  __device__ __forceinline__ static void multiply(float* shared, const Product& product, int row,
                                                  int column, int first, int chunks) {
    using FeedA = Feed<typename Product::A, Product::kMajorA, M>;
    using FeedB = Feed<typename Product::B, Product::kMajorB, N>;
    __nv_bfloat16* const stages = reinterpret_cast<__nv_bfloat16*>(shared);
    FeedA a(product.a, row, stages);
    FeedB b(product.b, column, stages + kStages * FeedA::Stage::kNumbers);
    const auto start = [&](int i) {
      if (i < chunks) {
        a.start(i, (first + i) * kDepth);
        b.start(i, (first + i) * kDepth);
      }
      cp_async_commit();  // also an empty group: the waits count groups
    };
    const auto finish = [&](int i) {
      if (i >= chunks) return;
      a.finish(i);
      b.finish(i);
    };
#pragma unroll
    for (int i = 0; i < kStages - 1; ++i) {
      start(i);
      finish(i);
    }
    float sums[kRows16][kColumns8][4] = {};
    for (int i = 0; i < chunks; ++i) {
      cp_async_wait<kStages - 2>();
      __syncthreads();  // stage i has arrived, stage i - 1 is free
      start(i + kStages - 1);
      add_stage<typename FeedA::Stage, typename FeedB::Stage>(sums, a.stage(i), b.stage(i));
      finish(i + kStages - 1);
    }
    cp_async_wait<0>();
    __syncthreads();
    store_sums(shared, sums);
  }

 private:
  __device__ __forceinline__ static int warp_row() {
    return static_cast<int>(threadIdx.x) / kWarp / WarpsN * kWarpM;
  }
  __device__ __forceinline__ static int warp_column() {
    return static_cast<int>(threadIdx.x) / kWarp % WarpsN * kWarpN;
  }

  template <class StageA, class StageB>
  __device__ __forceinline__ static void add_stage(float (&sums)[kRows16][kColumns8][4],
                                                   const __nv_bfloat16* a, const __nv_bfloat16* b) {
#pragma unroll
    for (int depth = 0; depth < kDepth; depth += 16) {
      uint32_t fragments_a[kRows16][4];
      uint32_t fragments_b[kColumns8 / 2][4];
#pragma unroll
      for (int i = 0; i < kRows16; ++i) {
        StageA::template load<true>(fragments_a[i], a, warp_row() + 16 * i, depth);
      }
#pragma unroll
      for (int j = 0; j < kColumns8 / 2; ++j) {
        StageB::template load<false>(fragments_b[j], b, warp_column() + 16 * j, depth);
      }
#pragma unroll
      for (int i = 0; i < kRows16; ++i) {
#pragma unroll
        for (int j = 0; j < kColumns8; ++j) {
          const uint32_t pair[2] = {fragments_b[j / 2][j % 2 * 2],
                                    fragments_b[j / 2][j % 2 * 2 + 1]};
          mma_bf16(sums[i][j], fragments_a[i], pair);
        }
      }
    }
  }

  __device__ __forceinline__ static void store_sums(float* tile,
                                                    const float (&sums)[kRows16][kColumns8][4]) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    float* to = tile + (warp_row() + lane / 4) * kPitch + warp_column() + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < kRows16; ++i) {
#pragma unroll
      for (int j = 0; j < kColumns8; ++j) {
        float* at = to + 16 * i * kPitch + 8 * j;
        store(at, Floats<2>{{sums[i][j][0], sums[i][j][1]}});
        store(at + 8 * kPitch, Floats<2>{{sums[i][j][2], sums[i][j][3]}});
      }
    }
  }
};

}  // namespace countenance::cuda
