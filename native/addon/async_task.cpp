#include "addon/async_task.h"

#include <utility>

namespace countenance::addon {

namespace {

class AsyncTask final : public Napi::AsyncWorker {
 public:
  AsyncTask(Napi::Env env, std::function<void()> work, MakeResult result)
      : Napi::AsyncWorker(env, "countenance"),
        deferred_(Napi::Promise::Deferred::New(env)),
        work_(std::move(work)),
        result_(std::move(result)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    try {
      work_();
    } catch (...) {
      failure_ = std::current_exception();
    }
  }
  void OnOK() override { settle(Env(), deferred_, failure_, result_); }

 private:
  Napi::Promise::Deferred deferred_;
  std::function<void()> work_;
  MakeResult result_;
  std::exception_ptr failure_;
};

}  // namespace

Napi::Promise run_async(Napi::Env env, std::function<void()> work, MakeResult result) {
  auto* task = new AsyncTask(env, std::move(work), std::move(result));  // deletes itself
  const Napi::Promise promise = task->promise();
  task->Queue();
  return promise;
}

}  // namespace countenance::addon
