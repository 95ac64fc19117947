#include "backend/cpu/products/winograd_transforms.h"

// The two orders in which the product is computed give the same bits.
//
// By tiles, where there are many of them and the transformed weight is small: it is made once, in
// the workspace, and each thread takes blocks of tiles through all three steps in its own cache.
//
// By columns, where the transformed weight is large: the transformed input of some tiles is shared,
// in the workspace, and each thread takes groups of columns, whose transformed weight, six
// positions at a time, never leaves its cache.

namespace countenance::COUNTENANCE_CPU {

namespace {

// Matrices whose rows are far apart by a power of two would share few sets of the cache.
constexpr int64_t padded(int64_t floats) { return floats + kPanel; }

constexpr int64_t kBlockTiles = 24;            // by tiles, at most: a multiple of kMaxRows
constexpr int64_t kMostDepth = 256;            // by tiles, for the scratch memory
constexpr int64_t kSharedTiles = 96;           // by columns
constexpr int64_t kSmallWeight = 1024 * 1024;  // floats of a transformed one

bool by_tiles(const WinogradConv& conv) {
  return kPositions * conv.depth * conv.columns <= kSmallWeight && conv.tiles() > kBlockTiles &&
         conv.depth <= kMostDepth;
}

// The transformed weight: [position][panel][depth][16].
struct TransformedWeight {
  float* at;
  int64_t panel_stride;
  int64_t position_stride;

  TransformedWeight(float* memory, int64_t depth, int64_t panels)
      : at(memory),
        panel_stride(depth * kPanel),
        position_stride(padded(panels * depth * kPanel)) {}
  static int64_t floats(int64_t depth, int64_t panels, int64_t positions) {
    return positions * padded(panels * depth * kPanel);
  }
};

const float* tap_of(const float* panel, int64_t depth, int i, int j, bool turned) {
  const int tap = i * 3 + j;
  return panel + (turned ? 8 - tap : tap) * depth * kPanel;
}

// All positions of one panel of the weight, [9][depth][16].
void transform_weight(const TransformedWeight& u, int64_t panel, const float* weight, int64_t depth,
                      bool turned) {
  for (int64_t k = 0; k < depth * kPanel; k += Vec::kWidth) {
    float* out = u.at + panel * u.panel_stride + k;
    winograd::transform<winograd::WeightMap>(
        [&](int i, int j) { return Vec::load(tap_of(weight, depth, i, j, turned) + k); },
        [&](int i, int j, Vec value) {
          value.store(out + (i * kTileSide + j) * u.position_stride);
        });
  }
}

// The six positions of one row of U.
template <int kRow>
void transform_weight_row(const TransformedWeight& u, int64_t panel, const float* weight,
                          int64_t depth, bool turned) {
  for (int64_t k = 0; k < depth * kPanel; k += Vec::kWidth) {
    Vec half[3];
#pragma GCC unroll 3
    for (int j = 0; j < 3; ++j) {
      Vec in[3];
      Vec out[kTileSide];  // all but one are dead
#pragma GCC unroll 3
      for (int i = 0; i < 3; ++i) in[i] = Vec::load(tap_of(weight, depth, i, j, turned) + k);
      winograd::WeightMap::apply(out, in);
      half[j] = out[kRow];
    }
    Vec out[kTileSide];
    winograd::WeightMap::apply(out, half);
    float* to = u.at + panel * u.panel_stride + k;
#pragma GCC unroll 6
    for (int j = 0; j < kTileSide; ++j) out[j].store(to + j * u.position_stride);
  }
}
constexpr decltype(&transform_weight_row<0>) kTransformWeightRow[kTileSide] = {
    transform_weight_row<0>, transform_weight_row<1>, transform_weight_row<2>,
    transform_weight_row<3>, transform_weight_row<4>, transform_weight_row<5>};

// The products of some tiles: [position][tile][width].
struct Sums {
  float* at;
  int64_t width;
  int64_t position_stride;

