#pragma once

#include "addon/node.h"

namespace countenance::addon {

// The addon's state per environment: the main thread and each worker have their own.
struct Instance {
  Napi::FunctionReference model_class;
  Napi::FunctionReference trainer_class;
};

inline Instance& instance_of(Napi::Env env) { return *env.GetInstanceData<Instance>(); }

}  // namespace countenance::addon
