#include "backend/cpu/vectors/unary.h"

namespace countenance::COUNTENANCE_CPU {

void CpuBackend::relu_forward(Tensor y, Tensor x) {
  unary_forward(pool_, y, x, [](Vec v) { return relu(v); });
}

void CpuBackend::relu_backward(Gradient dx, Tensor dy, Tensor y) {
  unary_backward(pool_, dx, dy, y,
                 [](Vec gradient, Vec out) { return where_positive(out, gradient); });
}

}  // namespace countenance::COUNTENANCE_CPU
