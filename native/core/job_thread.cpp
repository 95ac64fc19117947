#include "core/job_thread.h"

#include <utility>

#include "core/error.h"

namespace countenance {

JobThread::~JobThread() { stop(); }

void JobThread::post(std::unique_ptr<Job> job) {
  {
    std::lock_guard lock(mutex_);
    ensure(!stopping_, "a job was posted to a stopped thread");
    waiting_.push_back(std::move(job));
    if (!thread_.joinable()) {
      try {
        thread_ = std::thread([this] { work(); });
      } catch (...) {
        waiting_.pop_back();
        throw;
      }
    }
  }
  wake_.notify_one();
}

void JobThread::cancel(const void* owner) {
  std::lock_guard lock(mutex_);
  const auto mark = [owner](Job& job) {
    if (!owner || job.owner_ == owner) job.cancelled_.store(true, std::memory_order_relaxed);
  };
  if (running_) mark(*running_);
  for (const auto& job : waiting_) mark(*job);
}

std::deque<std::unique_ptr<Job>> JobThread::stop() {
  std::deque<std::unique_ptr<Job>> unstarted;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    if (running_) running_->cancelled_.store(true, std::memory_order_relaxed);
    unstarted.swap(waiting_);
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
  return unstarted;
}

// The job to start; null when one in flight should be finished first, or the queue has ended.
std::unique_ptr<Job> JobThread::next() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [this] { return stopping_ || !waiting_.empty() || !in_flight_.empty(); });
  if (stopping_ || waiting_.empty()) return nullptr;
  std::unique_ptr<Job> job = std::move(waiting_.front());
  waiting_.pop_front();
  running_ = job.get();
  return job;
}

void JobThread::begin(std::unique_ptr<Job> job) {
  try {
    if (job->cancelled_.load(std::memory_order_relaxed)) {
      fail(code::kAborted, "the job was aborted before it started");
    }
    job->unfinished_ = job->run();
  } catch (...) {
    job->failure_ = std::current_exception();
  }
  {
    std::lock_guard lock(mutex_);
    running_ = nullptr;
  }
  in_flight_.push_back(std::move(job));
}

void JobThread::finish_first() {
  std::unique_ptr<Job> job = std::move(in_flight_.front());
  in_flight_.pop_front();
  try {
    if (job->unfinished_) job->finish();
  } catch (...) {
    job->failure_ = std::current_exception();
  }
  finished_(std::move(job));
}

void JobThread::work() {
  for (;;) {
    if (auto job = next()) {
      begin(std::move(job));
    } else if (!in_flight_.empty()) {
      finish_first();
    } else {
      return;
    }
    while (!in_flight_.empty() && (in_flight_.size() > 1 || !in_flight_.front()->unfinished_))
      finish_first();
  }
}

}  // namespace countenance
