#include "core/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <system_error>

#include "core/error.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace countenance {

namespace {

// How often a waiting thread polls before it sleeps: about 20 microseconds, the usual gap between
// two loops of a step. Longer spinning would steal the core of a second pool.
constexpr int kSpins = 2000;

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}

}  // namespace

struct ThreadPool::Loop {
  int64_t count;
  int64_t grain;
  FunctionRef<void(int64_t, int64_t, int)> body;
  std::atomic<int64_t> next{0};
  std::mutex failure_mutex{};
  std::exception_ptr failure{};
};

int ThreadPool::available_threads() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    return std::clamp(CPU_COUNT(&set), 1, kMaxThreads);
  }
#endif
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMaxThreads);
}

ThreadPool::ThreadPool(int threads) {
  require(threads >= 1 && threads <= kMaxThreads, "Expected between 1 and ", kMaxThreads,
          " threads but received ", threads);
  workers_.reserve(static_cast<size_t>(threads - 1));
  try {
    for (int worker = 1; worker < threads; ++worker) {
      workers_.emplace_back([this, worker] { work(worker); });
    }
  } catch (const std::system_error& error) {
    const size_t started = workers_.size();
    stop();  // a thread that is still joinable would end the process
    fail(code::kOutOfMemory, "cannot start ", threads, " threads (", started + 1,
         " were possible): ", error.what());
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run_pieces(Loop& loop, int worker) {
  for (;;) {
    const int64_t begin = loop.next.fetch_add(loop.grain, std::memory_order_relaxed);
    if (begin >= loop.count) return;
    try {
      loop.body(begin, std::min(begin + loop.grain, loop.count), worker);
    } catch (...) {
      std::lock_guard lock(loop.failure_mutex);
      if (!loop.failure) loop.failure = std::current_exception();
      loop.next.store(loop.count, std::memory_order_relaxed);
    }
  }
}

void ThreadPool::parallel_for(int64_t count, int64_t grain,
                              FunctionRef<void(int64_t, int64_t, int)> body) {
  if (count <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  if (workers_.empty() || count <= grain) {
    for (int64_t begin = 0; begin < count; begin += grain) {
      body(begin, std::min(begin + grain, count), 0);
    }
    return;
  }
  Loop loop{count, grain, body};
  {
    std::lock_guard lock(mutex_);
    loop_.store(&loop, std::memory_order_relaxed);
    busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  run_pieces(loop, 0);
  // Every worker passes through the loop once, so that none can touch it after we return.
  for (int spin = 0; busy_.load(std::memory_order_acquire) != 0; ++spin) {
    if (spin < kSpins) {
      relax();
    } else {
      std::this_thread::yield();
    }
  }
  if (loop.failure) std::rethrow_exception(loop.failure);
}

void ThreadPool::work(int worker) {
  uint64_t seen = 0;
  for (;;) {
    for (int spin = 0; spin < kSpins; ++spin) {
      if (generation_.load(std::memory_order_acquire) != seen) break;
      relax();
    }
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return generation_.load(std::memory_order_relaxed) != seen; });
      seen = generation_.load(std::memory_order_relaxed);
      if (stopping_) return;
    }
    run_pieces(*loop_.load(std::memory_order_relaxed), worker);
    busy_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace countenance
