#pragma once

#include "backend/cpu/products/gemm_rows.h"

// The loop over tiles for convolutions, linear layers and their data gradients. The number of
// pieces depends on the threads; the order in which an output's summands are added depends on the
// shapes.

namespace countenance::COUNTENANCE_CPU {

// y (rows, columns) = rows of the source times a packed weight of taps * depth rows.
struct Product {
  int64_t taps = 1;
  int64_t depth;  // floats per tap
  int64_t columns;
  const float* weight;  // [panels][taps * depth][16]
  float* y;
  const float* scale = nullptr;
  const float* shift = nullptr;
  const float* residual = nullptr;
  bool relu = false;
  bool accumulates = false;  // adds to y; then there is no epilogue
  int64_t y_floats = 0;      // size of y

  static Product forward(Tensor y, Tensor weight, const Epilogue& epilogue, int64_t taps,
                         int64_t depth) {
    return {.taps = taps,
            .depth = depth,
            .columns = weight.shape[0],
            .weight = weight.f32(),
            .y = y.f32(),
            .scale = epilogue.scale ? epilogue.scale.f32() : nullptr,
            .shift = epilogue.shift ? epilogue.shift.f32() : nullptr,
            .residual = epilogue.residual ? epilogue.residual.f32() : nullptr,
            .relu = epilogue.activation == Activation::Relu,
            .y_floats = y.elements()};
  }
};

// Rows of a block: their pointers and data stay in the caches while all panels stream past.
inline constexpr int64_t kBlockRows = 96;

// Rows of a block for a product with this many rows: fewer when the threads would run out of
// blocks.
inline int64_t block_rows_for(int64_t rows, int threads) {
  const int64_t wanted = divide_up(divide_up(std::max<int64_t>(rows, 1), 4 * threads), 24) * 24;
  return std::min(wanted, kBlockRows);
}

// The depth is split so that the panels of one group stay in the L2 cache (256 KiB).
class DepthChunks {
 public:
  static constexpr int64_t kDepth = 1024;

  DepthChunks(int64_t taps, int64_t depth) : taps_(taps), depth_(depth) {
    const int64_t most_taps = std::clamp<int64_t>(kDepth / depth, 1, kMaxTaps);
    across_ = divide_up(taps, most_taps);
    within_ = divide_up(depth, kDepth);  // more than 1 only if a chunk has one tap
  }
  int64_t count() const { return across_ * within_; }
  int64_t tap_begin(int64_t chunk) const { return taps_ * (chunk / within_) / across_; }
  int64_t tap_end(int64_t chunk) const { return taps_ * (chunk / within_ + 1) / across_; }
  int64_t depth_begin(int64_t chunk) const { return depth_ * (chunk % within_) / within_; }
  int64_t depth_end(int64_t chunk) const { return depth_ * (chunk % within_ + 1) / within_; }

 private:
  int64_t taps_, depth_, across_, within_;
};

// An output larger than this is evicted before the next operation reads it, so its stores bypass
// the caches, which saves reading every line before it is overwritten.
inline constexpr int64_t kStreamedFloats = int64_t{6} << 20;

template <class Source>
void run_product(const Workers& workers, const Product& p, const Source& source) {
  const PanelGroups groups(p.columns, kMaxPanels);
  const DepthChunks chunks(p.taps, p.depth);
  const int64_t panel_floats = p.taps * p.depth * kPanel;
  const int64_t blocks = source.blocks();
  if (blocks == 0) return;
  const bool stream = p.y_floats >= kStreamedFloats && !p.accumulates && chunks.count() == 1 &&
                      p.columns % kPanel == 0 && reinterpret_cast<uintptr_t>(p.y) % kAlignment == 0;
  const int64_t splits =
      std::clamp<int64_t>(divide_up(16 * workers.pool.size(), blocks), 1, groups.count);
  workers.pool.parallel_for(blocks * splits, 1, [&](int64_t begin, int64_t end, int worker) {
    for (int64_t piece = begin; piece < end; ++piece) {
      typename Source::Block block(source, piece / splits, workers.scratch_of(worker));
      const int64_t first_group = groups.count * (piece % splits) / splits;
      const int64_t last_group = groups.count * (piece % splits + 1) / splits;
      for (int64_t chunk = 0; chunk < chunks.count(); ++chunk) {
        const int64_t tap = chunks.tap_begin(chunk);
        const int64_t k = chunks.depth_begin(chunk);
        const bool is_last = chunk + 1 == chunks.count();
        const int64_t taps = chunks.tap_end(chunk) - tap;
        int32_t listed[kMaxTaps];
        Tile tile;
        tile.taps = listed;
        tile.depth = chunks.depth_end(chunk) - k;
        tile.a_stride = block.stride;
        tile.b_stride = panel_floats;
        tile.add = p.accumulates || chunk > 0;
        tile.relu = is_last && p.relu;
        tile.stream = stream;
        block.fill(tap, taps, k);
        for (int64_t group = first_group; group < last_group; ++group) {
          const int64_t panels = groups.size(group);
          const int64_t column = groups.begin(group) * kPanel;
          tile.b = p.weight + groups.begin(group) * panel_floats + (tap * p.depth + k) * kPanel;
          tile.columns = std::min(p.columns - column, panels * kPanel);
          tile.y = p.y + column;
          if (is_last) {
            tile.scale = p.scale ? p.scale + column : nullptr;
            tile.shift = p.shift ? p.shift + column : nullptr;
            tile.residual = p.residual ? p.residual + column : nullptr;
          }
          const int64_t most = kMaxRows[panels];
          for (int64_t begin_run = 0; begin_run < block.rows; begin_run += block.run) {
            const int64_t end_run = std::min(begin_run + block.run, block.rows);
            for (int64_t r = begin_run; r < end_run; r += most) {
              const int64_t rows = std::min(most, end_run - r);
              tile.a = block.pointers + r;
              tile.y_offsets = block.offsets + r;
              tile.tap_count = block.list_taps(listed, taps, r, r + rows);
              tile_kernel(rows, panels)(tile);
            }
          }
        }
      }
    }
    if (stream) finish_streaming();
  });
}

}  // namespace countenance::COUNTENANCE_CPU
