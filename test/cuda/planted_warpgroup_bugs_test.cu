#include <string>
#include <vector>

#include "backend/cuda/device/wgmma.h"
#include "backend/cuda/frames/reduce.h"
#include "death.h"
#include "device_array.h"
#include "harness/harness.h"
#include "planted.h"

// Planted bugs of warpgroup kernels that the emulator must catch: fences, waits and barriers
// missing around wgmma.

namespace countenance::test {

using namespace cuda;

namespace {

enum class Planted { Nothing, NoFence, NoProxyFence, NoWait, NoBarrier, EarlyRefill, Divergent };

constexpr int kThreads = 128;
constexpr int kSteps = 5;  // stages of 64 columns of a and rows of b
constexpr int kDepth = 64 * kSteps;
constexpr int kStages = 2;
constexpr int kStage = 2 * 64 * 64;  // numbers: a tile of each operand

// out (64, 64) = a (64, kDepth) b^T, b (64, kDepth).
template <Planted Bug>
__global__ void warpgroup_kernel(float* out, const __nv_bfloat16* a, const __nv_bfloat16* b) {
  COUNTENANCE_DYNAMIC_SHARED(__nv_bfloat16, stages);
  const int thread = static_cast<int>(threadIdx.x);
  const auto fill = [&](int step) {
    if (step < kSteps) {
      for (int i = thread; i < 2 * 64 * 8; i += kThreads) {
        const int line = i / 8 % 64, chunk = i % 8;
        cp_async_16(stages + step % kStages * kStage + i / 8 * 64 + (chunk ^ line % 8) * 8,
                    (i < 512 ? a : b) + line * kDepth + 64 * step + chunk * 8, true);
      }
    }
    cp_async_commit();
  };
  fill(0);
  float d[8][4] = {};
  for (int step = 0; step < kSteps; ++step) {
    cp_async_wait<0>();
    if (Bug != Planted::NoProxyFence) fence_for_wgmma();
    if (Bug != Planted::NoBarrier) __syncthreads();
    fill(step + 1);
    const __nv_bfloat16* now = stages + step % kStages * kStage;
    if (Bug == Planted::Divergent && thread < 16) {
      wgmma_fence();
    } else if (Bug != Planted::NoFence) {
      wgmma_fence();
    }
    for (int k = 0; k < 64; k += 16) {
      wgmma<false, false>(d, wgmma_operand(now + k, 16), wgmma_operand(now + 64 * 64 + k, 16));
    }
    wgmma_commit();
    if (Bug == Planted::EarlyRefill) fill(step + kStages);  // the stage that is being read
    if (Bug != Planted::NoWait || step + 1 == kSteps) wgmma_wait<Bug == Planted::NoWait ? 1 : 0>();
  }
  const int lane = thread % kWarp;
  for (int i = 0; i < 32; ++i) {
    const int row = thread / kWarp * 16 + lane / 4 + 8 * (i % 4 / 2);
    out[row * 64 + i / 4 * 8 + 2 * (lane % 4) + i % 2] = d[i / 4][i % 4];
  }
  wgmma_wait<0>();
  cp_async_wait<0>();
}

// "" if the numbers are right, else what is wrong.
template <Planted Bug>
std::string run() {
  const std::vector<float> a = digits(64 * kDepth, 2), b = digits(64 * kDepth, 3);
  const Stream stream = make_stream();
  const DeviceArray<__nv_bfloat16> left(bf16(a), stream), right(bf16(b), stream);
  const DeviceArray<float> out(std::vector<float>(64 * 64), stream);
  launch("warpgroup", stream, {dim3(1), dim3(kThreads), kStages * kStage * 2},
         warpgroup_kernel<Bug>, out.data(), left.data(), right.data());
  const std::vector<float> got = out.get();
  for (size_t i = 0; i < got.size(); ++i) {
    float sum = 0;
    for (size_t k = 0; k < kDepth; ++k) sum += a[i / 64 * kDepth + k] * b[i % 64 * kDepth + k];
    if (got[i] != sum) return "wrong numbers";
  }
  return "";
}

// How a run in an order ends: "" or a part of the emulator's or ThreadSanitizer's report.
template <Planted Bug>
std::string told(emulator::Order order) {
  std::string result;
  emulator::set_order(order);
  if (kThreadSanitizer) {
    const std::string death = death_of([] { ensure(run<Bug>().empty(), "wrong numbers"); });
    if (death != "exit 0") result = death;
  } else {
    try {
      result = run<Bug>();
    } catch (const emulator::Failure& failure) {
      result = failure.what();
    }
  }
  emulator::set_order(emulator::Order::Forward);
  return result;
}

}  // namespace

TEST(wgmma_as_it_should_be_passes) {
  for (emulator::Order order : kOrders) {
    const std::string what = told<Planted::Nothing>(order);
    CHECK(what.empty(), what);
  }
}

TEST(wgmma_without_its_fences_is_found) {
  for (emulator::Order order : kOrders) {
    CHECK(contains(told<Planted::NoFence>(order), "without a wgmma_fence"));
    CHECK(contains(told<Planted::NoProxyFence>(order), "without fence_for_wgmma"));
  }
}

TEST(sums_of_wgmma_that_are_read_too_early_are_found) {
  for (emulator::Order order : kOrders) CHECK(!told<Planted::NoWait>(order).empty());
}

TEST(wgmma_without_a_barrier_behind_the_copies_is_found) {
  for (emulator::Order order : kOrders) CHECK(!told<Planted::NoBarrier>(order).empty());
}

TEST(a_stage_that_is_filled_while_wgmma_reads_it_is_found) {
  for (emulator::Order order : kOrders) {
    const std::string what = told<Planted::EarlyRefill>(order);
    CHECK(contains(what, "changed while") || contains(what, "data race"), what);
  }
}

TEST(wgmma_by_a_part_of_a_warp_is_found) {
  CHECK(contains(told<Planted::Divergent>(emulator::Order::Forward), "deadlock"));
}

}  // namespace countenance::test
