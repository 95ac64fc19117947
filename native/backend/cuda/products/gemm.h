#pragma once

#include "backend/cuda/products/gemm_fma.h"
#include "backend/cuda/products/gemm_plan.h"
#include "backend/cuda/products/gemm_target.h"
#include "backend/cuda/products/gemm_tensor.h"
#include "backend/cuda/products/gemm_warpgroup.h"
#include "backend/cuda/products/packed_weight.h"

// The matrix products of convolutions and linear layers: one frame for all of them,
//   D (rows, columns) = A (rows, depth) B (depth, columns).
//
//                      rows            columns           depth
//   forward            pixels of y     outputs           kernel positions x inputs
//   data gradient      pixels of dx    inputs            kernel positions x outputs
//   weight gradient    outputs         kernel positions  pixels of y
//                                      x inputs
//
// A convolution's operand is never materialised in memory (implicit GEMM): a Source (gemm_source.h)
// gives the address of each of its numbers, and a TileReader (gemm_reader.h) loads a block's share
// into shared memory, step by step along the depth. From there, float operands go to FMAs in
// registers (gemm_fma.h) and bfloat16 operands to tensor cores (gemm_tensor.h; gemm_warpgroup.h on
// compute capability 9.0). The block's tile of D then goes through shared memory to the Target
// (gemm_target.h), which applies the epilogue and the gradient modes. A product with few tiles and
// a large depth is split into slices of depth, whose partial sums a second kernel adds in order;
// gemm_plan.h chooses the split and the tile's shape. The same shapes on the same GPU give the same
// bits.
//
// The kernel receives a Product:
//   A a; B b;                       the sources
//   int rows, columns, depth;
//   static constexpr Major kMajorA, kMajorB;
//   void enter(int phase)           before anything else: which of its phases this block computes
//   int64_t place(int row) const    the row of the output that `row` maps to

namespace countenance::cuda {

template <class A_, Major kMajorA_, class B_, Major kMajorB_>
struct PlainProduct {
  using A = A_;
  using B = B_;
  static constexpr Major kMajorA = kMajorA_;
  static constexpr Major kMajorB = kMajorB_;

  A a;
  B b;
  int rows, columns, depth;