  Sums(float* memory, int64_t rows, int64_t columns)
      : at(memory), width(columns), position_stride(padded(rows * columns)) {}
  static int64_t floats(int64_t rows, int64_t columns) {
    return kPositions * padded(rows * columns);
  }
  float* of(int position) const { return at + position * position_stride; }
};

// sums (R, width) = v (R, depth) times P panels of u.
template <int R, int P>
void multiply_tile(float* sums, int64_t width, const float* v, int64_t depth, const float* u,
                   int64_t panel_stride) {
  RegisterTile<R, P>::sum(v, depth, 1, u, panel_stride, kPanel, depth)
      .store(sums, width, kPanel, [](float* to, Vec sum) { sum.store(to); });
}

// The same for any number of rows.
template <int P, int R = kMaxRows[P]>
void multiply_rows(float* sums, int64_t width, const float* v, int64_t rows, int64_t depth,
                   const float* u, int64_t panel_stride) {
  int64_t r = 0;
  for (; r + R <= rows; r += R) {
    multiply_tile<R, P>(sums + r * width, width, v + r * depth, depth, u, panel_stride);
  }
  if constexpr (R > 1) {
    if (r < rows) {
      multiply_rows<P, R - 1>(sums + r * width, width, v + r * depth, rows - r, depth, u,
                              panel_stride);
    }
  }
}

// The same for any number of panels.
template <int P = kMaxPanels>
void multiply_panels(float* sums, int64_t width, const float* v, int64_t rows, int64_t depth,
                     const float* u, int64_t panel_stride) {
  int64_t column = 0;
  for (; column + P * kPanel <= width; column += P * kPanel, u += P * panel_stride) {
    multiply_rows<P>(sums + column, width, v, rows, depth, u, panel_stride);
  }
  if constexpr (P > 1) {
    if (column < width) {
      multiply_panels<P - 1>(sums + column, width, v, rows, depth, u, panel_stride);
    }
  }
}

// Writes the outputs of tiles first .. first + rows - 1, columns `column` .. column + width - 1.
void write_outputs(const WinogradConv& conv, const Product& p, const Sums& sums, int64_t first,
                   int64_t rows, int64_t column) {
  const Vec floor = Vec::all(p.relu ? 0.0f : -std::numeric_limits<float>::infinity());
  for (int64_t r = 0; r < rows; ++r) {
    const WinogradTile tile(conv, first + r);
    const int64_t lines = std::min(kTileOutputs, conv.out_height - tile.y);
    const int64_t pixels = std::min(kTileOutputs, conv.out_width - tile.x);
    const int64_t corner =
        ((tile.image * conv.out_height + tile.y) * conv.out_width + tile.x) * conv.columns + column;
    for (int64_t c = 0; c < sums.width; c += Vec::kWidth) {
      const float* m = sums.at + r * sums.width + c;
      const Vec scale = p.scale ? Vec::load(p.scale + column + c) : Vec::all(1.0f);
      const Vec shift = p.shift ? Vec::load(p.shift + column + c) : Vec::zero();
      winograd::transform<winograd::OutputMap>(
          [&](int i, int j) { return Vec::load(m + (i * kTileSide + j) * sums.position_stride); },
          [&](int i, int j, Vec value) {
            if (i >= lines || j >= pixels) return;
            const int64_t offset = corner + (i * conv.out_width + j) * conv.columns + c;
            if (p.accumulates) value = value + Vec::load(p.y + offset);
            value = fma(value, scale, shift);
            if (p.residual) value = value + Vec::load(p.residual + offset);
            max(floor, value).store(p.y + offset);
          });
    }
  }
}

// Tiles of a block: fewer when the threads would run out of blocks.
int64_t block_tiles(const Workers& workers, const WinogradConv& conv) {
  const int64_t fair = divide_up(conv.tiles(), 2 * workers.pool.size());
  return std::clamp<int64_t>(divide_up(fair, 6) * 6, 6, kBlockTiles);
}

void product_by_tiles(const Workers& workers, const WinogradConv& conv, const Product& p,
                      const float* x, bool turned, float* workspace) {
  const int64_t depth = conv.depth;
  const int64_t panels = panels_of(conv.columns);
  const TransformedWeight u(workspace, depth, panels);
  workers.pool.parallel_for(panels, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t panel = begin; panel < end; ++panel) {
      transform_weight(u, panel, p.weight + panel * 9 * u.panel_stride, depth, turned);
    }
  });

