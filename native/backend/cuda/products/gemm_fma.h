#pragma once

#include "backend/cuda/device/launch.h"
#include "backend/cuda/products/gemm_reader.h"

namespace countenance::cuda {

// A block's tile of a float32 product, exact: a thread holds ThreadM x ThreadN sums in registers,
// in groups of 4 x 4 spread over the tile so that the lanes of a warp read adjacent shared memory.
// Both operands are stored there depth by depth; one stage is read while the next one is in flight
// through registers.
template <int M, int N, int ThreadM, int ThreadN>
struct FmaTile {
  static constexpr bool kCompiled = true;  // for the architecture at hand
  static constexpr int kM = M;
  static constexpr int kN = N;
  static constexpr int kDepth = 16;
  static constexpr int kAcross = N / ThreadN;  // threads
  static constexpr int kThreads = M / ThreadM * kAcross;
  static constexpr int kResident = ThreadN == 8 ? 3 : 4;  // blocks per multiprocessor
  static constexpr int kPitch = N + 8;                    // of the tile of D

  // An operand's stage: kDepth lines of Width numbers and a gap against bank conflicts.
  template <int Width>
  static constexpr int kLine = Width + 4;
  static constexpr int kStage = kDepth * (kLine<M> + kLine<N>);

  template <class Product>
  static constexpr size_t shared_bytes() {
    return std::max(2 * kStage, M * kPitch) * sizeof(float);
  }

  template <Major kMajor, int Width, class Reader>
  __device__ __forceinline__ static void put(float* stage, const Chunk (&chunks)[Reader::kCount]) {
#pragma unroll
    for (int i = 0; i < Reader::kCount; ++i) {
      if constexpr (kMajor == Major::Width) {
        store_chunk(stage + Reader::line(i) * kLine<Width> + Reader::column() * 4, chunks[i]);
      } else {
        float* to = stage + Reader::column() * 4 * kLine<Width> + Reader::line(i);
#pragma unroll
        for (int e = 0; e < 4; ++e) to[e * kLine<Width>] = __uint_as_float(chunks[i].words[e]);
      }
    }
  }

  // shared = A B for `chunks` of the depth from chunk `first` on, the tile's rows kPitch apart.
  template <class Product>
  __device__ __forceinline__ static void multiply(float* shared, const Product& product, int row,
                                                  int column, int first, int chunks) {
    using ReaderA = TileReader<typename Product::A, Product::kMajorA, M, kDepth, kThreads>;
    using ReaderB = TileReader<typename Product::B, Product::kMajorB, N, kDepth, kThreads>;
    const ReaderA read_a(product.a, row);
    const ReaderB read_b(product.b, column);
    Chunk a[ReaderA::kCount];
    Chunk b[ReaderB::kCount];
    const auto put_stage = [&](int i) {
      float* stage = shared + i % 2 * kStage;
      put<Product::kMajorA, M, ReaderA>(stage, a);
      put<Product::kMajorB, N, ReaderB>(stage + kDepth * kLine<M>, b);
    };
    const auto fetch = [&](int i) {
      read_a.fetch(a, (first + i) * kDepth);
      read_b.fetch(b, (first + i) * kDepth);
    };
    float sums[ThreadM][ThreadN] = {};
    if (chunks > 0) {
      fetch(0);
      put_stage(0);
    }
    __syncthreads();
    for (int i = 0; i < chunks; ++i) {
      if (i + 1 < chunks) fetch(i + 1);
      add_stage(sums, shared + i % 2 * kStage);
      if (i + 1 < chunks) put_stage(i + 1);
      __syncthreads();
    }
    store_sums(shared, sums);
  }

 private:
  static constexpr int kGroupsM = ThreadM / 4;
  static constexpr int kGroupsN = ThreadN / 4;

  // The thread's first row and column of a group.
  __device__ __forceinline__ static int row_of(int group) {
    return group * (M / kGroupsM) + static_cast<int>(threadIdx.x) / kAcross * 4;
  }
  __device__ __forceinline__ static int column_of(int group) {
    return group * (N / kGroupsN) + static_cast<int>(threadIdx.x) % kAcross * 4;
  }

  __device__ __forceinline__ static void add_stage(float (&sums)[ThreadM][ThreadN],
                                                   const float* stage) {
    const float* stage_b = stage + kDepth * kLine<M>;
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
      Floats<4> a[kGroupsM];
      Floats<4> b[kGroupsN];
#pragma unroll
      for (int g = 0; g < kGroupsM; ++g) a[g] = load<4>(stage + k * kLine<M> + row_of(g));
#pragma unroll
      for (int g = 0; g < kGroupsN; ++g) b[g] = load<4>(stage_b + k * kLine<N> + column_of(g));
#pragma unroll
      for (int i = 0; i < ThreadM; ++i) {
#pragma unroll
        for (int j = 0; j < ThreadN; ++j) {
          sums[i][j] = fmaf(a[i / 4][i % 4], b[j / 4][j % 4], sums[i][j]);
        }
      }
    }
  }

  __device__ __forceinline__ static void store_sums(float* tile,
                                                    const float (&sums)[ThreadM][ThreadN]) {
#pragma unroll
    for (int i = 0; i < ThreadM; ++i) {
#pragma unroll
      for (int g = 0; g < kGroupsN; ++g) {
        const float* from = &sums[i][4 * g];
        store(tile + (row_of(i / 4) + i % 4) * kPitch + column_of(g),
              Floats<4>{{from[0], from[1], from[2], from[3]}});
      }
    }
  }
};

}  // namespace countenance::cuda
