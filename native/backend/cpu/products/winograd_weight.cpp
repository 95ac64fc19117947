#include "backend/cpu/products/winograd_transforms.h"

// The gradient of the weight. The tiles are processed in parts that fit into the last-level cache:
// first V and dM = A dY A^T are made in the workspace, then each thread adds V^T dM for a unit,
// some channels of the input by a group of columns. Sums run over the tiles in order; the size of a
// part depends on the shapes only.

namespace countenance::COUNTENANCE_CPU {

namespace {

constexpr int64_t kUnitDepth = 64;
constexpr int64_t kUnitPanels = 4;
// Rows of V are this far apart: a number of cache lines without a common factor with the cache's.
constexpr int64_t kRowStride = kUnitDepth + kPanel;
constexpr int64_t kMostTiles = 256;
constexpr int64_t kLeastTiles = 64;
constexpr int64_t kPartFloats = 6 * 1024 * 1024;

struct Layout {
  explicit Layout(const WinogradConv& c)
      : conv(c),
        depth_units(divide_up(c.depth, kUnitDepth)),
        panels(panels_of(c.columns)),
        column_units(divide_up(panels, kUnitPanels)) {
    const int64_t tile_floats = kPositions * (depth_units * kRowStride + c.columns);
    const int64_t most = std::clamp(kPartFloats / tile_floats, kLeastTiles, kMostTiles);
    parts = divide_up(c.tiles(), most);
    part_tiles = divide_up(c.tiles(), parts);
    v_stride = depth_units * part_tiles * kRowStride + kPanel;
    dm_stride = part_tiles * c.columns + kPanel;
  }
  int64_t units() const { return depth_units * column_units; }
  int64_t depth_of(int64_t unit) const {
    return std::min(kUnitDepth, conv.depth - unit / column_units * kUnitDepth);
  }
  int64_t first_depth(int64_t unit) const { return unit / column_units * kUnitDepth; }
  int64_t first_panel(int64_t unit) const { return unit % column_units * kUnitPanels; }
  int64_t panels_of_unit(int64_t unit) const {
    return std::min(kUnitPanels, panels - first_panel(unit));
  }
  int64_t first_tile(int64_t part) const { return conv.tiles() * part / parts; }
  int64_t v_floats() const { return kPositions * v_stride; }
  int64_t dm_floats() const { return kPositions * dm_stride; }
  // The sums dU, [unit][position][kUnitPanels][kUnitDepth][16], where they outlive a part.
  static constexpr int64_t kPositionFloats = kUnitPanels * kUnitDepth * kPanel;
  static constexpr int64_t kUnitFloats = kPositions * kPositionFloats;
  int64_t du_floats() const { return parts == 1 ? 0 : units() * kUnitFloats; }

