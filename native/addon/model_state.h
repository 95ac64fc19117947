#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "addon/external_memory.h"
#include "addon/job_queue.h"
#include "backend/cpu/cpu_backend.h"
#include "infer/evaluator.h"
#include "train/trainer.h"

namespace countenance::addon {

struct ModelState;

// What a trainer's JavaScript object and its jobs share.
struct TrainerState {
  std::shared_ptr<ModelState> model;
  std::unique_ptr<Trainer> trainer;  // null once closed and idle
  std::optional<ExternalMemory> memory;
  bool closed = false;
};

// What a model's JavaScript object, its trainers and its jobs share. Everything but what a job's
// work touches belongs to the JavaScript thread; the model and its trainers belong to the queue's
// thread while the queue is busy.
struct ModelState {
  struct Settings {
    int threads;
    Isa isa;
    bool is_cpu;
    Precision precision;   // of evaluation
    std::string fallback;  // why 'auto' did not take the GPU, else empty
  };
  ModelState(Napi::Env env, std::unique_ptr<Model> made, Settings chosen);

  // Accepts no more work: running jobs are aborted, and the memory is freed once no job is left.
  void close();
  // Frees what was closed; called when no job is left.
  void free_closed();
  // Guards. what: "the model", "the trainer".
  void require_open(const char* what) const;
  void require_idle(const char* what) const;

  std::unique_ptr<Model> model;  // null once closed and idle
  std::unique_ptr<Evaluator> evaluator;
  std::optional<ExternalMemory> memory;
  Normalization normalization;
  std::vector<std::weak_ptr<TrainerState>> trainers;
  const Settings settings;
  bool closed = false;
  JobQueue queue;  // last: its thread ends before the data it works on is destroyed
};

// The rest of a job on an asynchronous device; on other devices it is done at once.
template <class F>
Rest now_or_later(const Backend& backend, F&& rest) {
  if (backend.asynchronous()) return rest;
  rest();
  return nullptr;
}

}  // namespace countenance::addon
