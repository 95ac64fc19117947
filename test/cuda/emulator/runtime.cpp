#include "runtime.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

using Operation = std::function<void()>;

struct EmulatedGraph {
  std::vector<Operation> operations;
};

struct EmulatedStream {
  std::deque<Operation> waiting;
  uint64_t asked = 0;  // operations so far
  uint64_t done = 0;
  std::unique_ptr<EmulatedGraph> capture;
  std::thread::id capturer;
};

// Reached when the stream has done `asked` operations.
struct EmulatedEvent {
  cudaStream_t stream = nullptr;
  uint64_t asked = 0;
};

namespace {

// Several host threads may use the machine, one at a time; a kernel runs in the thread that waits.
struct Lock {
  Lock() { mutex().lock(); }
  ~Lock() { mutex().unlock(); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  static std::recursive_mutex& mutex() {
    static auto* all = new std::recursive_mutex;
    return *all;
  }
};

constexpr size_t kTail = 64;  // bytes after an allocation that must not change
constexpr uint8_t kTailByte = 0xB7;
constexpr uint8_t kNaNByte = 0xFF;
constexpr int kRuntimeVersion = 13000;

struct Allocation {
  size_t bytes;
  bool device;
};

// Never destroyed: backends in static variables free their memory after everything else.
struct State {
  std::map<char*, Allocation> allocations;
  size_t device_bytes = 0;
  std::map<cudaStream_t, std::unique_ptr<EmulatedStream>> streams;
  size_t other_handles = 0;
  int device = 0;
  cudaError_t last = cudaSuccess;
  std::exception_ptr failure;  // of a kernel that ran in a destructor; thrown at the next wait
  emulator::Hardware hardware;
};
State& state() {
  static State* all = new State;
  return *all;
}

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) state().last = error;
  return error;
}

// Under AddressSanitizer device memory is out of bounds except for kernels and copies: a host that
// dereferences a device pointer is reported.
void protect(bool on) {
#if defined(__SANITIZE_ADDRESS__)
  for (const auto& [memory, allocation] : state().allocations) {
    if (!allocation.device) continue;
    if (on) {
      __asan_poison_memory_region(memory, allocation.bytes);
    } else {
      __asan_unpoison_memory_region(memory, allocation.bytes);
    }
  }
#else
  (void)on;
#endif
}

struct DeviceAccess {
  DeviceAccess() { protect(false); }
  ~DeviceAccess() { protect(true); }
};

void advance(EmulatedStream& stream, uint64_t until) {
  while (stream.done < until && !stream.waiting.empty()) {
    const Operation operation = std::move(stream.waiting.front());
    stream.waiting.pop_front();
    ++stream.done;
    try {
      operation();
    } catch (...) {
      // What follows would work on undefined data.
      for (const auto& [other, owner] : state().streams) {
        other->waiting.clear();
        other->done = other->asked;
      }
      throw;
    }
  }
}

// For destructors, which must not throw.
void advance_all_quietly() {
  try {
    for (const auto& [stream, owner] : state().streams) advance(*stream, stream->asked);
  } catch (...) {
    state().failure = std::current_exception();
  }
}

// Whether this thread captures: cudaStreamCaptureModeThreadLocal.
bool capturing() {
  for (const auto& [stream, owner] : state().streams) {
    if (stream->capture && stream->capturer == std::this_thread::get_id()) return true;
  }
  return false;
}

// An operation that the host waits for cannot be captured.
cudaError_t wait_for(EmulatedStream& stream, uint64_t until) {
  if (capturing() || stream.capture) return result(cudaErrorStreamCaptureUnsupported);
  if (state().failure) std::rethrow_exception(std::exchange(state().failure, nullptr));
  advance(stream, until);
  return cudaSuccess;
}

cudaError_t ask(cudaStream_t stream, Operation operation) {
  if (!state().streams.count(stream)) return result(cudaErrorInvalidResourceHandle);
  if (stream->capture) {
    stream->capture->operations.push_back(std::move(operation));
    return cudaSuccess;
  }
  ++stream->asked;
  stream->waiting.push_back(std::move(operation));
  return cudaSuccess;
}