  const PanelGroups groups(conv.columns, kMaxPanels);
  const int64_t group_columns = groups.size(groups.count - 1) * kPanel;  // the most
  const int64_t block_rows = block_tiles(workers, conv);
  const int64_t sums_floats = Sums::floats(block_rows, group_columns);
  const int64_t stride = padded(block_rows * depth);
  ensure(sums_floats + kPositions * stride <= workers.scratch_floats, "a block's scratch");
  const int64_t blocks = divide_up(conv.tiles(), block_rows);
  workers.pool.parallel_for(blocks, 1, [&](int64_t begin, int64_t end, int worker) {
    float* v = workers.scratch_of(worker) + sums_floats;
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * block_rows;
      const int64_t rows = std::min(block_rows, conv.tiles() - first);
      for (int64_t r = 0; r < rows; ++r) {
        transform_pixels<winograd::InputMap>(v + r * depth, stride,
                                             input_pixels(conv, x, first + r), 0, depth);
      }
      for (int64_t group = 0; group < groups.count; ++group) {
        const Sums sums(workers.scratch_of(worker), rows, groups.size(group) * kPanel);
        for (int position = 0; position < kPositions; ++position) {
          multiply_panels(
              sums.of(position), sums.width, v + position * stride, rows, depth,
              u.at + position * u.position_stride + groups.begin(group) * u.panel_stride,
              u.panel_stride);
        }
        write_outputs(conv, p, sums, first, rows, groups.begin(group) * kPanel);
      }
    }
  });
}

// Panels of a group of columns whose weights and products fit into a thread's scratch memory.
int64_t group_panels(const Workers& workers, const WinogradConv& conv) {
  const int64_t fair = panels_of(conv.columns) / (2 * workers.pool.size());
  int64_t panels = std::clamp<int64_t>(fair, 1, 4);
  while (panels > 1 && TransformedWeight::floats(conv.depth, panels, kTileSide) +
                               Sums::floats(kSharedTiles, panels * kPanel) >
                           workers.scratch_floats) {
    --panels;
  }
  return panels;
}

void product_by_columns(const Workers& workers, const WinogradConv& conv, const Product& p,
                        const float* x, bool turned, float* v) {
  const int64_t depth = conv.depth;
  const PanelGroups groups(conv.columns, group_panels(workers, conv));
  const int64_t parts = divide_up(conv.tiles(), kSharedTiles);
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t first = part * kSharedTiles;
    const int64_t rows = std::min(kSharedTiles, conv.tiles() - first);
    const int64_t stride = padded(rows * depth);
    workers.pool.parallel_for(rows, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r) {
        transform_pixels<winograd::InputMap>(v + r * depth, stride,
                                             input_pixels(conv, x, first + r), 0, depth);
      }
    });
    workers.pool.parallel_for(groups.count, 1, [&](int64_t begin, int64_t end, int worker) {
      for (int64_t group = begin; group < end; ++group) {
        const int64_t panels = groups.size(group);
        const Sums sums(workers.scratch_of(worker), rows, panels * kPanel);
        const TransformedWeight u(sums.at + Sums::floats(rows, panels * kPanel), depth, panels);
        for (int row = 0; row < kTileSide; ++row) {
          for (int64_t panel = 0; panel < panels; ++panel) {
            const float* weight = p.weight + (groups.begin(group) + panel) * 9 * u.panel_stride;
            kTransformWeightRow[row](u, panel, weight, depth, turned);
          }
          for (int j = 0; j < kTileSide; ++j) {
            const int position = row * static_cast<int>(kTileSide) + j;
            multiply_panels(sums.of(position), sums.width, v + position * stride, rows, depth,
                            u.at + j * u.position_stride, u.panel_stride);
          }
        }
        write_outputs(conv, p, sums, first, rows, groups.begin(group) * kPanel);
      }
    });
  }
}

}  // namespace

int64_t winograd_product_workspace(const WinogradConv& conv) {
  if (by_tiles(conv)) {
    return TransformedWeight::floats(conv.depth, panels_of(conv.columns), kPositions);
  }
  return kPositions * padded(std::min(conv.tiles(), kSharedTiles) * conv.depth);
}

void winograd_product(const Workers& workers, const WinogradConv& conv, const Product& p,
                      const float* x, bool turned, float* workspace) {
  if (by_tiles(conv)) {
    product_by_tiles(workers, conv, p, x, turned, workspace);
  } else {
    product_by_columns(workers, conv, p, x, turned, workspace);
  }
}

}  // namespace countenance::COUNTENANCE_CPU
