#include "backend/cuda/products/gemm_plan.h"

#include <algorithm>
#include <limits>
#include <span>

namespace countenance::cuda {

namespace {

// What a tile costs on a multiprocessor, in cycles. The rates are multiplications and additions per
// cycle, as a fraction of the peak (bfloat16 1024 on compute capability 8.0, of warpgroups 2048 on
// 9.0; float32 64 to 128) that grows with the tile: a tile of M x N reads M + N numbers for M N
// operations. These are estimates; none has been measured yet.
struct TileModel {
  GemmTile tile;
  int64_t m, n, depth;
  double rate;
};

// Operands without whole chunks use the first one, compute capabilities other than 9.0 the first
// three.
constexpr TileModel kTensorTiles[] = {
    {GemmTile::Tensor64x64, 64, 64, 32, 450},
    {GemmTile::Tensor128x64, 128, 64, 32, 600},
    {GemmTile::Tensor128x128, 128, 128, 32, 750},
    {GemmTile::Warpgroup128x64, 128, 64, 64, 1000},
    {GemmTile::Warpgroup128x128, 128, 128, 64, 1300},
};
constexpr size_t kWithoutWarpgroups = 3;
constexpr TileModel kFmaTiles[] = {
    {GemmTile::Fma64x64, 64, 64, 16, 80},
    {GemmTile::Fma128x64, 128, 64, 16, 100},
};

constexpr double kBlockCycles = 2000;   // to start and to store
constexpr double kLaunchCycles = 4000;  // of the kernel that adds the slices
constexpr double kBytesPerCycle = 12;   // of memory, for each multiprocessor
constexpr int64_t kLeastChunks = 4;     // of the depth in a slice
constexpr int64_t kMostSlices = 128;
constexpr int64_t kMostPartialBytes = int64_t{64} << 20;

constexpr int64_t divided_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t partial_bytes(const GemmSize& size, int64_t slices) {
  return static_cast<int64_t>(slice_bytes(size.rows * size.columns, slices));
}

double cycles(const TileModel& model, const GemmSize& size, int64_t slices, int multiprocessors) {
  const int64_t tiles = divided_up(size.rows, model.m) * divided_up(size.columns, model.n);
  const int64_t rounds = divided_up(tiles * slices, multiprocessors);
  const int64_t chunks = divided_up(divided_up(size.depth, model.depth), slices);
  const double block =
      kBlockCycles + static_cast<double>(chunks * model.depth * model.m * model.n) / model.rate;
  double total = static_cast<double>(rounds) * block;
  if (slices > 1) {
    total += kLaunchCycles + 2 * static_cast<double>(partial_bytes(size, slices)) /
                                 (kBytesPerCycle * multiprocessors);
  }
  return total;
}

}  // namespace

size_t slice_bytes(int64_t numbers, int64_t slices) {
  constexpr int64_t kChunk = 8;
  if (slices <= 1) return 0;
  return static_cast<size_t>(slices * divided_up(numbers, kChunk) * kChunk) * sizeof(float);
}

GemmPlan plan_gemm(DType operands, const GemmSize& size, const GemmMachine& machine) {
  std::span<const TileModel> models = kFmaTiles;
  if (operands == DType::BF16) {
    models = kTensorTiles;
    if (!machine.warpgroups) models = models.first(kWithoutWarpgroups);
  }
  if (!size.whole) models = models.first(1);
  GemmPlan best{models[0].tile, 1, 0};
  double least = std::numeric_limits<double>::infinity();
  for (const TileModel& model : models) {
    const int64_t most =
        std::clamp<int64_t>(divided_up(size.depth, model.depth) / kLeastChunks, 1, kMostSlices);
    for (int64_t slices = 1; slices <= most; slices += 1 + slices / 8) {
      const int64_t bytes = partial_bytes(size, slices);
      if (bytes > kMostPartialBytes) break;
      const double cost = cycles(model, size, slices, machine.multiprocessors);
      if (cost < least) {
        least = cost;
        best = {model.tile, static_cast<int>(slices), static_cast<size_t>(bytes)};
      }
    }
  }
  return best;
}

size_t gemm_workspace(const GemmSize& f32, const GemmSize& bf16, const GemmMachine& machine) {
  return std::max(plan_gemm(DType::F32, f32, machine).workspace_bytes,
                  plan_gemm(DType::BF16, bf16, machine).workspace_bytes);
}

int plan_column_sums(int64_t rows, int64_t columns, int multiprocessors) {
  constexpr int64_t kColumns = 256;  // of a block, at most
  constexpr int64_t kLeastRows = 128;
  const int64_t wanted = divided_up(int64_t{4} * multiprocessors, divided_up(columns, kColumns));
  return static_cast<int>(
      std::clamp<int64_t>(wanted, 1, std::max<int64_t>(divided_up(rows, kLeastRows), 1)));
}

}  // namespace countenance::cuda