const Allocation* allocation_of(const void* pointer, bool device) {
  auto& all = state().allocations;
  char* p = static_cast<char*>(const_cast<void*>(pointer));
  auto after = all.upper_bound(p);
  if (after == all.begin()) return nullptr;
  --after;
  const bool inside = p < after->first + after->second.bytes;
  return inside && after->second.device == device ? &after->second : nullptr;
}

cudaError_t allocate(void** memory, size_t bytes, bool device) {
  const Lock lock;
  *memory = nullptr;
  if (capturing()) return result(cudaErrorStreamCaptureUnsupported);
  if (bytes == 0) return cudaSuccess;
  State& s = state();
  if (device && bytes > s.hardware.memory - std::min(s.hardware.memory, s.device_bytes)) {
    return result(cudaErrorMemoryAllocation);
  }
  char* p = static_cast<char*>(std::aligned_alloc(256, (bytes + kTail + 255) / 256 * 256));
  if (!p) return result(cudaErrorMemoryAllocation);
  std::memset(p, kNaNByte, bytes);
  std::memset(p + bytes, kTailByte, kTail);
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(p + bytes, kTail);
#endif
  s.allocations[p] = {bytes, device};
  if (device) s.device_bytes += bytes;
  protect(true);
  *memory = p;
  return cudaSuccess;
}

// Reported once: the tail is restored afterwards.
void check_tail([[maybe_unused]] char* memory, [[maybe_unused]] size_t bytes) {
#if !defined(__SANITIZE_ADDRESS__)
  char whole[kTail];
  std::memset(whole, kTailByte, kTail);
  if (std::memcmp(memory + bytes, whole, kTail) == 0) return;
  std::memcpy(memory + bytes, whole, kTail);
  throw emulator::Failure("something was written behind an allocation of " + std::to_string(bytes) +
                          " bytes");
#endif
}

cudaError_t release(void* memory, bool device) {
  const Lock lock;
  if (!memory) return cudaSuccess;
  State& s = state();
  const auto found = s.allocations.find(static_cast<char*>(memory));
  if (found == s.allocations.end() || found->second.device != device) {
    return result(cudaErrorInvalidValue);
  }
  advance_all_quietly();  // as the runtime does: freeing waits for the device
  const auto [p, allocation] = *found;
  try {
    check_tail(p, allocation.bytes);
  } catch (...) {
    s.failure = std::current_exception();
  }
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(p, allocation.bytes + kTail);
#endif
  if (device) s.device_bytes -= allocation.bytes;
  s.allocations.erase(found);
  std::free(p);
  return cudaSuccess;
}

}  // namespace

cudaError_t cudaGetLastError() {
  const Lock lock;
  return std::exchange(state().last, cudaSuccess);
}

cudaError_t cudaGetDeviceCount(int* count) {
  const Lock lock;
  const emulator::Hardware& h = state().hardware;
  *count = h.error == cudaSuccess ? h.devices : 0;
  return result(h.error);
}
cudaError_t cudaSetDevice(int device) {
  const Lock lock;
  if (device < 0 || device >= state().hardware.devices) return result(cudaErrorInvalidDevice);
  state().device = device;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  const Lock lock;
  *device = state().device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  const Lock lock;
  if (device < 0 || device >= state().hardware.devices) return result(cudaErrorInvalidDevice);
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "Emulated GPU");
  properties->major = state().hardware.capability / 10;
  properties->minor = state().hardware.capability % 10;
  properties->multiProcessorCount = state().hardware.multiprocessors;
  properties->totalGlobalMem = state().hardware.memory;
  properties->sharedMemPerBlockOptin = 163 * 1024;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = state().hardware.driver_version;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = kRuntimeVersion;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  const Lock lock;
  for (const auto& [stream, owner] : state().streams) {
    const cudaError_t error = wait_for(*stream, stream->asked);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const Lock lock;
  *total = state().hardware.memory;
  *free = *total - std::min(*total, state().device_bytes);
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, size_t bytes) { return allocate(memory, bytes, true); }
cudaError_t cudaFree(void* memory) { return release(memory, true); }
cudaError_t cudaMallocHost(void** memory, size_t bytes) { return allocate(memory, bytes, false); }
cudaError_t cudaFreeHost(void* memory) { return release(memory, false); }

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const Lock lock;
  if (bytes == 0) return cudaSuccess;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if ((allocation_of(to, true) != nullptr) != to_device ||
      (allocation_of(from, true) != nullptr) != from_device) {
    return result(cudaErrorInvalidValue);
  }
  const auto copy = [](void* target, const void* source, size_t size) {
    const DeviceAccess access;
    std::memcpy(target, source, size);
  };
  if (!from_device && !allocation_of(from, false)) {
    // Pageable memory is staged before the call returns.
    std::vector<char> staged(static_cast<const char*>(from),
                             static_cast<const char*>(from) + bytes);
    return ask(stream, [=, staged = std::move(staged)] { copy(to, staged.data(), bytes); });
  }
  const cudaError_t error = ask(stream, [=] { copy(to, from, bytes); });
  // A copy to pageable memory waits until it is done.
  if (error == cudaSuccess && !to_device && !allocation_of(to, false)) {
    return cudaStreamSynchronize(stream);
  }
  return error;
}

