#include <chrono>

#include "core/error.h"
#include "core/job_thread.h"
#include "harness/harness.h"

using namespace countenance;
using namespace countenance::test;

namespace {

class FunctionJob final : public Job {
 public:
  FunctionJob(const void* owner, std::function<void(const std::atomic<bool>&)> work)
      : Job(owner), work_(std::move(work)) {}
  bool run() override {
    work_(cancelled());
    return false;
  }

 private:
  std::function<void(const std::atomic<bool>&)> work_;
};

// As on a device: started in run(), waited for in finish().
class TwoPartJob final : public Job {
 public:
  TwoPartJob(const void* owner, std::function<void()> begin, std::function<void()> end)
      : Job(owner), begin_(std::move(begin)), end_(std::move(end)) {}
  bool run() override {
    begin_();
    return true;
  }
  void finish() override { end_(); }

 private:
  std::function<void()> begin_;
  std::function<void()> end_;
};

// The finished jobs, in order.
class Finished {
 public:
  void add(std::unique_ptr<Job> job) {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    changed_.notify_all();
  }
  void wait_for(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return jobs_.size() >= count; });
  }
  std::string code_of(size_t i) {
    std::lock_guard lock(mutex_);
    if (!jobs_[i]->failure()) return "";
    return error_code([&] { std::rethrow_exception(jobs_[i]->failure()); });
  }
  size_t size() {
    std::lock_guard lock(mutex_);
    return jobs_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Job>> jobs_;
};

void wait_until_cancelled(const std::atomic<bool>& cancelled) {
  while (!cancelled.load()) std::this_thread::yield();
  fail(code::kAborted, "cancelled while running");
}

}  // namespace

TEST(job_thread_runs_in_order_and_keeps_failures) {
  Finished finished;
  JobThread thread([&](std::unique_ptr<Job> job) { finished.add(std::move(job)); });
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) {
    thread.post(std::make_unique<FunctionJob>(nullptr, [&order, i](const std::atomic<bool>&) {
      order.push_back(i);
      if (i == 50) fail(code::kNotFinite, "fifty");
    }));
  }
  finished.wait_for(100);
  for (int i = 0; i < 100; ++i) CHECK(order[static_cast<size_t>(i)] == i);
  CHECK(finished.code_of(50) == code::kNotFinite);
  CHECK(finished.code_of(51).empty());
}

TEST(job_thread_cancels_what_runs_and_what_waits_of_one_owner) {
  Finished finished;
  const int a = 0;
  const int b = 0;
  std::atomic<bool> started{false};
  std::atomic<int> ran{0};
  JobThread thread([&](std::unique_ptr<Job> job) { finished.add(std::move(job)); });
  thread.post(std::make_unique<FunctionJob>(&a, [&](const std::atomic<bool>& cancelled) {
    started.store(true);
    wait_until_cancelled(cancelled);
  }));
  thread.post(std::make_unique<FunctionJob>(&a, [&](const std::atomic<bool>&) { ++ran; }));
  thread.post(std::make_unique<FunctionJob>(&b, [&](const std::atomic<bool>&) { ++ran; }));
  while (!started.load()) std::this_thread::yield();
  thread.cancel(&a);
  finished.wait_for(3);
  CHECK(finished.code_of(0) == code::kAborted);
  CHECK(finished.code_of(1) == code::kAborted);
  CHECK(finished.code_of(2).empty());
  CHECK(ran.load() == 1);
}

TEST(job_thread_stops_at_any_moment) {
  // For the thread sanitizer: threads that post, cancel and stop against each other.
  for (int round = 0; round < 200; ++round) {
    Finished finished;
    std::atomic<int> ran{0};
    size_t unstarted = 0;
    {
      JobThread thread([&](std::unique_ptr<Job> job) { finished.add(std::move(job)); });
      for (int i = 0; i < 20; ++i) {
        thread.post(std::make_unique<FunctionJob>(&ran, [&](const std::atomic<bool>& cancelled) {
          ++ran;
          for (int spin = 0; spin < 100 && !cancelled.load(); ++spin) std::this_thread::yield();
        }));
        if (i == round % 20) thread.cancel(&ran);
      }
      if (round % 3 == 0) finished.wait_for(static_cast<size_t>(round % 20));
      unstarted = thread.stop().size();
      CHECK(error_code([&] {
              thread.post(std::make_unique<FunctionJob>(nullptr, [](const std::atomic<bool>&) {}));
            }) == code::kInternal);
    }
    CHECK(finished.size() + unstarted == 20, finished.size(), " + ", unstarted);
    CHECK(static_cast<size_t>(ran.load()) <= finished.size());
  }
}

TEST(job_thread_begins_one_job_ahead_and_finishes_in_order) {
  Finished finished;
  JobThread thread([&](std::unique_ptr<Job> job) { finished.add(std::move(job)); });
  std::string order;
  std::atomic<bool> go{false};
  thread.post(std::make_unique<FunctionJob>(nullptr, [&](const std::atomic<bool>&) {
    while (!go.load()) std::this_thread::yield();
  }));
  const auto post = [&](char name, bool fails) {
    thread.post(std::make_unique<TwoPartJob>(
        nullptr, [&order, name] { order += name; },
        [&order, name, fails] {
          order += static_cast<char>(name - 'a' + 'A');
          if (fails) fail(code::kNotFinite, "no number");
        }));
  };
  post('a', false);
  post('b', true);
  post('c', false);
  thread.post(
      std::make_unique<FunctionJob>(nullptr, [&](const std::atomic<bool>&) { order += '.'; }));
  post('d', false);
  go.store(true);
  finished.wait_for(6);
  CHECK(order == "abAcB.CdD", order);
  CHECK(finished.code_of(1).empty() && finished.code_of(2) == code::kNotFinite &&
        finished.code_of(3).empty() && finished.code_of(5).empty());
  // Alone, a job is finished without waiting for another.
  post('e', false);
  finished.wait_for(7);
  CHECK(order == "abAcB.CdDeE", order);
}

TEST(job_thread_finishes_what_is_in_flight_before_it_stops) {
  for (int round = 0; round < 50; ++round) {
    Finished finished;
    std::atomic<int> started{0}, ended{0};
    JobThread thread([&](std::unique_ptr<Job> job) { finished.add(std::move(job)); });
    for (int i = 0; i < 6; ++i) {
      thread.post(std::make_unique<TwoPartJob>(
          nullptr, [&] { ++started; }, [&] { ++ended; }));
    }
    if (round % 2) finished.wait_for(static_cast<size_t>(round % 6));
    const size_t unstarted = thread.stop().size();
    CHECK(started.load() == ended.load() && finished.size() + unstarted == 6, started.load(), " ",
          ended.load(), " ", unstarted);
  }
}
