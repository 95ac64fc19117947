#include "conv2d_check.h"
#include "op_cases.h"
#include "runtime.h"

// Where a bug in the matrix products' tiles would show: sizes just below, at and above those of the
// tiles (64 and 128) and of the stages (16 and 32 deep), with and without slices of the depth.

namespace countenance::test {

namespace {

// So many multiprocessors want work; with 1 a product is never sliced.
struct Multiprocessors {
  explicit Multiprocessors(int count) { emulator::hardware().multiprocessors = count; }
  ~Multiprocessors() { emulator::hardware().multiprocessors = 1; }
};

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

}  // namespace countenance::test
