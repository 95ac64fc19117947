#include "addon/trainer_object.h"

#include <utility>

#include "addon/convert.h"
#include "addon/instance.h"
#include "addon/model_object.h"
#include "addon/train_options.h"
#include "core/thread_pool.h"

namespace countenance::addon {

namespace {

using Payload = Napi::External<std::shared_ptr<TrainerState>>;

// One step's arguments, copied, and its result.
struct Step {
  CopiedImages images;
  std::vector<float> targets;
  std::vector<uint32_t> samples;
  int64_t size = 0;
  bool augment = false;
  uint64_t epoch = 0;
  float learning_rate = 0;
  Normalization normalization;
  StepResult result;

  TrainBatch batch() const {
    return {.images = images.batch(size),
            .targets = targets,
            .augment = augment,
            .epoch = epoch,
            .samples = samples,
            .learning_rate = learning_rate,
            .normalization = normalization};
  }
};

std::shared_ptr<Step> read_step(Napi::Value value) {
  const Napi::Object batch = read_object(value, "batch");
  auto step = std::make_shared<Step>();
  step->size = read_integer(batch.Get("size"), "size", 1, 1 << 30);
  step->augment = read_boolean(batch.Get("augment"), "augment");
  step->epoch = read_seed(batch.Get("epoch"), "epoch");
  step->learning_rate = read_float(batch.Get("learningRate"), "learningRate");
  step->images = read_images(batch.Get("images"));
  step->targets = read_floats(batch.Get("targets"), "targets");
  step->samples = read_indices(batch.Get("samples"), "samples");
  return step;
}

Napi::Value to_js(Napi::Env env, const StepResult& result) {
  auto object = Napi::Object::New(env);
  object.Set("loss", Napi::Number::New(env, result.loss));
  auto terms = Napi::Object::New(env);
  for (size_t i = 0; i < result.terms.size(); ++i) {
    terms.Set(text(env, loss_terms()[i].name), Napi::Number::New(env, result.terms[i]));
  }
  object.Set("terms", terms);
  object.Set("correct", Napi::Number::New(env, static_cast<double>(result.correct)));
  object.Set("gradientNorm", Napi::Number::New(env, result.gradient_norm));
  return object;
}

}  // namespace

Napi::Function TrainerObject::define(Napi::Env env) {
  return DefineClass(
      env, "NativeTrainer",
      {InstanceAccessor<&TrainerObject::step_count, &TrainerObject::set_step_count>("stepCount"),
       InstanceAccessor<&TrainerObject::steps_ahead>("stepsAhead"),
       InstanceMethod<&TrainerObject::step>("step"),
       InstanceMethod<&TrainerObject::read_gradient>("readGradient"),
       InstanceMethod<&TrainerObject::slots>("slots"),
       InstanceMethod<&TrainerObject::read_slot>("readSlot"),
       InstanceMethod<&TrainerObject::write_slot>("writeSlot"),
       InstanceMethod<&TrainerObject::swap_average>("swapAverage"),
       InstanceMethod<&TrainerObject::close>("close")});
}

Napi::Value TrainerObject::create(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::shared_ptr<ModelState> model = ModelObject::state_of(info[0]);
    const Napi::Object options_object = read_object(info[1], "options");
    const TrainOptions options = read_train_options(options_object);
    const int threads = static_cast<int>(
        read_integer(options_object.Get("threads"), "threads", 0, ThreadPool::kMaxThreads));
    // After the last getter, which could have closed the model.
    model->require_open("the model");
    std::shared_ptr<Backend> backend = model->model->shared_backend();
    const ModelState::Settings& settings = model->settings;
    if (settings.is_cpu && threads != 0 && threads != settings.threads) {
      backend = make_cpu_backend(threads, settings.isa);
    }

    auto state = std::make_shared<TrainerState>();
    state->model = model;
    state->trainer = std::make_unique<Trainer>(*model->model, options, std::move(backend));
    const auto arenas = static_cast<int64_t>(state->trainer->slots().size()) + 1;  // gradients
    state->memory.emplace(info.Env(), arenas * model->model->table().trained_elements() *
                                          static_cast<int64_t>(sizeof(float)));
    model->trainers.push_back(state);
    return instance_of(info.Env()).trainer_class.New({Payload::New(info.Env(), &state)});
  });
}

