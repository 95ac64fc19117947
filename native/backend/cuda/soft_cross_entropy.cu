#include "backend/cuda/backend_class.h"
#include "backend/cuda/kernel_types.h"
#include "backend/cuda/reduce.h"

namespace countenance::cuda {

namespace {

constexpr int kThreads = 512;

// One block; a warp a row, the rows in turns. dlogits_k = (softmax_k sum_j targets_j - targets_k) /
// B
__global__ void __launch_bounds__(kThreads)
    soft_cross_entropy_kernel(float* loss, float* dlogits, bool accumulates, const float* logits,
                              const float* targets, int batch, int classes) {
  COUNTENANCE_SHARED(double, warps, [kWarp]);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const float share = 1.0f / static_cast<float>(batch);
  double total = 0;
  for (int b = warp; b < batch; b += kThreads / kWarp) {
    const float* z = logits + static_cast<int64_t>(b) * classes;
    const float* t = targets + static_cast<int64_t>(b) * classes;
    float highest = -INFINITY;
    for (int k = lane; k < classes; k += kWarp) highest = fmaxf(highest, z[k]);
    highest = warp_max(highest);
    float sum = 0;
    float mass = 0;
    for (int k = lane; k < classes; k += kWarp) {
      sum += expf(z[k] - highest);
      mass += t[k];
    }
    sum = warp_sum(sum);
    mass = warp_sum(mass);
    const float log_sum = logf(sum);
    for (int k = lane; k < classes; k += kWarp) {
      const float above = z[k] - highest;
      // A class without a target adds nothing even where its logit is minus infinity.
      if (t[k] != 0.0f) total += t[k] * static_cast<double>(log_sum - above);
      if (!dlogits) continue;
      float* place = dlogits + static_cast<int64_t>(b) * classes + k;
      const float g = share * (mass * (expf(above) / sum) - t[k]);
      *place = accumulates ? *place + g : g;
    }
  }
  total = block_sum(total, warps);
  if (threadIdx.x == 0) *loss = static_cast<float>(total / batch);
}

}  // namespace

void CudaBackend::soft_cross_entropy(Tensor loss, Gradient dlogits, Tensor logits, Tensor targets) {
  launch("soft_cross_entropy", queue(), {dim3(1), dim3(kThreads)}, soft_cross_entropy_kernel,
         data<float>(loss), data<float>(dlogits), dlogits.accumulates(), data<float>(logits),
         data<float>(targets), static_cast<int>(logits.shape[0]),
         static_cast<int>(logits.shape[1]));
}

}  // namespace countenance::cuda
