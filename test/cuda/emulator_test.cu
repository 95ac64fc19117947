#include <algorithm>
#include <numeric>

#include "backend/cuda/frames/reduce.h"
#include "device_array.h"
#include "harness/harness.h"

// The emulator's warp operations, votes, atomics, streams and graphs, checked against CUDA's
// manual.

namespace countenance::test {

using namespace cuda;

namespace {

constexpr int kThreads = 96;

template <class T, class Kernel, class... Arguments>
std::vector<T> run_kernel(int threads, int outputs, Kernel kernel, Arguments... arguments) {
  const Stream stream = make_stream();
  const DeviceArray<T> out(std::vector<T>(static_cast<size_t>(outputs)), stream);
  launch("test", stream, {dim3(1), dim3(static_cast<unsigned>(threads))}, kernel, out.data(),
         arguments...);
  return out.get();
}

// One row of results per thread.
__global__ void shuffle_kernel(int* out) {
  const int t = static_cast<int>(threadIdx.x);
  int* row = out + 8 * t;
  row[0] = __shfl_sync(kAllLanes, t, 5);
  row[1] = __shfl_sync(kAllLanes, t, 5, 8);
  row[2] = __shfl_xor_sync(kAllLanes, t, 3);
  row[3] = __shfl_xor_sync(kAllLanes, t, 9, 8);
  row[4] = __shfl_down_sync(kAllLanes, t, 2);
  row[5] = __shfl_down_sync(kAllLanes, t, 3, 4);
  row[6] = __shfl_up_sync(kAllLanes, t, 2);
  row[7] = __shfl_up_sync(kAllLanes, t, 1, 4);
}

}  // namespace

TEST(shuffles_follow_the_manual) {
  const std::vector<int> out = run_kernel<int>(kThreads, 8 * kThreads, shuffle_kernel);
  for (int t = 0; t < kThreads; ++t) {
    const int lane = t % 32, warp = t - lane;
    const int* row = &out[static_cast<size_t>(8 * t)];
    CHECK(row[0] == warp + 5, t);
    CHECK(row[1] == t - t % 8 + 5, t);
    CHECK(row[2] == warp + (lane ^ 3), t);
    // A lane of an earlier segment can be read; a lane of a later one gives the lane's own value.
    CHECK(row[3] == ((lane ^ 9) < lane - lane % 8 + 8 ? warp + (lane ^ 9) : t), t);
    CHECK(row[4] == (lane + 2 < 32 ? t + 2 : t), t);
    CHECK(row[5] == (lane % 4 + 3 < 4 ? t + 3 : t), t);
    CHECK(row[6] == (lane >= 2 ? t - 2 : t), t);
    CHECK(row[7] == (lane % 4 >= 1 ? t - 1 : t), t);
  }
}

namespace {

__global__ void vote_kernel(int* out, int limit) {
  const int t = static_cast<int>(threadIdx.x);
  int* row = out + 8 * t;
  row[0] = static_cast<int>(__ballot_sync(kAllLanes, t % 3 == 0));
  row[1] = __any_sync(kAllLanes, t == 40);
  row[2] = __all_sync(kAllLanes, t < 64);
  row[3] = __syncthreads_or(t == limit);
  row[4] = __syncthreads_and(t < limit);
  row[5] = __syncthreads_count(t < limit);
  row[6] = __reduce_add_sync(kAllLanes, t);
  row[7] = __reduce_max_sync(kAllLanes, -t);
}

}  // namespace

TEST(votes_and_reductions_follow_the_manual) {
  const std::vector<int> out = run_kernel<int>(kThreads, 8 * kThreads, vote_kernel, 50);
  for (int t = 0; t < kThreads; ++t) {
    const int warp = t / 32;
    const int* row = &out[static_cast<size_t>(8 * t)];
    uint32_t ballot = 0;
    for (int l = 0; l < 32; ++l) ballot |= static_cast<uint32_t>((32 * warp + l) % 3 == 0) << l;
    CHECK(static_cast<uint32_t>(row[0]) == ballot, t);
    CHECK(row[1] == (warp == 1) && row[2] == (warp < 2), t);
    CHECK(row[3] == 1 && row[4] == 0 && row[5] == 50, t);
    CHECK(row[6] == 32 * 32 * warp + 496 && row[7] == -32 * warp, t);
  }
}

namespace {

// Lanes of one warp in two independent groups.
__global__ void two_groups_kernel(int* out) {
  const int t = static_cast<int>(threadIdx.x);
  const uint32_t mask = t < 10 ? 0x3FFu : ~0x3FFu;
  if (t < 10) {
    for (int i = 0; i < 3; ++i) out[t] = __shfl_xor_sync(mask, t, 1);
  } else {
    out[t] = static_cast<int>(__ballot_sync(mask, 1));
  }
}

__global__ void histogram_kernel(int* out, int n) {
  COUNTENANCE_SHARED(int, bins, [4]);
  const int t = static_cast<int>(threadIdx.x);
  if (t < 4) bins[t] = 0;
  __syncthreads();
  for (int i = t; i < n; i += kThreads) atomicAdd(&bins[i * i % 4], 1);
  atomicMax(&out[4], t);
  atomicMin(&out[5], -t);
  __syncthreads();
  if (t < 4) atomicAdd(&out[t], bins[t]);
}

__global__ void block_sum_kernel(double* out) {
  COUNTENANCE_SHARED(double, partial, [kWarp]);
  const double first = block_sum(1.0 + threadIdx.x, partial);
  const double second = block_sum(2.0, partial);
  out[threadIdx.x] = first + 1000 * second;
}

}  // namespace

TEST(groups_of_lanes_do_not_wait_for_each_other) {
  const std::vector<int> out = run_kernel<int>(32, 32, two_groups_kernel);
  for (int t = 0; t < 32; ++t) {
    CHECK(out[static_cast<size_t>(t)] == (t < 10 ? t ^ 1 : static_cast<int>(~0x3FFu)), t);
  }
}

TEST(atomics_count) {
  const std::vector<int> out = run_kernel<int>(kThreads, 6, histogram_kernel, 1001);
  CHECK(out == std::vector<int>({501, 500, 0, 0, kThreads - 1, 1 - kThreads}));
}

TEST(block_sums_are_the_same_for_all) {
  for (int threads : {32, 96, 1024}) {
    const std::vector<double> out = run_kernel<double>(threads, threads, block_sum_kernel);
    const double want = threads * (threads + 1) / 2 + 1000.0 * 2 * threads;
    CHECK(std::all_of(out.begin(), out.end(), [&](double v) { return v == want; }), threads);
  }
}

namespace {

__global__ void where_kernel(int* out) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] += 1;
}

}  // namespace