  WinogradConv conv;
  int64_t depth_units;
  int64_t panels;
  int64_t column_units;
  int64_t parts;
  int64_t part_tiles;
  int64_t v_stride;   // floats per position of V: [depth unit][tile][kRowStride]
  int64_t dm_stride;  // floats per position of dM: [group of panels][tile][16 panels of the group]
};

// Calls f(first panel, panels) for the groups that one kernel call computes.
template <class F>
void for_each_group(int64_t first_panel, int64_t panels, F&& f) {
  for (int64_t panel = 0; panel < panels; panel += kOuterPanels) {
    f(first_panel + panel, std::min<int64_t>(kOuterPanels, panels - panel));
  }
}

void transform_tile(const Layout& l, float* v, float* dm, const float* x, const float* dy,
                    int64_t number, int64_t row, int64_t rows) {
  const WinogradConv& conv = l.conv;
  const InputPixels in = input_pixels(conv, x, number);
  for (int64_t depth = 0; depth < conv.depth; depth += kUnitDepth) {
    transform_pixels<winograd::InputMap>(v + (depth / kUnitDepth * rows + row) * kRowStride,
                                         l.v_stride, in, depth,
                                         std::min(conv.depth, depth + kUnitDepth));
  }
  const WinogradTile tile(conv, number);
  const OutputPixels out(dy + tile.image * conv.out_height * conv.out_width * conv.columns,
                         conv.out_height, conv.out_width, conv.columns, tile.y, tile.x);
  for_each_group(0, l.panels, [&](int64_t panel, int64_t panels) {
    transform_pixels<winograd::OutputGradientMap>(dm + (panel * rows + row * panels) * kPanel,
                                                  l.dm_stride, out, panel * kPanel,
                                                  (panel + panels) * kPanel);
  });
}

// du [P][64][16], rows k .. k + R - 1 = (du if add) + V^T dM, for `count` tiles.
template <int R, int P>
void add_products(float* du, const float* v, const float* dm, int64_t count, bool add) {
  RegisterTile<R, P>::sum(v, 1, kRowStride, dm, kPanel, P * kPanel, count)
      .store(du, kPanel, kUnitDepth * kPanel,
             [&](float* to, Vec sum) { (add ? sum + Vec::load(to) : sum).store(to); });
}

// The same for all of a unit's rows, an even number, as many at a time as fit into the registers.
template <int P, int R = kOuterMaxRows[P]>
void add_unit(float* du, const float* v, const float* dm, int64_t count, int64_t depth, bool add) {
  int64_t k = 0;
  for (; k + R <= depth; k += R) add_products<R, P>(du + k * kPanel, v + k, dm, count, add);
  if constexpr (R > 2) {
    if (k < depth) add_unit<P, (R > 4 ? 4 : 2)>(du + k * kPanel, v + k, dm, count, depth - k, add);
  }
}

// du [panels][64][16] = (du if add) + V^T dM over the rows of one position.
void multiply(float* du, const float* v, const float* dm, int64_t rows, int64_t depth,
              int64_t panels, bool add) {
  constexpr int64_t kRows = 64;  // of V stay in the first-level cache
  for (int64_t first = 0; first < rows; first += kRows) {
    const int64_t count = std::min(kRows, rows - first);
    const float* of_v = v + first * kRowStride;
    const float* of_dm = dm + first * panels * kPanel;
    if (panels == 1) {
      add_unit<1>(du, of_v, of_dm, count, depth, add || first > 0);
    } else {
      add_unit<kOuterPanels>(du, of_v, of_dm, count, depth, add || first > 0);
    }
  }
}

// dweight of a unit from its dU.
void write_unit(const Layout& l, Gradient dweight, const float* du, int64_t unit) {
  const int64_t tap_floats = l.conv.depth * kPanel;
  const bool accumulates = dweight.accumulates();
  for (int64_t panel = 0; panel < l.panels_of_unit(unit); ++panel) {
    const float* from = du + panel * kUnitDepth * kPanel;
    float* to = dweight.tensor.f32() + (l.first_panel(unit) + panel) * 9 * tap_floats +
                l.first_depth(unit) * kPanel;
    for (int64_t k = 0; k < l.depth_of(unit) * kPanel; k += Vec::kWidth) {
      winograd::transform<winograd::WeightGradientMap>(
          [&](int i, int j) {
            return Vec::load(from + (i * kTileSide + j) * Layout::kPositionFloats + k);
          },
          [&](int i, int j, Vec value) {
            float* out = to + (i * 3 + j) * tap_floats + k;
            if (accumulates) value = value + Vec::load(out);
            value.store(out);
          });
    }
  }
}

}  // namespace

int64_t winograd_weight_gradient_workspace(const WinogradConv& conv) {
  const Layout l(conv);
  return l.v_floats() + l.dm_floats() + l.du_floats();
}

void winograd_weight_gradient(const Workers& workers, const WinogradConv& conv, Gradient dweight,
                              const float* dy, const float* x, float* workspace) {
  const Layout l(conv);
  float* v = workspace;
  float* dm = v + l.v_floats();
  float* du = dm + l.dm_floats();
  ensure(Layout::kUnitFloats <= workers.scratch_floats, "a unit's scratch");
  // Where the sums outlive a part, each position is a piece of its own.
  const bool outlive = l.parts > 1;
  const int64_t positions = outlive ? 1 : kPositions;
  for (int64_t part = 0; part < l.parts; ++part) {
    const int64_t first = l.first_tile(part);
    const int64_t rows = l.first_tile(part + 1) - first;
    workers.pool.parallel_for(rows, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r) {
        transform_tile(l, v, dm, x, dy, first + r, r, rows);
      }
    });
    const int64_t pieces = l.units() * kPositions / positions;
    workers.pool.parallel_for(pieces, 1, [&](int64_t begin, int64_t end, int worker) {
      for (int64_t piece = begin; piece < end; ++piece) {
        const int64_t unit = piece * positions / kPositions;
        const int64_t first_position = piece * positions % kPositions;
        float* sums = outlive ? du + unit * Layout::kUnitFloats : workers.scratch_of(worker);
        for (int64_t p = first_position; p < first_position + positions; ++p) {
          const float* rows_of_v =
              v + p * l.v_stride + l.first_depth(unit) / kUnitDepth * rows * kRowStride;
          float* sums_of_p = sums + p * Layout::kPositionFloats;
          for_each_group(l.first_panel(unit), l.panels_of_unit(unit),
                         [&](int64_t panel, int64_t panels) {
                           multiply(sums_of_p + (panel - l.first_panel(unit)) * kUnitDepth * kPanel,
                                    rows_of_v, dm + p * l.dm_stride + panel * rows * kPanel, rows,
                                    l.depth_of(unit), panels, part > 0);
                         });
        }
        if (!outlive) write_unit(l, dweight, sums, unit);
      }
    });
  }
  if (!outlive) return;
  workers.pool.parallel_for(l.units(), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t unit = begin; unit < end; ++unit) {
      write_unit(l, dweight, du + unit * Layout::kUnitFloats, unit);
    }
  });
}

}  // namespace countenance::COUNTENANCE_CPU
