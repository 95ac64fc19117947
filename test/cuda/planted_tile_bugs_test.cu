#include <cmath>
#include <string>
#include <vector>

#include "backend/cuda/device/ptx.h"
#include "backend/cuda/device/vector.h"
#include "backend/cuda/frames/reduce.h"
#include "death.h"
#include "device_array.h"
#include "harness/harness.h"
#include "planted.h"

// Planted bugs of tensor-core kernels that the emulator must catch: missing barriers between the
// threads that fill shared memory and ldmatrix, and cp.async pipelines that read or fill a stage
// too early.

namespace countenance::test {

using namespace cuda;

namespace {

// How a planted bug shows in a kernel.
enum class Seen { Nowhere, WrongNumbers, DataRace };

// run(): what the kernel computes. ThreadSanitizer ends the process at a race, so it runs in
// another one.
template <class Run>
Seen seen(emulator::Order order, const std::vector<float>& expected, Run run) {
  emulator::set_order(order);
  Seen result = Seen::Nowhere;
  if (kThreadSanitizer) {
    const std::string death = death_of([&] { ensure(run() == expected, "wrong numbers"); });
    if (death.find("data race") != std::string::npos) {
      result = Seen::DataRace;
    } else if (death != "exit 0") {
      result = Seen::WrongNumbers;
    }
  } else if (run() != expected) {
    result = Seen::WrongNumbers;
  }
  emulator::set_order(emulator::Order::Forward);
  return result;
}

// ---- From registers through shared memory to ldmatrix ----

// One warp stores a (16, 16) the way mma leaves its results, loads it as the left operand and
// multiplies it by the identity: out (16, 8) is its first 8 columns.
template <bool Synchronised>
__global__ void reload_kernel(float* out, const float* in) {
  constexpr int kStride = 24;
  COUNTENANCE_SHARED(__nv_bfloat16, tile, [16 * kStride]);
  const int lane = static_cast<int>(threadIdx.x);
  const int g = lane / 4;
  const int t = lane % 4;
  for (int half = 0; half < 2; ++half) {
    const int row = g + 8 * half;
    for (int column = 2 * t; column < 16; column += 8) {
      store(tile + row * kStride + column, load<2>(in + row * 16 + column));
    }
  }
  if (Synchronised) __syncwarp();
  uint32_t a[4];
  ldmatrix_x4(a, tile + lane % 16 * kStride + lane / 16 * 8);
  const uint32_t one = g % 2 ? 0x3F800000u : 0x3F80u;
  const uint32_t b[2] = {g / 2 == t ? one : 0u, 0u};
  float d[4] = {};
  mma_bf16(d, a, b);
  for (int i = 0; i < 4; ++i) out[(g + 8 * (i / 2)) * 8 + 2 * t + i % 2] = d[i];
}

template <bool Synchronised>
Seen reload(emulator::Order order) {
  const std::vector<float> in = digits(16 * 16, 1);
  std::vector<float> expected;
  for (size_t i = 0; i < 16 * 8; ++i) expected.push_back(in[i / 8 * 16 + i % 8]);
  return seen(order, expected, [&] {
    const Stream stream = make_stream();
    const DeviceArray<float> device(in, stream);
    const DeviceArray<float> out(std::vector<float>(16 * 8), stream);
    launch("reload", stream, {dim3(1), dim3(kWarp)}, reload_kernel<Synchronised>, out.data(),
           device.data());
    return out.get();
  });
}

// ---- A pipeline of three stages ----

constexpr int kStages = 3;
constexpr int kSteps = 7;  // of 16 columns of a and rows of b
constexpr int kDepth = 16 * kSteps;
constexpr int kTileStride = 24;  // 48 bytes: rows in different banks
enum class Planted { Nothing, WeakWait, NoBarrier, EarlyRefill };

struct PipelineStage {
  __nv_bfloat16 a[16 * kTileStride];  // (16 rows, 16)
  __nv_bfloat16 b[16 * kTileStride];  // (16 columns, 16)
};

// out (16, 16) = a (16, kDepth) b^T, b (16, kDepth). Two warps, each with 8 columns; the first
// copies a's tiles, the second b's.
template <Planted Bug>
__global__ void pipeline_kernel(float* out, const __nv_bfloat16* a, const __nv_bfloat16* b) {
  COUNTENANCE_SHARED(PipelineStage, stages, [kStages]);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const auto fill = [&](int step) {
    if (step < kSteps) {
      PipelineStage& stage = stages[step % kStages];
      const int row = lane / 2;
      const int column = lane % 2 * 8;
      cp_async_16((warp ? stage.b : stage.a) + row * kTileStride + column,
                  (warp ? b : a) + row * kDepth + 16 * step + column, true);
    }
    cp_async_commit();  // also an empty group: the wait counts them
  };
  for (int step = 0; step < kStages - 1; ++step) fill(step);
  float d[4] = {};
  for (int step = 0; step < kSteps; ++step) {
    cp_async_wait<Bug == Planted::WeakWait ? kStages - 1 : kStages - 2>();
    if (Bug == Planted::EarlyRefill) fill(step + kStages - 1);
    if (Bug != Planted::NoBarrier) __syncthreads();
    if (Bug != Planted::EarlyRefill) fill(step + kStages - 1);
    const PipelineStage& stage = stages[step % kStages];
    uint32_t left[4];
    uint32_t right[2];
    ldmatrix_x4(left, stage.a + lane % 16 * kTileStride + lane / 16 * 8);
    ldmatrix_x2(right, stage.b + (8 * warp + lane % 8) * kTileStride + lane / 8 % 2 * 8);
    mma_bf16(d, left, right);
  }
  cp_async_wait<0>();
  for (int i = 0; i < 4; ++i) {
    out[(lane / 4 + 8 * (i / 2)) * 16 + 8 * warp + 2 * (lane % 4) + i % 2] = d[i];
  }
}

template <Planted Bug>
Seen pipeline(emulator::Order order) {
  const std::vector<float> a = digits(16 * kDepth, 2);
  const std::vector<float> b = digits(16 * kDepth, 3);
  std::vector<float> expected;
  for (size_t i = 0; i < 16 * 16; ++i) {
    float sum = 0;
    for (size_t k = 0; k < kDepth; ++k) sum += a[i / 16 * kDepth + k] * b[i % 16 * kDepth + k];
    expected.push_back(sum);
  }
  return seen(order, expected, [&] {
    const Stream stream = make_stream();
    const DeviceArray<__nv_bfloat16> left(bf16(a), stream);
    const DeviceArray<__nv_bfloat16> right(bf16(b), stream);
    const DeviceArray<float> out(std::vector<float>(16 * 16), stream);
    launch("pipeline", stream, {dim3(1), dim3(2 * kWarp)}, pipeline_kernel<Bug>, out.data(),
           left.data(), right.data());
    return out.get();
  });
}

}  // namespace

TEST(ldmatrix_without_a_barrier_behind_the_stores_is_found) {
  for (emulator::Order order : kOrders) {
    CHECK(reload<true>(order) == Seen::Nowhere);
    CHECK(reload<false>(order) == (kThreadSanitizer ? Seen::DataRace : Seen::WrongNumbers));
  }
}

TEST(a_pipeline_that_waits_for_too_few_stages_is_found) {
  for (emulator::Order order : kOrders) {
    CHECK(pipeline<Planted::Nothing>(order) == Seen::Nowhere);
    CHECK(pipeline<Planted::WeakWait>(order) != Seen::Nowhere);
  }
}

TEST(a_pipeline_without_its_barrier_is_found) {
  const Seen where = kThreadSanitizer ? Seen::DataRace : Seen::WrongNumbers;
  for (emulator::Order order : kOrders) CHECK(pipeline<Planted::NoBarrier>(order) == where);
}

// In random order the warps stay in step with each other, so only ThreadSanitizer sees it.
TEST(a_pipeline_that_fills_a_stage_too_early_is_found) {
  const Seen where = kThreadSanitizer ? Seen::DataRace : Seen::WrongNumbers;
  CHECK(pipeline<Planted::EarlyRefill>(emulator::Order::Forward) == where);
  CHECK(pipeline<Planted::EarlyRefill>(emulator::Order::Reverse) == where);
}

}  // namespace countenance::test
