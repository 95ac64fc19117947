#pragma once

#include "addon/node.h"

namespace countenance::addon {

// What the addon knows per environment: the main thread and each worker have one.
struct Instance {
  Napi::FunctionReference model_class;
  Napi::FunctionReference trainer_class;
};

inline Instance& instance_of(Napi::Env env) { return *env.GetInstanceData<Instance>(); }

}  // namespace countenance::addon
