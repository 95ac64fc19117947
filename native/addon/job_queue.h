#pragma once

#include <functional>
#include <memory>

#include "addon/errors.h"
#include "addon/node.h"
#include "core/job_thread.h"

namespace countenance::addon {

// The rest of a job that continues on a device by itself: waits for it to end, on the queue's
// thread. Empty if nothing is left to do.
using Rest = std::function<void()>;
// Runs on the queue's thread. `cancelled` becomes true when the job's result is no longer wanted.
using Work = std::function<Rest(const std::atomic<bool>& cancelled)>;

// Runs the jobs of one model in order on a thread of its own and settles their promises on the
// JavaScript thread, which is the only one that calls these functions.
//
// Lifetime: a job's closures keep whatever holds this queue alive until the job is settled, and
// they are only destroyed on the JavaScript thread, so the thread never joins itself. When the
// environment ends (worker.terminate(), process exit), a cleanup hook cancels the running job,
// joins the thread and drops the other jobs unsettled.
class JobQueue {
 public:
  // on_idle: called once the last pending job has been settled.
  JobQueue(Napi::Env env, std::function<void()> on_idle);
  ~JobQueue();
  JobQueue(const JobQueue&) = delete;
  JobQueue& operator=(const JobQueue&) = delete;

  // The process does not exit before the promise is settled.
  Napi::Promise post(const void* owner, Work work, MakeResult result);
  // The owner's jobs (all jobs for nullptr) reject with ERR_ABORTED, the running one at its next
  // check. May be called from any thread.
  void cancel(const void* owner = nullptr) { thread_.cancel(owner); }
  // True while a job is waiting, running or not yet settled.
  bool busy() const { return pending_ > 0; }

 private:
  class PromiseJob;
  static void deliver(Napi::Env env, Napi::Function, JobQueue* queue, PromiseJob* job);
  using Channel = Napi::TypedThreadSafeFunction<JobQueue, PromiseJob, deliver>;

  void open();
  void finish(Napi::Env env, PromiseJob& job);
  static void clean_up(void* queue);

  Napi::Env env_;
  std::function<void()> on_idle_;
  Channel channel_;
  bool open_ = false;
  bool environment_gone_ = false;
  int64_t pending_ = 0;
  JobThread thread_;
};

}  // namespace countenance::addon
