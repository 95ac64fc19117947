#include "addon/job_queue.h"

#include <utility>

namespace countenance::addon {

class JobQueue::PromiseJob final : public Job {
 public:
  PromiseJob(Napi::Env env, const void* owner, Work work, MakeResult result)
      : Job(owner),
        deferred_(Napi::Promise::Deferred::New(env)),
        work_(std::move(work)),
        result_(std::move(result)) {}

  bool run() override {
    rest_ = work_(cancelled());
    return static_cast<bool>(rest_);
  }
  void finish() override { rest_(); }
  void settle_in(Napi::Env env) { settle(env, deferred_, failure(), result_); }
  Napi::Promise promise() const { return deferred_.Promise(); }

 private:
  Napi::Promise::Deferred deferred_;
  Work work_;
  Rest rest_;
  MakeResult result_;
};

JobQueue::JobQueue(Napi::Env env, std::function<void()> on_idle)
    : env_(env), on_idle_(std::move(on_idle)), thread_([this](std::unique_ptr<Job> job) {
        // The channel outlives the thread (clean_up), so it accepts every job.
        channel_.NonBlockingCall(static_cast<PromiseJob*>(job.release()));
      }) {}

JobQueue::~JobQueue() {
  thread_.stop();
  if (!open_ || environment_gone_) return;
  napi_remove_env_cleanup_hook(env_, clean_up, this);
  channel_.Release();
}

void JobQueue::open() {
  if (open_) return;
  channel_ = Channel::New(env_, "countenance", 0, 1, this);
  channel_.Unref(env_);
  // Hooks run last in, first out: this one runs before the channel's own, which would free the
  // channel while the thread still uses it.
  if (napi_add_env_cleanup_hook(env_, clean_up, this) != napi_ok) {
    channel_.Release();
    fail(code::kInternal, "the environment takes no clean-up hook");
  }
  open_ = true;
}

Napi::Promise JobQueue::post(const void* owner, Work work, MakeResult result) {
  if (environment_gone_) fail(code::kClosed, "the environment is shutting down");
  open();
  auto job = std::make_unique<PromiseJob>(env_, owner, std::move(work), std::move(result));
  const Napi::Promise promise = job->promise();
  thread_.post(std::move(job));
  if (pending_++ == 0) channel_.Ref(env_);
  return promise;
}

void JobQueue::deliver(Napi::Env env, Napi::Function, JobQueue* queue, PromiseJob* raw) {
  const std::unique_ptr<PromiseJob> job(raw);
  if (env) queue->finish(env, *job);  // else the channel is only being emptied
}

void JobQueue::finish(Napi::Env env, PromiseJob& job) {
  if (--pending_ == 0) channel_.Unref(env);
  job.settle_in(env);
  if (pending_ == 0) on_idle_();
}

void JobQueue::clean_up(void* data) {
  auto* queue = static_cast<JobQueue*>(data);
  queue->environment_gone_ = true;
  // May hold the last reference to the queue, so they are dropped at the very end.
  const auto unstarted = queue->thread_.stop();
  queue->channel_.Release();
}

}  // namespace countenance::addon
