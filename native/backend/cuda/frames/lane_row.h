#pragma once

#include <type_traits>

#include "backend/cuda/frames/elementwise.h"
#include "backend/cuda/frames/reduce.h"

// Rows of channels, each processed by the lanes of a warp, or of part of one, and held in their
// registers.

namespace countenance::cuda {

// The row of this thread when `lanes` threads share one; `lanes` is a power of two up to 32.
__device__ __forceinline__ int64_t lane_row(int lanes) {
  return (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / lanes;
}
inline unsigned lane_row_blocks(int64_t rows, int lanes, int threads) {
  return static_cast<unsigned>(divide_up<int64_t>(rows, threads / lanes));
}

// Every lane of a row gets the sum over the row's lanes. All lanes of the warp take part.
__device__ __forceinline__ float lanes_sum(float value, int lanes) {
  for (int offset = lanes / 2; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, offset);
  }
  return value;
}

// A row of T in vectors of N. A lane holds Held of them; with Held = 0 the row is too long and is
// read again each time.
template <class T, int N, int Held>
class LaneRow {
 public:
  // length: `channels`, or 0 for a row that does not exist.
  __device__ LaneRow(const T* x, int64_t row, int length, int channels, int lanes)
      : row_(x + row * channels),
        length_(length),
        lane_(static_cast<int>(threadIdx.x) % lanes),
        step_(lanes * N) {
#pragma unroll
    for (int j = 0; j < Held; ++j) {
      if (channel(j) < length_) held_[j] = load<N>(row_ + channel(j));
    }
  }

  __device__ int lane() const { return lane_; }

  // f(channel, the N numbers from it on) for each vector of this lane.
  template <class F>
  __device__ __forceinline__ void for_each(F&& f) const {
    if constexpr (Held == 0) {
      for (int c = lane_ * N; c < length_; c += step_) f(c, load<N>(row_ + c));
    } else {
#pragma unroll
      for (int j = 0; j < Held; ++j) {
        if (channel(j) < length_) f(channel(j), held_[j]);
      }
    }
  }

 private:
  __device__ int channel(int j) const { return lane_ * N + j * step_; }

  Floats<N> held_[Held == 0 ? 1 : Held];
  const T* row_;
  int length_;
  int lane_;
  int step_;
};

// f(vector, held, lanes), the first two as integral constants: how rows of this many channels are
// laid out in a warp.
template <class F>
void with_lane_row(int channels, F&& f) {
  const int vector = channels % kVector == 0 ? kVector : 1;
  const int vectors = channels / vector;
  int lanes = 1;
  while (lanes < vectors && lanes < kWarp) lanes *= 2;
  const auto with_held = [&](auto held) { f(std::integral_constant<int, kVector>{}, held, lanes); };
  if (vector == 1)
    return f(std::integral_constant<int, 1>{}, std::integral_constant<int, 0>{}, lanes);
  const int held = divide_up(vectors, lanes);
  if (held == 1) return with_held(std::integral_constant<int, 1>{});
  if (held == 2) return with_held(std::integral_constant<int, 2>{});
  if (held == 3) return with_held(std::integral_constant<int, 3>{});
  if (held <= 6) return with_held(std::integral_constant<int, 6>{});
  return with_held(std::integral_constant<int, 0>{});
}

}  // namespace countenance::cuda
