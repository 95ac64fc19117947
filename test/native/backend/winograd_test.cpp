#include "backend/conv2d_check.h"
#include "backend/cpu/cpu_backend.h"
#include "harness/harness.h"

// The convolutions that the CPU computes by Winograd's method (products/winograd.h).

namespace countenance::test {
namespace {

// A 3x3 convolution of stride 1 with padding 1.
ConvCase layer(int64_t batch, int64_t side, int64_t in, int64_t out) {
  return {batch, side, side, in, out, 3, 3, 1, 1};
}

// Its gradients need more workspace than those of the direct method.
bool is_chosen(const ConvCase& c) {
  const auto bytes = [&](ConvolutionMethod method) {
    return make_cpu_backend(1, detect_isa(), method)
        ->conv2d_workspace({c.batch, c.height, c.width, c.in},
                           {c.out, c.in, c.kernel_height, c.kernel_width}, {c.stride, c.padding});
  };
  return bytes(ConvolutionMethod::Winograd) > bytes(ConvolutionMethod::Direct);
}

void check(const ConvCase& c) {
  CHECK(is_chosen(c), c.name(), ": computed directly");
  // 2.5e-6 is the largest of these layers, of 512 channels; 3.8e-6 of 1536.
  check_conv2d(c, 5e-6);
}

}  // namespace

// ResNet-18's layers at 112 and at 48 pixels: the harness prints the error of each.
TEST(winograd_error_28x28x64) { check(layer(1, 28, 64, 64)); }
TEST(winograd_error_14x14x128) { check(layer(1, 14, 128, 128)); }
TEST(winograd_error_7x7x256) { check(layer(2, 7, 256, 256)); }
TEST(winograd_error_4x4x512) { check(layer(8, 4, 512, 512)); }
TEST(winograd_error_12x12x64) { check(layer(2, 12, 64, 64)); }
TEST(winograd_error_6x6x128) { check(layer(8, 6, 128, 128)); }

TEST(winograd_of_any_shape) {
  for (const ConvCase& c : {
           ConvCase{2, 13, 6, 48, 80, 3, 3, 1, 1},     // parts of tiles; columns of several groups
           ConvCase{3, 9, 17, 80, 16, 3, 3, 1, 0},     // no padding; the depth in two units
           ConvCase{2, 10, 15, 64, 48, 3, 3, 1, 2},    // an output larger than the input
           ConvCase{4, 24, 20, 32, 144, 3, 3, 1, 1},   // several blocks of tiles
           ConvCase{5, 31, 30, 16, 16, 3, 3, 1, 1},    // several parts
           ConvCase{1, 16, 16, 1536, 16, 3, 3, 1, 1},  // the largest depth
           ConvCase{27, 8, 8, 144, 256, 3, 3, 1, 1},   // several parts by columns
       }) {
    check(c);
  }
}

TEST(winograd_is_left_out_where_it_does_not_pay) {
  for (const ConvCase& c : {
           layer(1, 4, 512, 512),                    // one tile for a large weight
           layer(64, 2, 512, 512),                   // most of a tile would be padding
           layer(8, 28, 64, 65),                     // an incomplete panel
           ConvCase{8, 28, 28, 3, 64, 3, 3, 1, 1},   // few channels
           ConvCase{8, 28, 28, 64, 64, 3, 3, 2, 1},  // a stride
           ConvCase{8, 28, 28, 64, 64, 3, 3, 1, 3},  // rows that read only padding
           ConvCase{8, 28, 28, 64, 64, 1, 1, 1, 0},  // other kernels
           ConvCase{8, 28, 28, 64, 64, 5, 5, 1, 2},
           ConvCase{8, 28, 28, 64, 64, 3, 1, 1, 1},
       }) {
    CHECK(!is_chosen(c), c.name());
  }
}

}  // namespace countenance::test
