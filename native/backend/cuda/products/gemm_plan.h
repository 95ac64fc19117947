#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "core/dtype.h"

// Decisions made on the host from a product's shape.

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

// The GPU properties that its products are planned from.
struct GemmMachine {
  int multiprocessors;
  bool warpgroups;  // it supports warpgroup products (warpgroups.h)
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

// The cheapest plan for operands of this type, by a simple model of its time. It depends on the
// sizes and on the machine only.
GemmPlan plan_gemm(DType operands, const GemmSize& size, const GemmMachine& machine);

// Enough for either type of operands; `whole` by type.
size_t gemm_workspace(const GemmSize& f32, const GemmSize& bf16, const GemmMachine& machine);

// Bytes of the partial sums of this many numbers: none for a single slice, otherwise whole chunks
// of 8 numbers per slice.
size_t slice_bytes(int64_t numbers, int64_t slices);

// Slices of the rows whose columns are added up (gemm_bias.h).
int plan_column_sums(int64_t rows, int64_t columns, int multiprocessors);

}  // namespace countenance::cuda
