#pragma once

#include <cstdint>

#include "block.h"

// What the lanes of a warp do together, on plain bits; include/ gives it CUDA's names and types.

namespace emulator {

// The 64 bits of lane `source`; a negative source gives the lane's own. Reading a lane outside of
// the mask fails.
uint64_t shuffle(uint32_t mask, uint64_t bits, int source, Site site);
uint32_t ballot(uint32_t mask, bool predicate, Site site);
void sync_warp(uint32_t mask, Site site);
// Synchronises all lanes, without ordering their memory.
void sync_lanes(Site site);

enum class Reduction { Add, Min, Max, And, Or, Xor };
// Over the mask; `is_signed` selects how Min and Max compare.
uint32_t reduce(uint32_t mask, uint32_t value, Reduction reduction, bool is_signed, Site site);

// mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32: d += a b, with the fragments of the PTX
// manual ("Matrix Fragments for mma.m16n8k16 with floating point type"). For lane l, g = l / 4 and
// t = l % 4:
//   a[i] = A[g + 8 (i % 2)][2 t + 8 (i / 2) + {0, 1}]     lower half first
//   b[i] = B[2 t + 8 i + {0, 1}][g]
//   d[i] = D[g + 8 (i / 2)][2 t + i % 2]
void mma_bf16_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site);

// ldmatrix.sync.aligned.m8n8.x{count}[.trans].shared.b16. Lanes 8 i to 8 i + 7 supply the rows of
// matrix i, 16 bytes each (`row`, which is null in the others); lane l receives in fragment[i] the
// elements (l / 4, 2 (l % 4) + {0, 1}) of matrix i, or of its transpose.
void load_matrix(uint32_t* fragment, const uint16_t* row, int count, bool transpose, Site site);

}  // namespace emulator
