#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "core/dtype.h"

// What a product's shape decides on the host.

namespace countenance::cuda {

enum class GemmTile {
  Fma64x64,
  Fma128x64,
  Tensor64x64,
  Tensor128x64,
  Tensor128x128,
  Warpgroup128x64,
  Warpgroup128x128
};

// The properties of a GPU that decide on its products.
struct GemmMachine {
  int multiprocessors;
  bool warpgroups;  // it has their products (warpgroups.h)
};

template <auto Value>
using Constant = std::integral_constant<decltype(Value), Value>;

struct GemmSize {
  int64_t rows, columns, depth;  // of the product; of all phases together
  bool whole;                    // both operands come in chunks of 16 bytes
};

struct GemmPlan {
  GemmTile tile;
  int slices;              // of the depth
  size_t workspace_bytes;  // for the slices' partial sums
};

// The cheapest way for operands of this type, by a simple model of the time it takes. It depends on
// the sizes and on the machine only.
GemmPlan plan_gemm(DType operands, const GemmSize& size, const GemmMachine& machine);

// Enough for either type of operands; `whole` by type.
size_t gemm_workspace(const GemmSize& f32, const GemmSize& bf16, const GemmMachine& machine);

// Bytes of the partial sums of this many numbers: none for a single slice, or else each slice's in
// whole chunks of 8 numbers.
size_t slice_bytes(int64_t numbers, int64_t slices);

// Slices of the rows whose columns are added up (gemm_bias.h).
int plan_column_sums(int64_t rows, int64_t columns, int multiprocessors);

}  // namespace countenance::cuda
