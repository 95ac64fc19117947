#pragma once

#include <memory>

#include "addon/model_state.h"
#include "addon/node.h"

namespace countenance::addon {

// NativeTrainer of lib/native.ts.
class TrainerObject final : public Napi::ObjectWrap<TrainerObject> {
 public:
  static Napi::Function define(Napi::Env env);
  // createTrainer(model, options): NativeTrainer
  static Napi::Value create(const Napi::CallbackInfo& info);

  // Only the addon itself can construct one: it passes the state.
  explicit TrainerObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value step_count(const Napi::CallbackInfo& info);
  void set_step_count(const Napi::CallbackInfo& info, const Napi::Value& value);
  Napi::Value steps_ahead(const Napi::CallbackInfo& info);
  Napi::Value step(const Napi::CallbackInfo& info);
  Napi::Value read_gradient(const Napi::CallbackInfo& info);
  Napi::Value slots(const Napi::CallbackInfo& info);
  Napi::Value read_slot(const Napi::CallbackInfo& info);
  void write_slot(const Napi::CallbackInfo& info);
  void swap_average(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  void require_open() const;
  // Guards a synchronous access.
  Trainer& idle_trainer() const;
  const ParameterSpec& spec(Napi::Value name) const;

  std::shared_ptr<TrainerState> state_;
};

}  // namespace countenance::addon