cudaError_t cudaMemsetAsync(void* memory, int byte, size_t bytes, cudaStream_t stream) {
  const Lock lock;
  if (bytes == 0) return cudaSuccess;
  if (!allocation_of(memory, true)) return result(cudaErrorInvalidValue);
  return ask(stream, [=] {
    const DeviceAccess access;
    std::memset(memory, byte, bytes);
  });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const Lock lock;
  auto made = std::make_unique<EmulatedStream>();
  *stream = made.get();
  state().streams[*stream] = std::move(made);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const Lock lock;
  if (!state().streams.count(stream)) return result(cudaErrorInvalidResourceHandle);
  advance_all_quietly();
  state().streams.erase(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const Lock lock;
  if (!state().streams.count(stream)) return result(cudaErrorInvalidResourceHandle);
  return wait_for(*stream, stream->asked);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const Lock lock;
  if (!event->stream) return cudaSuccess;  // never recorded
  const EmulatedEvent moment = *event;
  return ask(stream, [moment] {
    if (state().streams.count(moment.stream)) advance(*moment.stream, moment.asked);
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  const Lock lock;
  *event = new EmulatedEvent;
  ++state().other_handles;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const Lock lock;
  delete event;
  --state().other_handles;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const Lock lock;
  if (!state().streams.count(stream)) return result(cudaErrorInvalidResourceHandle);
  if (stream->capture) return result(cudaErrorStreamCaptureUnsupported);
  *event = {stream, stream->asked};
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const Lock lock;
  if (!event->stream || !state().streams.count(event->stream)) return cudaSuccess;
  return wait_for(*event->stream, event->asked);
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  const Lock lock;
  if (!state().streams.count(stream)) return result(cudaErrorInvalidResourceHandle);
  stream->capture = std::make_unique<EmulatedGraph>();
  stream->capturer = std::this_thread::get_id();
  ++state().other_handles;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const Lock lock;
  *graph = stream->capture.release();
  return *graph ? cudaSuccess : result(cudaErrorStreamCaptureInvalidated);
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  const Lock lock;
  *exec = new EmulatedGraph(*graph);
  ++state().other_handles;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  const Lock lock;
  for (const Operation& operation : exec->operations) {
    const cudaError_t error = ask(stream, operation);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const Lock lock;
  delete graph;
  --state().other_handles;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { return cudaGraphDestroy(exec); }

namespace emulator {

cudaError_t enqueue(cudaStream_t stream, const Launch& launch, std::function<void()> body) {
  const Lock lock;
  if (!valid(launch)) return result(cudaErrorInvalidConfiguration);
  return ask(stream, [launch, body = std::move(body)] {
    {
      const DeviceAccess access;
      run(launch, body);
    }
    check_allocations();
  });
}

Hardware& hardware() { return state().hardware; }

Resources resources() {
  const Lock lock;
  const State& s = state();
  return {s.device_bytes, s.allocations.size(), s.streams.size() + s.other_handles};
}

void check_allocations() {
  const Lock lock;
  for (const auto& [memory, allocation] : state().allocations) {
    check_tail(memory, allocation.bytes);
  }
}

}  // namespace emulator