TrainerObject::TrainerObject(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<TrainerObject>(info) {
  guarded(info.Env(), [&] {
    if (!info[0].IsExternal()) {
      fail(code::kInvalidArgument, "a NativeTrainer is made by createTrainer, not by new");
    }
    state_ = *info[0].As<Payload>().Data();
  });
}

void TrainerObject::require_open() const {
  if (state_->closed) fail(code::kClosed, "the trainer was used after it was closed");
  state_->model->require_open("the trainer's model");
}

Trainer& TrainerObject::idle_trainer() const {
  require_open();
  state_->model->require_idle("the trainer's model");
  return *state_->trainer;
}

const ParameterSpec& TrainerObject::spec(Napi::Value name) const {
  const ParameterTable& table = state_->model->model->table();
  return table[table.find(read_text(name, "name"))];
}

Napi::Value TrainerObject::step_count(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return Napi::Number::New(info.Env(), static_cast<double>(idle_trainer().step_count()));
  });
}

void TrainerObject::set_step_count(const Napi::CallbackInfo& info, const Napi::Value& value) {
  guarded(info.Env(), [&] {
    Trainer& trainer = idle_trainer();
    trainer.set_step_count(read_integer(value, "stepCount", 0));
  });
}

// On an asynchronous device, one step runs, one is in flight behind it, and one waits with its
// batch ready.
Napi::Value TrainerObject::steps_ahead(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    require_open();
    const bool asynchronous = state_->model->model->backend().asynchronous();
    return Napi::Number::New(info.Env(), asynchronous ? double{Trainer::kInFlight} : 0);
  });
}

Napi::Value TrainerObject::step(const Napi::CallbackInfo& info) {
  return promised(info.Env(), [&]() -> Napi::Value {
    require_open();
    const std::shared_ptr<Step> job = read_step(info[0]);
    require_open();  // a getter of the batch could have closed it
    auto state = state_;
    job->normalization = state->model->normalization;
    return state->model->queue.post(
        state.get(),
        [=](const std::atomic<bool>& cancelled) {
          const auto or_cancel = [state](auto&& part) {
            try {
              part();
            } catch (...) {
              state->model->queue.cancel(state.get());  // drop the steps queued behind this one
              throw;
            }
          };
          or_cancel([&] { state->trainer->begin(job->batch(), &cancelled); });
          return now_or_later(state->model->model->backend(),
                              [=] { or_cancel([&] { job->result = state->trainer->finish(); }); });
        },
        [=](Napi::Env job_env) { return to_js(job_env, job->result); });
  });
}

Napi::Value TrainerObject::read_gradient(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const Trainer& trainer = idle_trainer();
    const ParameterSpec& parameter = spec(info[0]);
    std::vector<float> values(static_cast<size_t>(parameter.shape.elements()));
    trainer.read_gradient(parameter, values);
    return addon::to_js(info.Env(), values);
  });
}

Napi::Value TrainerObject::slots(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    require_open();
    const std::vector<std::string> names = state_->trainer->slots();
    auto list = Napi::Array::New(env, names.size());
    for (uint32_t i = 0; i < names.size(); ++i) list.Set(i, Napi::String::New(env, names[i]));
    return list;
  });
}

Napi::Value TrainerObject::read_slot(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    Trainer& trainer = idle_trainer();
    const std::string slot = read_text(info[0], "slot");
    const ParameterSpec& parameter = spec(info[1]);
    std::vector<float> values(static_cast<size_t>(parameter.shape.elements()));
    trainer.read_slot(slot, parameter, values);
    return addon::to_js(info.Env(), values);
  });
}

void TrainerObject::write_slot(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    Trainer& trainer = idle_trainer();
    const std::string slot = read_text(info[0], "slot");
    trainer.write_slot(slot, spec(info[1]), read_floats(info[2], "data"));
  });
}

void TrainerObject::swap_average(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { idle_trainer().swap_average(); });
}

void TrainerObject::close(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    if (state_->closed) return;
    state_->closed = true;
    state_->model->queue.cancel(state_.get());
    if (!state_->model->queue.busy()) state_->model->free_closed();
  });
}

}  // namespace countenance::addon
