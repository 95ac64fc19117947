#pragma once

#include "backend/cpu/gemm_rows.h"

// The two loops over tiles. Both cut the work into pieces whose number may follow the threads; the
// order in which one output's summands are added follows the shapes alone.

namespace countenance::COUNTENANCE_CPU {

// y (rows, columns) = rows of the source times a packed weight of taps * depth rows.
struct Product {
  int64_t taps = 1;
  int64_t depth;  // floats a tap
  int64_t columns;
  const float* weight;  // [panels][taps * depth][16]
  float* y;
  const float* scale = nullptr;
  const float* shift = nullptr;
  const float* residual = nullptr;
  bool relu = false;
  bool accumulates = false;  // onto y; no epilogue then

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
            .relu = epilogue.activation == Activation::Relu};
  }
};

// Rows of a block: their pointers and rows stay in the caches while every panel passes by.
inline constexpr int64_t kBlockRows = 96;

// Rows of a block for a product of so many rows: fewer when the threads would run out of blocks.
inline int64_t block_rows_for(int64_t rows, int threads) {
  const int64_t wanted = divide_up(divide_up(std::max<int64_t>(rows, 1), 4 * threads), 24) * 24;
  return std::min(wanted, kBlockRows);
}

// The depth is cut so that the panels of one group stay in the second cache (256 KiB).
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

template <class Source>
void run_product(const Workers& workers, const Product& p, const Source& source) {
  const PanelGroups groups(p.columns);
  const DepthChunks chunks(p.taps, p.depth);
  const int64_t panel_floats = p.taps * p.depth * kPanel;
  const int64_t blocks = source.blocks();
  if (blocks == 0) return;
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
  });
}

// dweight [panels][taps * depth][16] = sum over rows of x (row at tap, depth) dy (row, columns),
// dbias (columns) = sum over rows of dy.
struct OuterProduct {
  int64_t taps = 1;
  int64_t depth;
  int64_t columns;
  const float* dy;  // (rows, columns)
  float* dweight;   // absent: only dbias
  bool dweight_accumulates;
  float* dbias;  // absent: only dweight
  bool dbias_accumulates;
  float* workspace;  // OuterPartition::workspace_floats()

  static OuterProduct of(Gradient dweight, Gradient dbias, Tensor dy, int64_t taps, int64_t depth,
                         Tensor workspace) {
    return {.taps = taps,
            .depth = depth,
            .columns = dy.shape.channels(),
            .dy = dy.f32(),
            .dweight = dweight.wanted() ? dweight.tensor.f32() : nullptr,
            .dweight_accumulates = dweight.accumulates(),
            .dbias = dbias.wanted() ? dbias.tensor.f32() : nullptr,
            .dbias_accumulates = dbias.accumulates(),
            .workspace = static_cast<float*>(workspace.data)};
  }
};

// Rows summed in registers before they are added to the result.
inline constexpr int64_t kOuterRows = 192;

// How the sum over rows is cut: a function of the shapes only. A unit is what one tap adds to at
// most kUnitDepth rows of a group of panels. Few units: the blocks of rows are cut into slices with
// partial sums of their own, added in order at the end. The bias has as many slices as the number
// of blocks allows, whatever the weight; both numbers are powers of two, so that a slice of the
// weight covers whole slices of the bias.
struct OuterPartition {
  static constexpr int64_t kUnitDepth = 96;  // a multiple of every kMaxRows
  static constexpr int64_t kWantedPieces = 64;
  static constexpr int64_t kMaxSlices = 16;

  OuterPartition(int64_t taps, int64_t depth, int64_t columns, int64_t block_count)
      : groups(columns), blocks(block_count), depth_units(divide_up(depth, kUnitDepth)) {
    units = taps * groups.count * depth_units;
    while (bias_slices < kMaxSlices && bias_slices * 2 <= blocks) bias_slices *= 2;
    while (slices < bias_slices && slices * units < kWantedPieces) slices *= 2;
    weight_floats = groups.panels * kPanel * taps * depth;
    bias_floats = groups.panels * kPanel;
  }
  // Partial sums: [bias_slices][bias] and, with more than one slice, [slices][weight].
  int64_t workspace_floats() const {
    return bias_slices * bias_floats + (slices > 1 ? slices * weight_floats : 0);
  }
  int64_t first_block(int64_t slice) const { return blocks * slice / slices; }
  // The slice of the bias that a block belongs to: the last one that begins before its end.
  int64_t bias_slice(int64_t block) const { return ((block + 1) * bias_slices - 1) / blocks; }
  int64_t first_bias_block(int64_t slice) const { return blocks * slice / bias_slices; }

  PanelGroups groups;
  int64_t blocks;
  int64_t depth_units;
  int64_t units;
  int64_t slices = 1;
  int64_t bias_slices = 1;
  int64_t weight_floats;
  int64_t bias_floats;
};

// out (n) = (out if accumulates) + sum over slices of partial [slices][stride].
void add_slices(const Workers& workers, float* out, const float* partial, int64_t n, int64_t slices,
                int64_t stride, bool accumulates);
// sums (panels * 16) = (sums if add) + the sum of `rows` rows of b.
void add_rows(float* sums, const float* b, int64_t b_stride, int64_t rows, int64_t panels,
              bool add);
// The last `columns` columns of rows, padded with zeros to whole panels.
void pack_columns(float* packed, const float* b, int64_t b_stride, int64_t rows, int64_t columns,
                  int64_t panels);

// Scratch memory of run_outer before that of the source's block: packed columns, lists of rows.
inline constexpr int64_t kListFloats = kMaxTaps * kOuterRows;
inline constexpr int64_t kOuterScratch = kOuterRows * kMaxPanels * kPanel + kListFloats;

