#include <algorithm>
#include <cmath>

#include "backend/cuda/device/ptx.h"
#include "backend/cuda/device/vector.h"
#include "backend/cuda/frames/reduce.h"
#include "death.h"
#include "device_array.h"
#include "harness/harness.h"
#include "planted.h"

// Planted bugs that the emulator must catch: a kernel test is only worth as much as this list is
// long.

namespace countenance::test {

using namespace cuda;

namespace {

constexpr int kThreads = 128;

// What the emulator reports about the kernels that f runs, "" if nothing.
std::string failure_of(const std::function<void(cudaStream_t)>& f) {
  const Stream stream = make_stream();
  try {
    f(stream);
    COUNTENANCE_CUDA(cudaStreamSynchronize(stream));
  } catch (const emulator::Failure& failure) {
    return failure.what();
  }
  return "";
}

std::vector<float> counted(int n) {
  std::vector<float> values;
  for (int i = 0; i < n; ++i) values.push_back(static_cast<float>(i));
  return values;
}

// ---- A missing barrier ----

enum class Planted { Nothing, FirstBarrier, SecondBarrier };

// The sum of 128 numbers through shared memory, twice over the same memory.
template <Planted Bug>
__global__ void sum_kernel(float* out, const float* in) {
  COUNTENANCE_SHARED(float, tile, [kThreads]);
  for (int round = 0; round < 2; ++round) {
    tile[threadIdx.x] = in[threadIdx.x] + static_cast<float>(round);
    if (Bug != Planted::FirstBarrier) __syncthreads();
    float sum = 0;
    for (int i = 0; i < kThreads; ++i) sum += tile[i];
    out[round * kThreads + threadIdx.x] = sum;
    if (Bug != Planted::SecondBarrier) __syncthreads();
  }
}

// How many threads get a wrong sum.
template <Planted Bug>
int wrong_sums(emulator::Order order) {
  emulator::set_order(order);
  const Stream stream = make_stream();
  const DeviceArray<float> in(counted(kThreads), stream);
  const DeviceArray<float> out(std::vector<float>(2 * kThreads), stream);
  launch("sum", stream, {dim3(1), dim3(kThreads)}, sum_kernel<Bug>, out.data(), in.data());
  const std::vector<float> sums = out.get();
  emulator::set_order(emulator::Order::Forward);
  int wrong = 0;
  for (int i = 0; i < 2 * kThreads; ++i) {
    wrong += sums[static_cast<size_t>(i)] != (i < kThreads ? 8128.0f : 8256.0f);
  }
  return wrong;
}

}  // namespace

TEST(barriers_in_their_places_are_right_in_any_order) {
  for (emulator::Order order : kOrders) CHECK(wrong_sums<Planted::Nothing>(order) == 0);
}

TEST(a_missing_barrier_gives_wrong_sums) {
  if (kThreadSanitizer) {
    const auto first = [] { wrong_sums<Planted::FirstBarrier>(emulator::Order::Forward); };
    const auto second = [] { wrong_sums<Planted::SecondBarrier>(emulator::Order::Forward); };
    CHECK(contains(death_of(first), "data race"));
    CHECK(contains(death_of(second), "data race"));
    CHECK(contains(death_of([] { wrong_sums<Planted::Nothing>(emulator::Order::Forward); }),
                   "exit 0"));
    return;
  }
  for (emulator::Order order : kOrders) {
    CHECK(wrong_sums<Planted::FirstBarrier>(order) > 0);
    CHECK(wrong_sums<Planted::SecondBarrier>(order) > 0);
  }
}

// ---- A shuffle is no barrier: only __syncwarp makes shared memory visible to other lanes ----

namespace {

template <bool Synchronised>
__global__ void neighbour_kernel(float* out) {
  COUNTENANCE_SHARED(float, tile, [kWarp]);
  tile[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (Synchronised) {
    __syncwarp();
  } else {
    __shfl_xor_sync(kAllLanes, 1.0f, 1);
  }
  out[threadIdx.x] = tile[(threadIdx.x + 1) % kWarp];
}

template <bool Synchronised>
void run_neighbours() {
  const Stream stream = make_stream();
  const DeviceArray<float> out(std::vector<float>(kWarp), stream);
  launch("neighbours", stream, {dim3(1), dim3(kWarp)}, neighbour_kernel<Synchronised>, out.data());
  out.get();
}

}  // namespace

TEST(a_shuffle_does_not_order_memory) {
  if (!kThreadSanitizer) return skip("ThreadSanitizer sees it");
  CHECK(contains(death_of(run_neighbours<true>), "exit 0"));
  CHECK(contains(death_of(run_neighbours<false>), "data race"));
}

// ---- Out of bounds ----

namespace {

__global__ void copy_kernel(float* out, const float* in, int reads, int writes) {
  const int i = static_cast<int>(threadIdx.x);
  const float v = i < reads ? in[i] : 0.0f;
  if (i < writes) out[i] = v;
}

void run_copy(int reads, int writes) {
  const Stream stream = make_stream();
  const DeviceArray<float> in(counted(100), stream);
  const DeviceArray<float> out(counted(100), stream);
  launch("copy", stream, {dim3(1), dim3(kThreads)}, copy_kernel, out.data(), in.data(), reads,
         writes);
  out.get();
}

__global__ void shared_overflow_kernel(int last) {
  COUNTENANCE_SHARED(float, tile, [100]);
  if (static_cast<int>(threadIdx.x) <= last) tile[threadIdx.x] = 1.0f;
}
__global__ void dynamic_overflow_kernel(int last) {
  COUNTENANCE_DYNAMIC_SHARED(float, tile);
  if (static_cast<int>(threadIdx.x) <= last) tile[threadIdx.x] = 1.0f;
}

void run_shared(void (*kernel)(int), size_t bytes, int last) {
  const Stream stream = make_stream();
  launch("shared", stream, {dim3(1), dim3(kThreads), bytes}, kernel, last);
  COUNTENANCE_CUDA(cudaStreamSynchronize(stream));
}

}  // namespace

TEST(out_of_bounds_is_found) {
  run_copy(100, 100);
  if (kAddressSanitizer) {
    CHECK(contains(death_of([] { run_copy(100, 101); }), "AddressSanitizer"));
    CHECK(contains(death_of([] { run_copy(101, 100); }), "AddressSanitizer"));
    const std::string death = death_of([] { run_shared(shared_overflow_kernel, 0, 100); });
    CHECK(contains(death, "index 100 out of bounds") || contains(death, "global-buffer-overflow"),
          death);
    CHECK(contains(death_of([] { run_shared(dynamic_overflow_kernel, 400, 100); }),
                   "AddressSanitizer"));
  } else if (!kThreadSanitizer) {
    const std::string message = failure_of([](cudaStream_t) { run_copy(100, 101); });
    CHECK(contains(message, "behind an allocation of 400 bytes"), message);
  }
  run_shared(shared_overflow_kernel, 0, 99);
  run_shared(dynamic_overflow_kernel, 400, 99);
}

TEST(the_host_must_not_read_device_memory) {
  if (!kAddressSanitizer) return skip("AddressSanitizer sees it");
  CHECK(contains(death_of([] {
                   const Stream stream = make_stream();
                   const DeviceArray<float> numbers(counted(10), stream);
                   COUNTENANCE_CUDA(cudaStreamSynchronize(stream));
                   std::fprintf(stderr, "%g\n", static_cast<double>(numbers.data()[0]));
                 }),
                 "use-after-poison"));
}

// ---- cp.async ----

namespace {

// Two copies in two groups; reads after a wait that leaves `InFlight` of them unfinished.
template <int InFlight>
__global__ void async_kernel(float* out, const float* in) {
  COUNTENANCE_SHARED(float, tile, [2 * kThreads]);
  const unsigned t = threadIdx.x;
  for (int group = 0; group < 2; ++group) {
    if (t < kThreads / 4) {
      cp_async_16(&tile[group * kThreads + 4 * t], in + group * kThreads + 4 * t, true);
    }
    cp_async_commit();
  }
  cp_async_wait<InFlight>();
  __syncthreads();
  out[t] = tile[t];
  out[kThreads + t] = tile[kThreads + t];
  __syncthreads();
  cp_async_wait<0>();
}

template <int InFlight>
std::vector<float> copied() {
  const Stream stream = make_stream();
  const DeviceArray<float> in(counted(2 * kThreads), stream);
  const DeviceArray<float> out(std::vector<float>(2 * kThreads), stream);
  launch("async", stream, {dim3(1), dim3(kThreads)}, async_kernel<InFlight>, out.data(), in.data());
  return out.get();
}

// A stage is filled again while other threads still read it.
template <bool Synchronised>
__global__ void refill_kernel(float* out, const float* in) {
  COUNTENANCE_SHARED(float, tile, [kThreads]);
  const unsigned t = threadIdx.x;
  for (int round = 0; round < 3; ++round) {
    cp_async_4(&tile[t], in + round * kThreads + t, true);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    out[round * kThreads + t] = tile[kThreads - 1 - t];
    if (Synchronised) __syncthreads();
  }
}

template <bool Synchronised>
int wrong_refills() {
  const Stream stream = make_stream();
  const DeviceArray<float> in(counted(3 * kThreads), stream);
  const DeviceArray<float> out(std::vector<float>(3 * kThreads), stream);
  launch("refill", stream, {dim3(1), dim3(kThreads)}, refill_kernel<Synchronised>, out.data(),
         in.data());
  const std::vector<float> got = out.get();
  int wrong = 0;
  for (int i = 0; i < 3 * kThreads; ++i) {
    const int round = i / kThreads;
    const int from = round * kThreads + kThreads - 1 - i % kThreads;
    wrong += got[static_cast<size_t>(i)] != static_cast<float>(from);
  }
  return wrong;
}

__global__ void forgetful_kernel(const float* in) {
  COUNTENANCE_SHARED(float, tile, [4 * kThreads]);
  cp_async_16(&tile[4 * threadIdx.x], in, true);
  cp_async_commit();
}

__global__ void zero_fill_kernel(float* out, const float* in) {
  COUNTENANCE_SHARED(float, tile, [8]);
  if (threadIdx.x == 0) {
    cp_async_16(tile, in, true);
    cp_async_16(tile + 4, in, false);
    cp_async_commit();
    cp_async_wait<0>();
    for (int i = 0; i < 8; ++i) out[i] = tile[i];
  }
}

}  // namespace

TEST(a_weak_wait_reads_what_has_not_arrived) {
  CHECK(copied<0>() == counted(2 * kThreads));
  const std::vector<float> weak = copied<1>();
  for (size_t i = 0; i < weak.size(); ++i) {
    if (i < kThreads) CHECK(weak[i] == static_cast<float>(i), i);
  }
  CHECK(std::any_of(weak.begin() + kThreads, weak.end(), [](float v) { return std::isnan(v); }));
}

TEST(a_stage_filled_too_early_shows) {
  CHECK(wrong_refills<true>() == 0);
  if (kThreadSanitizer) {
    CHECK(contains(death_of([] { wrong_refills<false>(); }), "data race"));
  } else {
    CHECK(wrong_refills<false>() > 0);
  }
}

TEST(copies_that_nobody_waits_for_are_reported) {
  const std::string message = failure_of([](cudaStream_t stream) {
    const DeviceArray<float> in(counted(4), stream);
    launch("forgetful", stream, {dim3(1), dim3(kThreads)}, forgetful_kernel, in.data());
    COUNTENANCE_CUDA(cudaStreamSynchronize(stream));
  });
  CHECK(contains(message, "never waited for"), message);
  CHECK(contains(message, "kernel forgetful, block (0, 0, 0)"), message);
}

TEST(an_invalid_copy_gives_zeros) {
  const Stream stream = make_stream();
  const DeviceArray<float> in(std::vector<float>{1, 2, 3, 4}, stream);
  const DeviceArray<float> out(std::vector<float>(8), stream);
  launch("zero fill", stream, {dim3(1), dim3(32)}, zero_fill_kernel, out.data(), in.data());
  CHECK(out.get() == std::vector<float>({1, 2, 3, 4, 0, 0, 0, 0}));
}

// ---- Threads that do not meet ----

namespace {

__global__ void divergent_kernel() {
  if (threadIdx.x < 64) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
__global__ void exited_kernel() {
  if (threadIdx.x < 64) return;
  __syncthreads();
}
__global__ void deadlock_kernel() {
  if (threadIdx.x % kWarp < 16) {
    __syncwarp();
  } else {
    __syncthreads();
  }
}
__global__ void absent_lane_kernel(int* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0xFFFFu, 1, 20);
}
__global__ void not_in_mask_kernel() { __syncwarp(0xFFFFu); }
__global__ void exited_lane_kernel() {
  if (threadIdx.x == 3) return;
  __syncwarp();
}

std::string failure_of_threads(void (*kernel)()) {
  return failure_of([&](cudaStream_t stream) {
    launch("threads", stream, {dim3(2), dim3(kThreads)}, kernel);
    COUNTENANCE_CUDA(cudaStreamSynchronize(stream));
  });
}

}  // namespace

TEST(threads_that_do_not_meet_are_reported) {
  const std::string divergent = failure_of_threads(divergent_kernel);
  CHECK(contains(divergent, "divergent barrier"), divergent);
  CHECK(contains(divergent, "thread 0 to 63 waits at __syncthreads (") &&
            contains(divergent, "planted_bugs_test.cu:"),
        divergent);
  const std::string exited = failure_of_threads(exited_kernel);
  CHECK(contains(exited, "have exited"), exited);
  const std::string deadlock = failure_of_threads(deadlock_kernel);
  CHECK(contains(deadlock, "deadlock"), deadlock);
}

TEST(warp_operations_without_their_lanes_are_reported) {
  const std::string absent = failure_of([](cudaStream_t stream) {
    const DeviceArray<int> out(std::vector<int>(16), stream);
    launch("absent", stream, {dim3(1), dim3(kWarp)}, absent_lane_kernel, out.data());
    COUNTENANCE_CUDA(cudaStreamSynchronize(stream));
  });
  CHECK(contains(absent, "outside of its mask"), absent);
  const std::string unnamed = failure_of_threads(not_in_mask_kernel);
  CHECK(contains(unnamed, "does not name it"), unnamed);
  const std::string exited = failure_of_threads(exited_lane_kernel);
  CHECK(contains(exited, "exited lane") || contains(exited, "deadlock"), exited);
}

// ---- Misaligned accesses ----

namespace {

__global__ void misaligned_kernel(const float* in, const __nv_bfloat16* halves, int which) {
  COUNTENANCE_SHARED(__nv_bfloat16, tile, [64]);
  tile[threadIdx.x] = halves[0];
  tile[threadIdx.x + kWarp] = halves[0];
  __syncwarp();
  uint32_t fragment[1];
  if (which == 0) load<4>(in + 1);
  if (which == 1) load<8>(halves + 4);
  if (which == 2) ldmatrix_x1(fragment, tile + 4);
  if (which == 3) cp_async_16(tile, halves + 2, true);
  if (which == 4) cp_async_8(tile + 1, halves, true);
}

}  // namespace

TEST(misaligned_accesses_are_reported) {
  for (int which = 0; which < 5; ++which) {
    const std::string message = failure_of([&](cudaStream_t stream) {
      const DeviceArray<float> in(counted(64), stream);
      launch("misaligned", stream, {dim3(1), dim3(kWarp)}, misaligned_kernel, in.data(),
             reinterpret_cast<const __nv_bfloat16*>(in.data()), which);
      COUNTENANCE_CUDA(cudaStreamSynchronize(stream));
    });
    CHECK(contains(message, "is misaligned"), which, ": ", message);
  }
}

// ---- Shared memory holds nothing at the start ----

namespace {

__global__ void stale_kernel(float* out) {
  COUNTENANCE_SHARED(float, fixed, [kWarp]);
  COUNTENANCE_DYNAMIC_SHARED(float, dynamic);
  out[(blockIdx.x * 2) * kWarp + threadIdx.x] = fixed[threadIdx.x];
  out[(blockIdx.x * 2 + 1) * kWarp + threadIdx.x] = dynamic[threadIdx.x];
  fixed[threadIdx.x] = 1.0f;
  dynamic[threadIdx.x] = 1.0f;
}

}  // namespace

TEST(shared_memory_is_undefined_in_each_block) {
  const Stream stream = make_stream();
  const DeviceArray<float> out(std::vector<float>(3 * 2 * kWarp), stream);
  launch("stale", stream, {dim3(3), dim3(kWarp), kWarp * sizeof(float)}, stale_kernel, out.data());
  for (float v : out.get()) CHECK(std::isnan(v), v);
}

TEST(a_launch_that_no_device_accepts_is_an_error) {
  const Stream stream = make_stream();
  const auto with = [&](LaunchShape shape) {
    return error_code([&] { launch("wrong", stream, shape, divergent_kernel); });
  };
  CHECK(with({dim3(1), dim3(2048)}) == code::kInternal);
  CHECK(with({dim3(1, 70000), dim3(32)}) == code::kInternal);
  CHECK(with({dim3(1), dim3(32), 200 * 1024}) == code::kInternal);
  CHECK(with({dim3(0), dim3(32)}).empty(), "an empty grid is no error");
}

}  // namespace countenance::test
