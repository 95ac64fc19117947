#pragma once

#include "backend/cpu/vectors/simd.h"

// The matrix engine under convolutions and linear layers. Both kernels keep a tile of R rows by P
// panels of 16 columns in registers and go through memory with one broadcast per row.
//
// Packed layout of a matrix parameter (out, in, kh, kw), the same for every instruction set:
//   [ceil(out / 16)][kh][kw][in][16], lanes after the last output are zero.
// A panel is one of the outermost slices; its depth is kh kw in.

namespace countenance::COUNTENANCE_CPU {

inline constexpr int64_t kPanel = 16;

// Tiles that fit in the registers: R P (16 / width) accumulators, P (16 / width) columns of the
// second operand and one broadcast. Products stream their second operand from the L2 cache, so
// their tiles are wide; outer products keep it in the L1 cache, so theirs are narrow and long.
#if defined(COUNTENANCE_ISA_AVX512)
inline constexpr int kMaxPanels = 4;
inline constexpr int kMaxRows[kMaxPanels + 1] = {0, 8, 8, 8, 6};
inline constexpr int kOuterPanels = 2;
inline constexpr int kOuterMaxRows[kOuterPanels + 1] = {0, 12, 12};
#else
#if defined(COUNTENANCE_ISA_AVX2) || defined(__aarch64__)
inline constexpr int kTileRows = 6;
#else
inline constexpr int kTileRows = 2;
#endif
inline constexpr int kMaxPanels = 1;
inline constexpr int kMaxRows[kMaxPanels + 1] = {0, kTileRows};
inline constexpr int kOuterPanels = 1;
inline constexpr int kOuterMaxRows[kOuterPanels + 1] = {0, kTileRows};
#endif

// The maximum number of floats of a row that a kernel reads through one pointer: the length of
// kZeros.
inline constexpr int64_t kMaxDepth = 1536;
// Pointers to rows outside the image point here.
alignas(64) inline constexpr float kZeros[kMaxDepth] = {};

constexpr int64_t panels_of(int64_t columns) { return (columns + kPanel - 1) / kPanel; }
constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// y[r][column] = activation(scale (sum + y if add) + shift + residual),
// sum = sum over the listed taps t and depth k of a[t][r][k] b[t depth + k][column].
struct Tile {
  const float* const* a;  // row r of tap t: a[t * a_stride + r], `depth` floats
  int64_t a_stride;       // pointers from one tap to the next
  const int32_t* taps;
  int64_t tap_count;
  int64_t depth;
  const float* b;    // P panels of [taps * depth][16]
  int64_t b_stride;  // floats from one panel to the next
  float* y;          // row r starts at y + y_offsets[r]
  const int64_t* y_offsets;
  int64_t columns;                  // valid ones, at most 16 P
  const float* scale = nullptr;     // (columns), absent: 1
  const float* shift = nullptr;     // (columns), absent: 0
  const float* residual = nullptr;  // rows at the offsets of y
  bool add = false;
  bool relu = false;
  bool stream = false;  // bypass the caches: rows of y on cache lines, written as whole lines
};
using TileKernel = void (*)(const Tile&);
// 1 <= panels <= kMaxPanels, 1 <= rows <= kMaxRows[panels].
TileKernel tile_kernel(int64_t rows, int64_t panels);
// Each thread must call this after its last streaming tile.
void finish_streaming();

// c[panel][r][16] = (c if add) + sum over i < count of a[i][a_offset + r] b[rows[i]][panel][16].
struct OuterTile {
  const float* const* a;
  int64_t a_offset;
  const int32_t* rows;
  int64_t count;
  const float* b;  // row i starts at b + i * b_stride: P panels of 16 floats
  int64_t b_stride;
  float* c;  // row r of a panel: 16 floats at c + panel * c_stride + 16 r
  int64_t c_stride;
  bool add;
  // Memory to prefetch into the L2 cache meanwhile, `ahead_step` bytes per summand.
  const char* ahead;
  int64_t ahead_step;
};
using OuterKernel = void (*)(const OuterTile&);
// 1 <= panels <= kOuterPanels, 1 <= rows <= kOuterMaxRows[panels].
OuterKernel outer_kernel(int64_t rows, int64_t panels);

// Contiguous memory; only a hint.
struct MemoryRange {
  const char* begin = nullptr;
  int64_t bytes = 0;
};

// The threads and each one's scratch memory.
struct Workers {
  ThreadPool& pool;
  float* scratch;
  int64_t scratch_floats;  // of each worker

  float* scratch_of(int worker) const { return scratch + worker * scratch_floats; }
};

// Panels in groups of at most `most`, as even as possible.
struct PanelGroups {
  PanelGroups(int64_t columns, int64_t most)
      : panels(panels_of(columns)), count(divide_up(panels, most)) {}
  int64_t begin(int64_t group) const { return panels * group / count; }
  int64_t size(int64_t group) const { return begin(group + 1) - begin(group); }

  int64_t panels;
  int64_t count;
};

// The taps of a strided convolution that reach an input pixel depend on the pixel's position modulo
// the stride. Taps first, first + stride, ...: one class in one dimension.
struct TapClass {
  TapClass(int64_t first_tap, int64_t stride, int64_t kernel)
      : first(first_tap), count(first_tap < kernel ? divide_up(kernel - first_tap, stride) : 0) {}
  int64_t first;
  int64_t count;
};

// The weight (out, in, kh, kw) with inputs and outputs exchanged, for the gradient of the data:
// for each class of taps (y outer, x inner) [ceil(in / 16)][taps of the class][out][16].
int64_t transposed_elements(const Shape& weight);
void transpose_weight(const Workers& workers, float* transposed, Tensor weight, int64_t stride);

// kh, kw of a matrix parameter: 1 for a linear layer.
inline int64_t kernel_height(const Shape& weight) { return weight.rank() == 4 ? weight[2] : 1; }
inline int64_t kernel_width(const Shape& weight) { return weight.rank() == 4 ? weight[3] : 1; }

}  // namespace countenance::COUNTENANCE_CPU
