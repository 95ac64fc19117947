#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "core/function_ref.h"

namespace countenance {

// A fixed set of threads for loops over independent pieces of work. The caller takes part, so a
// pool of size 1 has no thread of its own. One loop at a time; the owner serialises its callers.
class ThreadPool {
 public:
  // threads: 1..kMaxThreads.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  static constexpr int kMaxThreads = 256;
  // Threads the process may use: the affinity mask's size, at least 1.
  static int available_threads();

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(begin, end, worker) on disjoint pieces of at most `grain` indices that cover
  // [0, count). Which worker (0..size()-1) gets which piece is not fixed: results must depend on
  // the index only; `worker` is for scratch memory. The first exception is rethrown here.
  void parallel_for(int64_t count, int64_t grain,
                    FunctionRef<void(int64_t begin, int64_t end, int worker)> body);

 private:
  struct Loop;
  void stop();
  void work(int worker);
  static void run_pieces(Loop& loop, int worker);

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> generation_{0};
  std::atomic<Loop*> loop_{nullptr};
  std::atomic<int> busy_{0};  // workers that may still touch the current loop
  bool stopping_ = false;
};

}  // namespace countenance
