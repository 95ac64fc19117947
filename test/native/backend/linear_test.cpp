#include "backend/conv2d_check.h"
#include "backend/op_cases.h"

namespace countenance::test {

COVERS(linear, "linear_forward", "linear_backward_data", "linear_backward_weight");

namespace {

ConvCase linear(int64_t rows, int64_t in, int64_t out) {
  return {rows, 1, 1, in, out, 1, 1, 1, 0, true};
}

}  // namespace

TEST(linear_any_size) {
  const std::vector<int64_t> all_rows = {1, 2, 7, 64, 193}, few_rows = {1, 193};
  const std::vector<int64_t> all_outs = {1, 16, 35, 80, 144}, few_outs = {35, 144};
  for (int64_t rows : kEmulated ? few_rows : all_rows) {
    for (int64_t in : {1, 17, 96}) {
      for (int64_t out : kEmulated ? few_outs : all_outs) check_conv2d(linear(rows, in, out));
    }
  }
}

TEST(linear_long_rows) {
  check_conv2d(linear(5, 3072, 40));  // the depth in chunks
  check_conv2d(linear(3, 1537, 20));
  check_conv2d(linear(1500, 20, 24));  // several slices of rows
}

TEST(linear_gradients_are_adjoint) {
  if (kEmulated) return check_adjoint(linear(200, 192, 288));
  check_adjoint(linear(700, 768, 2304));
  check_adjoint(linear(3136, 96, 288));
}

}  // namespace countenance::test
