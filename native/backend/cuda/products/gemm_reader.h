#pragma once

#include "backend/cuda/device/vector.h"
#include "backend/cuda/products/gemm_source.h"

// How a block loads its share of an operand into shared memory, step by step along the depth.

namespace countenance::cuda {

// 16 bytes on their way through registers.
struct Chunk {
  uint32_t words[4];
};

__device__ __forceinline__ uint32_t bits_of(float x) { return __float_as_uint(x); }
__device__ __forceinline__ uint32_t bits_of(const __nv_bfloat16& x) {
  return *reinterpret_cast<const uint16_t*>(&x);
}

__device__ __forceinline__ Chunk load_chunk(const void* p) {
  check_aligned(p, 16);
  const uint4 v = *static_cast<const uint4*>(p);
  return {{v.x, v.y, v.z, v.w}};
}
__device__ __forceinline__ void store_chunk(void* p, const Chunk& chunk) {
  check_aligned(p, 16);
  *static_cast<uint4*>(p) =
      make_uint4(chunk.words[0], chunk.words[1], chunk.words[2], chunk.words[3]);
}

// The tile of an operand: `kWidth` rows of A, or columns of B, times `kDepth` of the depth. It is
// read in lines of chunks; a line is a row of the source. Each thread handles chunk column() of the
// lines line(0), line(1), ...
template <class Source, Major kMajor, int kWidth, int kDepth, int kThreads>
class TileReader {
 public:
  using T = typename Source::Element;
  static constexpr int kNumbers = kChunk<T>;
  static constexpr int kLineChunks = (kMajor == Major::Depth ? kDepth : kWidth) / kNumbers;
  static constexpr int kLines = kMajor == Major::Depth ? kWidth : kDepth;
  static constexpr int kStep = kThreads / kLineChunks;
  static constexpr int kCount = kLines / kStep;
  static_assert(kThreads % kLineChunks == 0 && kLines % kStep == 0);

  // first: the first row of A, or column of B.
  __device__ __forceinline__ TileReader(const Source& source, int first)
      : source_(source), first_(first) {
    if constexpr (kMajor == Major::Depth) {
#pragma unroll
      for (int i = 0; i < kCount; ++i) rows_[i] = source.row(first + line(i));
    }
  }

  __device__ __forceinline__ static int line(int i) {
    return static_cast<int>(threadIdx.x) / kLineChunks + i * kStep;
  }
  __device__ __forceinline__ static int column() {
    return static_cast<int>(threadIdx.x) % kLineChunks;
  }

  // Starts the copies of this thread's chunks to tile + offset(line, column).
  template <class Offset>
  __device__ __forceinline__ void copy_async(T* tile, int depth, Offset&& offset) const {
    each(depth, 0, [&](int i, const T* p) {
      cp_async_16(tile + offset(line(i), column()), p ? p : source_.somewhere(), p != nullptr);
    });
  }

  // This thread's chunks in registers, to be stored once the tile is free.
  __device__ __forceinline__ void fetch(Chunk (&chunks)[kCount], int depth) const {
    if constexpr (Source::kWhole) {
      each(depth, 0, [&](int i, const T* p) { chunks[i] = p ? load_chunk(p) : Chunk{}; });
    } else {
      constexpr int kPerWord = 4 / sizeof(T);
#pragma unroll
      for (int e = 0; e < kNumbers; ++e) {
        each(depth, e, [&](int i, const T* p) {
          const uint32_t bits = p ? bits_of(*p) : 0;
          uint32_t& word = chunks[i].words[e / kPerWord];
          word = e % kPerWord ? word | bits << 16 : bits;
        });
      }
    }
  }

 private:
  // Calls f(i, address of number e of chunk column() of line(i)) at this depth.
  template <class F>
  __device__ __forceinline__ void each(int depth, int e, F&& f) const {
    if constexpr (kMajor == Major::Depth) {
      const auto at = source_.column(depth + column() * kNumbers + e);
#pragma unroll
      for (int i = 0; i < kCount; ++i) f(i, source_.at(rows_[i], at));
    } else {
      const auto at = source_.column(first_ + column() * kNumbers + e);
#pragma unroll
      for (int i = 0; i < kCount; ++i) f(i, source_.at(source_.row(depth + line(i)), at));
    }
  }

  const Source& source_;
  int first_;
  typename Source::Row rows_[kMajor == Major::Depth ? kCount : 1];
};

}  // namespace countenance::cuda
