#include "backend/conv2d_check.h"
#include "backend/cuda/products/gemm_plan.h"
#include "backend/op_cases.h"
#include "runtime.h"

#include <array>

// Where a bug in the matrix products' tiles would show: sizes just below, at and above those of the
// tiles (64 and 128) and of the stages (16, 32 and 64 deep), with and without slices of the depth.

namespace countenance::test {

namespace {

// The number of multiprocessors to keep busy; with 1 a product is never sliced.
struct Multiprocessors {
  explicit Multiprocessors(int count) { emulator::hardware().multiprocessors = count; }
  ~Multiprocessors() { emulator::hardware().multiprocessors = 1; }
};

// A device with warpgroup products.
struct Warpgroups {
  Warpgroups() { emulator::hardware().capability = 90; }
  ~Warpgroups() { emulator::hardware().capability = 80; }
};

bool by_warpgroups(int64_t rows, int64_t columns, int64_t depth, int multiprocessors) {
  using cuda::GemmTile;
  const GemmTile tile =
      cuda::plan_gemm(DType::BF16, {rows, columns, depth, true}, {multiprocessors, true}).tile;
  return tile == GemmTile::Warpgroup128x64 || tile == GemmTile::Warpgroup128x128;
}

ConvCase linear(int64_t rows, int64_t in, int64_t out) {
  return {rows, 1, 1, in, out, 1, 1, 1, 0, true};
}

}  // namespace

TEST(gemm_sizes_around_the_tiles) {
  for (int multiprocessors : {1, 8}) {
    const Multiprocessors some(multiprocessors);
    check_conv2d(linear(63, 32, 64));
    check_conv2d(linear(64, 40, 63));
    check_conv2d(linear(65, 31, 72));
    check_conv2d(linear(128, 16, 128));
    check_conv2d(linear(129, 33, 136));
    check_conv2d(linear(127, 136, 65));
  }
}

TEST(gemm_slices_of_the_depth) {
  const Multiprocessors many(16);
  check_conv2d(linear(9, 1000, 24));
  check_conv2d(linear(9, 999, 21));
  check_conv2d({1, 5, 5, 64, 24, 3, 3, 1, 1});   // of a data gradient with stride 1
  check_conv2d({1, 9, 7, 24, 128, 3, 3, 2, 1});  // and of one with phases
  check_conv2d({2, 20, 20, 3, 16, 7, 7, 2, 3});  // of the pixels
}

// Forward, data gradient and weight gradient: each combination of operands laid out along the depth
// and along the width.
TEST(gemm_by_warpgroups) {
  const Warpgroups all;
  for (int multiprocessors : {1, 8}) {
    const Multiprocessors some(multiprocessors);
    for (const auto& [rows, in, out] :
         {std::array<int64_t, 3>{129, 136, 128}, std::array<int64_t, 3>{128, 128, 64},
          std::array<int64_t, 3>{200, 72, 136}}) {
      CHECK(by_warpgroups(rows, out, in, 1), rows, " x ", in, " x ", out);
      check_conv2d(linear(rows, in, out));
    }
  }
  {
    const Multiprocessors many(16);
    check_conv2d(linear(128, 640, 128));  // in slices
  }
  check_conv2d({2, 9, 8, 64, 128, 3, 3, 1, 1});
  check_conv2d({3, 16, 15, 72, 64, 3, 3, 2, 1});  // a data gradient with phases
}

}  // namespace countenance::test
