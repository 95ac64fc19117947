#pragma once

#include "backend/cpu/products/gemm_rows.h"

// The loop over tiles for weight gradients. The number of pieces depends on the threads; the order
// in which an element's summands are added depends on the shapes.

namespace countenance::COUNTENANCE_CPU {

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
inline constexpr int64_t kOuterRows = 128;

// How the sum over rows is split: a function of the shapes only. A unit is what one tap adds to at
// most kUnitDepth rows of a group of panels. Where the gradient is much smaller than its inputs,
// the blocks of rows are split into slices with their own partial sums, added in order at the end,
// so that each thread reads its rows once. The bias has as many slices as the number of blocks
// allows, whatever the weight; both numbers are powers of two, so that a slice of the weight covers
// whole slices of the bias.
struct OuterPartition {
  static constexpr int64_t kUnitDepth = 96;  // a multiple of every kOuterMaxRows
  static constexpr int64_t kMaxSlices = 16;

  OuterPartition(int64_t taps, int64_t depth, int64_t columns, int64_t block_count)
      : groups(columns, kOuterPanels), blocks(block_count) {
    depth_units = divide_up(depth, kUnitDepth);
    units = taps * groups.count * depth_units;
    weight_floats = groups.panels * kPanel * taps * depth;
    bias_floats = groups.panels * kPanel;
    while (bias_slices < kMaxSlices && bias_slices * 2 <= blocks) bias_slices *= 2;
    const int64_t operand_floats = blocks * kOuterRows * (depth + columns);
    while (slices < bias_slices && 2 * slices * 4 * weight_floats <= operand_floats) slices *= 2;
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
inline void copy_floats(float* to, const float* from, int64_t n) {
  int64_t i = 0;
  for (; i + Vec::kWidth <= n; i += Vec::kWidth) Vec::load(from + i).store(to + i);
  if (i < n) Vec::load(from + i, n - i).store(to + i, n - i);
}

// Spreads the prefetch of the next block's memory over the tiles of this one.
class Ahead {
 public:
  Ahead(MemoryRange first, MemoryRange second, int64_t tiles) : ranges_{first, second} {
    bytes_ = (first.bytes + second.bytes) / std::max<int64_t>(tiles, 1);
  }
  void next(OuterTile& tile) {
    if (place_ >= ranges_[0].bytes && now_ == 0) {
      place_ = 0;
      now_ = 1;
    }
    tile.ahead = ranges_[now_].begin + place_;
    tile.ahead_step = bytes_ / std::max<int64_t>(tile.count, 1);
    place_ += bytes_;
  }

 private:
  MemoryRange ranges_[2];
  int now_ = 0;
  int64_t place_ = 0;
  int64_t bytes_;
};

// Scratch memory of OuterBlock, followed by the source's block.
inline constexpr int64_t kListFloats = kMaxTaps * kOuterRows;
inline constexpr int64_t kPackedFloats = kOuterRows * 3840;
inline constexpr int64_t kOuterScratch = kListFloats + 2 * kOuterRows + kPackedFloats;

// One block of rows for run_outer: the rows that each tap reads, except those outside the image,
// and the columns of dy. Both are packed: unpacked rows are so far apart that they would map to few
// sets of the L1 cache and no prefetcher would detect a stream.
template <class Source>
class OuterBlock {
 public:
  OuterBlock(const Source& source, int64_t index, const OuterProduct& product,
             const OuterPartition& part, float* scratch)
      : product_(product),
        part_(part),
        lists_(reinterpret_cast<int32_t*>(scratch)),
        packed_row_pointers_(reinterpret_cast<const float**>(scratch + kListFloats)),
        packed_columns_(scratch + kListFloats + 2 * kOuterRows),
        block_(source, index, scratch + kOuterScratch) {
    const int64_t column_floats = part.bias_floats * kOuterRows;
    all_columns_ = product.dweight && product.taps * product.depth > kFewProducts &&
                   column_floats + kUnitFloats <= kPackedFloats;
    if (all_columns_) {
      pack_columns();
    }
    packed_rows_ = packed_columns_ + (all_columns_ ? column_floats : kGroupFloats);
    all_rows_ = product.taps == 1 && product.depth > kUnitDepth &&
                packed_rows_ + part.depth_units * kUnitFloats <= packed_columns_ + kPackedFloats;
    for (int64_t r = 0; r < kOuterRows; ++r)
      packed_row_pointers_[r] = packed_rows_ + r * kUnitDepth;
  }

  int64_t rows() const { return block_.rows; }

  // The columns of the same number of rows after this block.
  MemoryRange next_columns() const {
    const int64_t floats = block_.rows * product_.columns;
    return {reinterpret_cast<const char*>(product_.dy + block_.offsets[0] + floats),
            floats * int64_t{sizeof(float)}};
  }

  void set_columns(OuterTile& tile, int64_t group) {
    const int64_t first = part_.groups.begin(group) * kPanel;
    const int64_t width = part_.groups.size(group) * kPanel;
    if (all_columns_) {
      tile.b = packed_columns_ + first * kOuterRows;
      tile.b_stride = width;
      return;
    }
    tile.b = product_.dy + block_.offsets[0] + first;
    tile.b_stride = product_.columns;
    if (first + width <= product_.columns) return;
    pack_group(packed_columns_, group);
    tile.b = packed_columns_;
    tile.b_stride = width;
  }

  // Sets what a tap reads, for the depths of a unit. Returns the unit's position in the rows.
  int64_t set_rows(OuterTile& tile, int64_t tap, int64_t depth_unit) {
    const bool packs = product_.depth > kUnitDepth;
    const bool packed = packed_tap_ == tap && packed_unit_ <= depth_unit &&
                        depth_unit < packed_unit_ + packed_units_;
    const int64_t table_depth = depth_unit * kUnitDepth / kMaxDepth * kMaxDepth;
    if (!packed && (tap < first_tap_ || tap >= last_tap_ || table_depth != table_depth_)) {
      fill(tap, table_depth);
    }
    const int64_t t = tap - first_tap_;
    tile.a = block_.pointers + t * block_.stride;
    tile.rows = lists_ + t * block_.stride;
    tile.count = counts_[t];
    if (!packs) return 0;
    if (!packed) {
      packed_tap_ = tap;
      packed_unit_ = all_rows_ ? 0 : depth_unit;
      packed_units_ = all_rows_ ? part_.depth_units : 1;
      pack_rows(tile);
    }
    tile.a = packed_row_pointers_;
    return (depth_unit - packed_unit_) * kUnitFloats;
  }

 private:
  static constexpr int64_t kUnitDepth = OuterPartition::kUnitDepth;
  static constexpr int64_t kUnitFloats = kOuterRows * kUnitDepth;
  static constexpr int64_t kGroupFloats = kOuterRows * kOuterPanels * kPanel;
  static constexpr int64_t kFewProducts = 32;  // with fewer per row, packing does not pay

  void fill(int64_t tap, int64_t table_depth) {
    first_tap_ = tap;
    last_tap_ = std::min(product_.taps, tap + kMaxTaps);
    table_depth_ = table_depth;
    block_.fill(first_tap_, last_tap_ - first_tap_, table_depth);
    for (int64_t t = 0; t < last_tap_ - first_tap_; ++t) {
      const float** pointers = block_.pointers + t * block_.stride;
      int32_t* list = lists_ + t * block_.stride;
      int32_t count = 0;
      for (int32_t r = 0; r < block_.rows; ++r) {
        const float* pointer = pointers[r];
        pointers[count] = pointer;
        list[count] = r;
        count += pointer != kZeros;
      }
      counts_[t] = count;
    }
  }

  // Row by row, as they are in memory.
  void pack_rows(const OuterTile& tile) {
    const int64_t begin = packed_unit_ * kUnitDepth;
    const int64_t end = std::min(product_.depth, begin + packed_units_ * kUnitDepth);
    for (int64_t r = 0; r < tile.count; ++r) {
      const float* from = tile.a[r] - table_depth_;
      float* to = packed_rows_ + r * kUnitDepth;
      for (int64_t k = begin; k < end; k += kUnitDepth, to += kUnitFloats) {
        copy_floats(to, from + k, std::min(kUnitDepth, end - k));
      }
    }
  }

  void pack_columns() {
    const float* dy = product_.dy + block_.offsets[0];
    const int64_t whole = product_.columns / kPanel;
    for (int64_t r = 0; r < block_.rows; ++r, dy += product_.columns) {
      for (int64_t group = 0; group < part_.groups.count; ++group) {
        const int64_t first = part_.groups.begin(group);
        const int64_t count = part_.groups.size(group);
        if (first + count > whole) continue;
        copy_floats(packed_columns_ + first * kPanel * kOuterRows + r * count * kPanel,
                    dy + first * kPanel, count * kPanel);
      }
    }
    if (whole < part_.groups.panels) {
      const int64_t last = part_.groups.count - 1;
      pack_group(packed_columns_ + part_.groups.begin(last) * kPanel * kOuterRows, last);
    }
  }

  // The last group, with zeros after the last column.
  void pack_group(float* packed, int64_t group) {
    const int64_t first = part_.groups.begin(group) * kPanel;
    const int64_t width = part_.groups.size(group) * kPanel;
    const int64_t columns = std::min(width, product_.columns - first);
    for (int64_t r = 0; r < block_.rows; ++r, packed += width) {
      copy_floats(packed, product_.dy + block_.offsets[0] + r * product_.columns + first, columns);
      for (int64_t c = columns; c < width; ++c) packed[c] = 0.0f;
    }
  }

  const OuterProduct& product_;
  const OuterPartition& part_;
  int32_t* lists_;                     // [taps][kOuterRows]
  const float** packed_row_pointers_;  // [kOuterRows]
  float* packed_columns_;              // [groups][kOuterRows][panels of the group][16]
  float* packed_rows_;                 // [units][kOuterRows][kUnitDepth]
  typename Source::Block block_;
  int32_t counts_[kMaxTaps];
  bool all_columns_;
  bool all_rows_;
  int64_t packed_tap_ = -1;
  int64_t packed_unit_ = 0;
  int64_t packed_units_ = 0;
  int64_t first_tap_ = 0;  // taps in the table
  int64_t last_tap_ = 0;
  int64_t table_depth_ = -1;
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
      std::clamp<int64_t>(divide_up(4 * workers.pool.size(), part.slices), 1, part.units);

  workers.pool.parallel_for(part.slices * pieces, 1, [&](int64_t begin, int64_t end, int worker) {
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t slice = piece / pieces;
      const int64_t first_unit = part.units * (piece % pieces) / pieces;
      const int64_t last_unit = part.units * (piece % pieces + 1) / pieces;
      const int64_t first_block = part.first_block(slice);
      for (int64_t b = first_block; b < part.first_block(slice + 1); ++b) {
        OuterBlock<Source> block(source, b, p, part, workers.scratch_of(worker));
        const bool add = b > first_block;
        const bool more = b + 1 < part.first_block(slice + 1);
        Ahead ahead(
            more ? source.read(b + 1) : MemoryRange{}, more ? block.next_columns() : MemoryRange{},
            (last_unit - first_unit) * divide_up(std::min(p.depth, OuterPartition::kUnitDepth),
                                                 kOuterMaxRows[kOuterPanels]));
        for (int64_t unit = first_unit; unit < last_unit; ++unit) {
          const int64_t group = unit % part.groups.count;
          const int64_t depth_unit = unit / part.groups.count % part.depth_units;
          const int64_t tap = unit / part.groups.count / part.depth_units;
          const int64_t first_panel = part.groups.begin(group);
          const int64_t panels = part.groups.size(group);
          OuterTile tile;
          block.set_columns(tile, group);
          if (p.dbias && tap == 0 && depth_unit == 0) {
            const int64_t bias_slice = part.bias_slice(b);
            add_rows(bias_sums + bias_slice * part.bias_floats + first_panel * kPanel, tile.b,
                     tile.b_stride, block.rows(), panels, b > part.first_bias_block(bias_slice));
          }
          if (!p.dweight) continue;
          const int64_t k_begin = depth_unit * OuterPartition::kUnitDepth;
          const int64_t k_end = std::min(p.depth, k_begin + OuterPartition::kUnitDepth);
          const int64_t place = block.set_rows(tile, tap, depth_unit);
          tile.c_stride = panel_floats;
          tile.add = add || (part.slices == 1 && p.dweight_accumulates);
          float* c = weight_sums + (part.slices > 1 ? slice * part.weight_floats : 0) +
                     first_panel * panel_floats + tap * p.depth * kPanel;
          const int64_t most = kOuterMaxRows[panels];
          for (int64_t k = k_begin; k < k_end; k += most) {
            tile.a_offset = place + k - k_begin;
            tile.c = c + k * kPanel;
            ahead.next(tile);
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