// One block of rows for run_outer: the rows that each tap reads, without those outside of the
// image, and the columns of dy, packed where they lie far apart or end within a panel.
template <class Source>
class OuterBlock {
 public:
  OuterBlock(const Source& source, int64_t index, float* scratch)
      : lists_(reinterpret_cast<int32_t*>(scratch)),
        packed_(scratch + kListFloats),
        block_(source, index, scratch + kOuterScratch) {}

  int64_t rows() const { return block_.rows; }

  void set_columns(OuterTile& tile, const OuterProduct& p, int64_t column, int64_t panels,
                   bool often) {
    tile.b = p.dy + block_.offsets[0] + column;
    tile.b_stride = p.columns;
    const int64_t columns = std::min(p.columns - column, panels * kPanel);
    if (columns == panels * kPanel && (!often || columns == p.columns)) return;
    if (packed_column_ != column) {
      pack_columns(packed_, tile.b, p.columns, block_.rows, columns, panels);
      packed_column_ = column;
    }
    tile.b = packed_;
    tile.b_stride = panels * kPanel;
  }

  void set_rows(OuterTile& tile, int64_t tap, int64_t taps, int64_t depth_begin) {
    if (tap < first_tap_ || tap >= last_tap_ || depth_begin != depth_begin_) {
      first_tap_ = tap;
      last_tap_ = std::min(taps, tap + kMaxTaps);
      depth_begin_ = depth_begin;
      block_.fill(first_tap_, last_tap_ - first_tap_, depth_begin);
      for (int64_t t = 0; t < last_tap_ - first_tap_; ++t) counts_[t] = compact(t);
    }
    const int64_t t = tap - first_tap_;
    tile.a = block_.pointers + t * block_.stride;
    tile.rows = lists_ + t * block_.stride;
    tile.count = counts_[t];
  }

 private:
  int32_t compact(int64_t tap) {
    const float** pointers = block_.pointers + tap * block_.stride;
    int32_t* list = lists_ + tap * block_.stride;
    int32_t count = 0;
    for (int32_t r = 0; r < block_.rows; ++r) {
      const float* pointer = pointers[r];
      pointers[count] = pointer;
      list[count] = r;
      count += pointer != kZeros;
    }
    return count;
  }

  int32_t* lists_;
  float* packed_;
  typename Source::Block block_;
  int32_t counts_[kMaxTaps];
  int64_t packed_column_ = -1;
  int64_t first_tap_ = 0;
  int64_t last_tap_ = 0;
  int64_t depth_begin_ = -1;
};

template <class Source>
void run_outer(const Workers& workers, const OuterProduct& p, const Source& source) {
  const int64_t blocks = source.blocks();
  const OuterPartition part(p.taps, p.depth, p.columns, blocks);
  float* bias_sums = p.workspace;
  float* weight_sums =
      part.slices > 1 ? bias_sums + part.bias_slices * part.bias_floats : p.dweight;
  const int64_t panel_floats = p.taps * p.depth * kPanel;
  const int64_t pieces =
      std::clamp<int64_t>(divide_up(8 * workers.pool.size(), part.slices), 1, part.units);

  workers.pool.parallel_for(part.slices * pieces, 1, [&](int64_t begin, int64_t end, int worker) {
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t slice = piece / pieces;
      const int64_t first_unit = part.units * (piece % pieces) / pieces;
      const int64_t last_unit = part.units * (piece % pieces + 1) / pieces;
      const int64_t first_block = part.first_block(slice);
      for (int64_t b = first_block; b < part.first_block(slice + 1); ++b) {
        OuterBlock<Source> block(source, b, workers.scratch_of(worker));
        const bool add = b > first_block;
        for (int64_t unit = first_unit; unit < last_unit; ++unit) {
          const int64_t depth_unit = unit % part.depth_units;
          const int64_t tap = unit / part.depth_units % p.taps;
          const int64_t group = unit / part.depth_units / p.taps;
          const int64_t panels = part.groups.size(group);
          const int64_t column = part.groups.begin(group) * kPanel;
          OuterTile tile;
          block.set_columns(tile, p, column, panels, last_unit - unit > 2);
          if (p.dbias && tap == 0 && depth_unit == 0) {
            const int64_t bias_slice = part.bias_slice(b);
            add_rows(bias_sums + bias_slice * part.bias_floats + column, tile.b, tile.b_stride,
                     block.rows(), panels, b > part.first_bias_block(bias_slice));
          }
          if (!p.dweight) continue;
          const int64_t k_begin = depth_unit * OuterPartition::kUnitDepth;
          const int64_t k_end = std::min(p.depth, k_begin + OuterPartition::kUnitDepth);
          const int64_t table_depth = k_begin / kMaxDepth * kMaxDepth;
          block.set_rows(tile, tap, p.taps, table_depth);
          tile.c_stride = panel_floats;
          tile.add = add || (part.slices == 1 && p.dweight_accumulates);
          float* c = weight_sums + (part.slices > 1 ? slice * part.weight_floats : 0) +
                     part.groups.begin(group) * panel_floats + tap * p.depth * kPanel;
          const int64_t most = kMaxRows[panels];
          for (int64_t k = k_begin; k < k_end; k += most) {
            tile.a_offset = k - table_depth;
            tile.c = c + k * kPanel;
            outer_kernel(std::min(most, k_end - k), panels)(tile);
          }
        }
      }
    }
  });
  if (p.dweight && part.slices > 1) {
    add_slices(workers, p.dweight, weight_sums, part.weight_floats, part.slices, part.weight_floats,
               p.dweight_accumulates);
  }
  if (p.dbias) {
    add_slices(workers, p.dbias, bias_sums, p.columns, part.bias_slices, part.bias_floats,
               p.dbias_accumulates);
  }
}

}  // namespace countenance::COUNTENANCE_CPU
