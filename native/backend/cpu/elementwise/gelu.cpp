#include "backend/cpu/vectors/unary.h"

namespace countenance::COUNTENANCE_CPU {

void CpuBackend::gelu_forward(Tensor y, Tensor x) {
  unary_forward(pool_, y, x, [](Vec v) { return v * normal_distribution(v).cdf; });
}

// d(x Phi(x)) / dx = Phi(x) + x e^(-x^2 / 2) / sqrt(2 pi)
void CpuBackend::gelu_backward(Gradient dx, Tensor dy, Tensor x) {
  unary_backward(pool_, dx, dy, x, [](Vec gradient, Vec v) {
    const Normal normal = normal_distribution(v);
    return gradient * fma(v * Vec::all(0.39894228f), normal.kernel, normal.cdf);
  });
}

}  // namespace countenance::COUNTENANCE_CPU