TEST(every_thread_of_a_grid_runs_once) {
  const Stream stream = make_stream();
  const DeviceArray<int> out(std::vector<int>(2 * 3 * 4 * 5 * 6 * 7), stream);
  launch("where", stream, {dim3(2, 3, 4), dim3(5, 6, 7)}, where_kernel, out.data());
  for (int v : out.get()) CHECK(v == 1);
}

// ---- Streams: as late as possible ----

namespace {

__global__ void add_kernel(int* place, int value) { *place += value; }

}  // namespace

TEST(streams_wait_until_they_are_waited_for) {
  const Stream first = make_stream(), second = make_stream();
  const Event moment = make_event();
  const DeviceArray<int> number(std::vector<int>{1}, first);
  const PinnedMemory pinned = make_pinned_memory(sizeof(int));
  int& seen = *static_cast<int*>(pinned.data());
  seen = -1;
  launch("add", first, {dim3(1), dim3(1)}, add_kernel, number.data(), 10);
  COUNTENANCE_CUDA(cudaEventRecord(moment, first));
  launch("add", first, {dim3(1), dim3(1)}, add_kernel, number.data(), 100);
  // The second stream must see the first addition and nothing more.
  COUNTENANCE_CUDA(cudaStreamWaitEvent(second, moment, 0));
  COUNTENANCE_CUDA(
      cudaMemcpyAsync(&seen, number.data(), sizeof seen, cudaMemcpyDeviceToHost, second));
  CHECK(seen == -1, "nothing was waited for");
  COUNTENANCE_CUDA(cudaStreamSynchronize(second));
  CHECK(seen == 11, seen);
  CHECK(number.get() == std::vector<int>{111});
}

TEST(pinned_memory_may_not_be_reused_before_its_copy) {
  const Stream stream = make_stream();
  const PinnedMemory pinned = make_pinned_memory(sizeof(int));
  int& source = *static_cast<int*>(pinned.data());
  const DeviceArray<int> number(std::vector<int>{0}, stream);
  source = 1;
  COUNTENANCE_CUDA(
      cudaMemcpyAsync(number.data(), &source, sizeof source, cudaMemcpyHostToDevice, stream));
  source = 2;
  CHECK(number.get() == std::vector<int>{2}, "the copy reads what stands there later");
}

TEST(a_graph_runs_what_was_captured) {
  const Stream stream = make_stream();
  const DeviceArray<int> number(std::vector<int>{0}, stream);
  COUNTENANCE_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  launch("add", stream, {dim3(1), dim3(1)}, add_kernel, number.data(), 3);
  CHECK(error_code([&] { COUNTENANCE_CUDA(cudaStreamSynchronize(stream)); }) == code::kInternal);
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, 16) == cudaErrorStreamCaptureUnsupported);
  cudaGraph_t captured = nullptr;
  COUNTENANCE_CUDA(cudaStreamEndCapture(stream, &captured));
  const Graph graph(captured);
  cudaGraphExec_t instance = nullptr;
  COUNTENANCE_CUDA(cudaGraphInstantiate(&instance, graph, 0));
  const GraphExec exec(instance);
  CHECK(number.get() == std::vector<int>{0}, "a capture runs nothing");
  for (int i = 0; i < 2; ++i) COUNTENANCE_CUDA(cudaGraphLaunch(exec, stream));
  CHECK(number.get() == std::vector<int>{6});
}

TEST(copies_know_their_direction) {
  const Stream stream = make_stream();
  const DeviceArray<int> number(std::vector<int>{5}, stream);
  int host = 0;
  CHECK(cudaMemcpyAsync(&host, number.data(), 4, cudaMemcpyHostToDevice, stream) ==
        cudaErrorInvalidValue);
  CHECK(cudaMemcpyAsync(number.data() + 1, &host, 4, cudaMemcpyHostToDevice, stream) ==
            cudaErrorInvalidValue,
        "behind the end");
}

}  // namespace countenance::test