  __device__ __forceinline__ void enter(int) {}
  __device__ __forceinline__ int64_t place(int row) const { return row; }
};

template <class Product>
inline constexpr bool kIsWhole = Product::A::kWhole&& Product::B::kWhole;

// Chunks that are gathered number by number take registers.
template <class Tile, class Product>
inline constexpr int kResident = kIsWhole<Product> ? Tile::kResident : Tile::kResident - 1;

// A block's tile of D.
template <class Tile, class Product, class Target>
__device__ __forceinline__ void gemm_block(Product& product, const Target& target, int slices) {
  COUNTENANCE_DYNAMIC_SHARED(float, shared);
  const int phase = static_cast<int>(blockIdx.z) / slices;
  const int slice = static_cast<int>(blockIdx.z) % slices;
  product.enter(phase);
  const int across = (product.columns + Tile::kN - 1) / Tile::kN;
  const int row = static_cast<int>(blockIdx.x) / across * Tile::kM;
  const int column = static_cast<int>(blockIdx.x) % across * Tile::kN;
  if (row >= product.rows) return;  // a phase may have one row of pixels fewer than another
  const int all = (product.depth + Tile::kDepth - 1) / Tile::kDepth;
  const int chunks = (all + slices - 1) / slices;
  const int first = min(slice * chunks, all);
  Tile::multiply(shared, product, row, column, first, min(chunks, all - first));
  __syncthreads();
  if constexpr (Target::kMoments) {
    if (target.moments.mean) {
      store_moments<Tile>(target.moments, shared, target.out.y, row, column, product.rows,
                          product.columns);
    }
  }
  constexpr int kAcross = Tile::kN / kTargetChunk;
  for (int i = static_cast<int>(threadIdx.x); i < Tile::kM * kAcross; i += Tile::kThreads) {
    const int r = i / kAcross;
    const int c = i % kAcross * kTargetChunk;
    if (row + r >= product.rows || column + c >= product.columns) continue;
    put(target, slice, product.place(row + r), column + c, shared + r * Tile::kPitch + c);
  }
}

template <class Tile, class Product, class Target>
__global__ void __launch_bounds__(Tile::kThreads, (kResident<Tile, Product>))
    gemm_kernel(Product product, Target target, int slices) {
  if constexpr (Tile::kCompiled) {
    gemm_block<Tile>(product, target, slices);
  } else {
    __trap();
  }
}

// D = A B with the tile and the slices of the plan; `phases` products of this kind at once.
template <class Tile, class Product, class Target>
void run_gemm_tile(const char* name, const Queue& queue, const GemmPlan& plan, int phases,
                   const Product& product, const Target& target) {
  const int64_t tiles =
      divide_up<int64_t>(product.rows, Tile::kM) * divide_up<int64_t>(product.columns, Tile::kN);
  launch(name, queue,
         {dim3(static_cast<unsigned>(tiles), 1, static_cast<unsigned>(phases * plan.slices)),
          dim3(Tile::kThreads), Tile::template shared_bytes<Product>()},
         gemm_kernel<Tile, Product, Target>, product, target, plan.slices);
  sum_slices(name, queue, target, plan.slices);
}

// The tiles of gemm_plan.h, as types.
template <GemmTile>
struct TileOf;
template <>
struct TileOf<GemmTile::Fma64x64> {
  using type = FmaTile<64, 64, 8, 4>;
};
template <>
struct TileOf<GemmTile::Fma128x64> {
  using type = FmaTile<128, 64, 8, 8>;
};
template <>
struct TileOf<GemmTile::Tensor64x64> {
  using type = TensorTile<64, 64, 2, 2>;
};
template <>
struct TileOf<GemmTile::Tensor128x64> {
  using type = TensorTile<128, 64, 2, 2>;
};
template <>
struct TileOf<GemmTile::Tensor128x128> {
  using type = TensorTile<128, 128, 2, 4>;
};
template <>
struct TileOf<GemmTile::Warpgroup128x64> {
  using type = WarpgroupTile<128, 64>;
};
template <>
struct TileOf<GemmTile::Warpgroup128x128> {
  using type = WarpgroupTile<128, 128>;
};

// The same, with the tile chosen at run time. A source without whole chunks has one tile only: its
// cost is the gathering, not the multiplication.
template <class Product, class Target>
void run_gemm(const char* name, const Queue& queue, const GemmPlan& plan, int phases,
              const Product& product, const Target& target) {
  const auto run = [&](auto tile) {
    using Tile = typename TileOf<decltype(tile)::value>::type;
    run_gemm_tile<Tile>(name, queue, plan, phases, product, target);
  };
  if constexpr (std::is_same_v<typename Product::A::Element, float>) {
    if constexpr (kIsWhole<Product>) {
      if (plan.tile == GemmTile::Fma128x64) return run(Constant<GemmTile::Fma128x64>{});
    }
    return run(Constant<GemmTile::Fma64x64>{});
  } else {
    if constexpr (kIsWhole<Product>) {
      switch (plan.tile) {
        case GemmTile::Warpgroup128x128:
          return run(Constant<GemmTile::Warpgroup128x128>{});
        case GemmTile::Warpgroup128x64:
          return run(Constant<GemmTile::Warpgroup128x64>{});
        case GemmTile::Tensor128x128:
          return run(Constant<GemmTile::Tensor128x128>{});
        case GemmTile::Tensor128x64:
          return run(Constant<GemmTile::Tensor128x64>{});
        default:
          break;
      }
    }
    return run(Constant<GemmTile::Tensor64x64>{});
  }
}

// ---- For the operations ----

template <bool Whole, class T>
PlainRows<T, Whole> plain_rows(const T* numbers, int64_t rows, int64_t columns) {
  return {numbers, to_int(rows), to_int(columns), columns};
}
// A packed weight with its padding, which is zero.
template <class T>
PlainRows<T, true> packed_rows(const T* numbers, const PackedWeight& w) {
  return plain_rows<true>(numbers, w.out, w.pitch);
}

template <Major kMajorA, Major kMajorB, class A, class B>
PlainProduct<A, kMajorA, B, kMajorB> product_of(const A& a, const B& b, const GemmSize& size) {
  return {a, b, to_int(size.rows), to_int(size.columns), to_int(size.depth)};
}

// Whether rows of this many numbers come in chunks of 16 bytes.
inline bool is_whole(DType dtype, int64_t numbers) {
  return numbers % static_cast<int64_t>(16 / size_of(dtype)) == 0;
}

// f(std::true_type) or f(std::false_type).
template <class F>
void with_whole(bool whole, F&& f) {
  if (whole) return f(std::true_type{});
  f(std::false_type{});
}

}  // namespace countenance::cuda
