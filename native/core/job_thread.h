#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace countenance {

// A piece of work for a JobThread.
class Job {
 public:
  // owner: whom JobThread::cancel names; never dereferenced.
  explicit Job(const void* owner) : owner_(owner) {}
  virtual ~Job() = default;
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  // On the thread. What it throws becomes failure(). True if finish() must still be called: the
  // work continues on a device.
  virtual bool run() = 0;
  // On the thread, later. Waits for the end of what run() began. What it throws becomes failure().
  virtual void finish() {}

  const void* owner() const { return owner_; }
  // Poll it while running; true once the job is cancelled.
  const std::atomic<bool>& cancelled() const { return cancelled_; }
  // Null after a run that went well; ERR_ABORTED for a job cancelled before it started.
  std::exception_ptr failure() const { return failure_; }

 private:
  friend class JobThread;

  const void* owner_;
  std::atomic<bool> cancelled_{false};
  std::exception_ptr failure_;
  bool unfinished_ = false;
};

// Runs jobs one after another, in order, on a thread that starts with the first one. While a
// job's work continues on a device, the next one may start: at most one is ahead.
class JobThread {
 public:
  // finished: receives each job on the thread, after its run. It must not throw, nor destroy the
  // JobThread.
  explicit JobThread(std::function<void(std::unique_ptr<Job>)> finished)
      : finished_(std::move(finished)) {}
  // As stop(); the jobs that had not started are dropped.
  ~JobThread();
  JobThread(const JobThread&) = delete;
  JobThread& operator=(const JobThread&) = delete;

  void post(std::unique_ptr<Job> job);
  // Cancels the running job and the waiting ones of one owner, of all for nullptr. They still reach
  // `finished`.
  void cancel(const void* owner = nullptr);
  // Cancels the running job, waits for its end and returns the jobs that had not started.
  // Nothing can be posted afterwards.
  std::deque<std::unique_ptr<Job>> stop();

 private:
  void work();
  std::unique_ptr<Job> next();
  void begin(std::unique_ptr<Job> job);
  void finish_first();

  std::function<void(std::unique_ptr<Job>)> finished_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::unique_ptr<Job>> waiting_;
  std::deque<std::unique_ptr<Job>> in_flight_;  // used by the thread only
  Job* running_ = nullptr;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace countenance
