#pragma once

#include <cstdint>
#include <string>

// Checks of convolutions and linear layers against a plain double-precision convolution.

namespace countenance::test {

struct ConvCase {
  int64_t batch, height, width, in, out, kernel_height, kernel_width, stride, padding;
  bool linear = false;  // as a linear layer of batch * height * width rows

  std::string name() const;
};

// On every backend of this machine: forward with every kind of epilogue (for linear layers also
// gelu, with its pre-activation), gradients of data, weight and bias in every mode, the same bits
// for 1, 2 and 3 threads, nothing written outside the outputs, the padding of the packed gradient
// zero. float32_error: allowed for float32 operands, normalised by the size of the sums.
void check_conv2d(const ConvCase& c, double float32_error = 1e-6);

// <dy, conv(x)> = <dx, x> = <dw, w> without a reference: for sizes too large for one.
void check_adjoint(const ConvCase& c);

}  // namespace countenance::test
