#include "addon/model_state.h"

#include <utility>

namespace countenance::addon {

ModelState::ModelState(Napi::Env env, std::unique_ptr<Model> made, Settings chosen)
    : model(std::move(made)),
      evaluator(std::make_unique<Evaluator>(*model, chosen.precision)),
      settings(std::move(chosen)),
      queue(env, [this] { free_closed(); }) {
  const ParameterTable& table = model->table();
  memory.emplace(env, (table.trained_elements() + table.statistic_elements()) *
                          static_cast<int64_t>(sizeof(float)));
}

void ModelState::close() {
  if (closed) return;
  closed = true;
  queue.cancel();
  if (!queue.busy()) free_closed();
}

void ModelState::free_closed() {
  std::erase_if(trainers, [this](const std::weak_ptr<TrainerState>& weak) {
    const auto state = weak.lock();
    if (state && (closed || state->closed)) {
      state->trainer.reset();
      state->memory.reset();
    }
    return !state || !state->trainer;
  });
  if (!closed) return;
  evaluator.reset();
  model.reset();
  memory.reset();
}

void ModelState::require_open(const char* what) const {
  if (closed) fail(code::kClosed, what, " was used after it was closed");
}

void ModelState::require_idle(const char* what) const {
  if (queue.busy()) fail(code::kBusy, what, " is busy: wait for its running job to end");
}

}  // namespace countenance::addon
