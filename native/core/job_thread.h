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
  // owner: identifies the job to JobThread::cancel; never dereferenced.
  explicit Job(const void* owner) : owner_(owner) {}
  virtual ~Job() = default;
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  // Runs on the thread. What it throws becomes failure(). Returns true if finish() must still be
  // called: the work continues on a device by itself.
  virtual bool run() = 0;
  // Runs on the thread, later. Waits for the work that run() started. What it throws becomes
  // failure().
  virtual void finish() {}

  const void* owner() const { return owner_; }
  // To be checked while running; true once the job is cancelled.
  const std::atomic<bool>& cancelled() const { return cancelled_; }
  // Null after a successful run; ERR_ABORTED for a job cancelled before it started.
  std::exception_ptr failure() const { return failure_; }

 private:
  friend class JobThread;

  const void* owner_;
  std::atomic<bool> cancelled_{false};
  std::exception_ptr failure_;
  bool unfinished_ = false;
};

// Runs jobs one after another, in order, on a thread that starts with the first one. If a job
// continues on a device by itself, the next job, if any, starts before that one is finished: at
// most one is ahead.
class JobThread {
 public:
  // finished: receives each job on the thread, after its run. It must not throw, nor destroy the
  // JobThread.
  explicit JobThread(std::function<void(std::unique_ptr<Job>)> finished)
      : finished_(std::move(finished)) {}
  // Like stop(); jobs that had not started are dropped.
  ~JobThread();
  JobThread(const JobThread&) = delete;
  JobThread& operator=(const JobThread&) = delete;

  void post(std::unique_ptr<Job> job);
  // Cancels one owner's running and waiting jobs, or all jobs for nullptr. They still reach
  // `finished`.
  void cancel(const void* owner = nullptr);
  // Cancels the running job, waits for it to end and returns the jobs that had not started. Nothing
  // can be posted afterwards.
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
