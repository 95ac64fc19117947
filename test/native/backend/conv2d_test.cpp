#include "backend/conv2d_check.h"
#include "backend/op_cases.h"

namespace countenance::test {

COVERS(conv2d, "conv2d_forward", "conv2d_backward_data", "conv2d_backward_weight", "pack_parameter",
       "unpack_parameter");

// batch, height, width, in, out, kernel height, kernel width, stride, padding
TEST(conv2d_kernels_of_the_models) {
  for (const ConvCase& c : {
           ConvCase{2, 15, 15, 3, 64, 7, 7, 2, 3},  // ResNet's first
           ConvCase{2, 12, 12, 3, 96, 2, 2, 2, 0},  // Swin's patches
           ConvCase{1, 16, 16, 3, 96, 4, 4, 4, 0}, ConvCase{2, 7, 7, 64, 64, 3, 3, 1, 1},
           ConvCase{2, 8, 8, 64, 128, 3, 3, 2, 1}, ConvCase{2, 8, 8, 64, 128, 1, 1, 2, 0},
           ConvCase{1, 4, 4, 256, 48, 3, 3, 1, 1},  // the depth in chunks of taps
       }) {
    check_conv2d(c);
  }
}

TEST(conv2d_odd_shapes) {
  for (const ConvCase& c : {
           ConvCase{1, 1, 1, 1, 1, 1, 1, 1, 0}, ConvCase{3, 1, 1, 17, 17, 1, 1, 1, 0},
           ConvCase{1, 1, 1, 5, 7, 3, 3, 1, 1},  // a kernel larger than the image
           ConvCase{1, 2, 3, 4, 5, 5, 5, 1, 2}, ConvCase{1, 2, 1, 2, 33, 7, 7, 3, 3},
           ConvCase{3, 5, 9, 17, 3, 3, 3, 2, 1}, ConvCase{1, 9, 5, 1, 17, 3, 3, 3, 1},
           ConvCase{3, 11, 13, 3, 5, 5, 5, 2, 2}, ConvCase{1, 10, 7, 9, 16, 2, 2, 1, 0},
           ConvCase{1, 8, 8, 9, 16, 2, 2, 3, 3},  // padding larger than the kernel
           ConvCase{1, 6, 6, 2, 4, 1, 1, 3, 2},
           ConvCase{1, 6, 6, 20, 4, 1, 1, 2, 0},  // pixels that no output reads
           ConvCase{2, 7, 6, 19, 21, 3, 1, 1, 0}, ConvCase{2, 7, 6, 3, 50, 1, 4, 2, 1},
           ConvCase{1, 3, 220, 3, 20, 3, 3, 1, 1},  // an image row longer than a block
           ConvCase{1, 40, 5, 8, 24, 3, 3, 1, 1},
           ConvCase{1, 9, 9, 10, 6, 9, 9, 1, 4},     // more taps than one table holds
           ConvCase{3, 20, 20, 12, 80, 3, 3, 1, 1},  // several blocks and slices
       }) {
    check_conv2d(c);
  }
}

TEST(conv2d_any_stride_and_padding) {
  for (int64_t stride : {1, 2, 3}) {
    for (int64_t padding : {0, 1, 2, 3}) {
      check_conv2d({1, 7, 8, 3, 5, 3, 3, stride, padding});
      check_conv2d({2, 6, 5, 16, 18, 2, 3, stride, padding});
    }
  }
}

TEST(conv2d_gradients_are_adjoint) {
  if (kEmulated) {
    check_adjoint({1, 14, 14, 64, 64, 3, 3, 1, 1});
    check_adjoint({1, 14, 14, 64, 128, 3, 3, 2, 1});
    check_adjoint({1, 28, 28, 3, 64, 7, 7, 2, 3});
    return;
  }
  check_adjoint({4, 28, 28, 64, 64, 3, 3, 1, 1});
  check_adjoint({4, 28, 28, 64, 128, 3, 3, 2, 1});
  check_adjoint({2, 112, 112, 3, 64, 7, 7, 2, 3});
  check_adjoint({3, 7, 7, 512, 512, 3, 3, 1, 1});
}

}  // namespace countenance::test
