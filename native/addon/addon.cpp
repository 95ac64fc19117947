#include "addon/description.h"
#include "addon/errors.h"
#include "addon/graph_description.h"
#include "addon/info.h"
#include "addon/instance.h"
#include "addon/model_object.h"
#include "addon/resize.h"
#include "addon/trainer_object.h"

namespace countenance::addon {

namespace {

// NativeAddon of lib/native.ts.
Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  auto* instance = new Instance();
  env.SetInstanceData(instance);  // deletes it with the environment
  instance->model_class = Napi::Persistent(ModelObject::define(env));
  instance->trainer_class = Napi::Persistent(TrainerObject::define(env));

  exports.Set("describe", Napi::Function::New<describe_core>(env, "describe"));
  exports.Set("info", Napi::Function::New<info>(env, "info"));
  exports.Set("setCudaPlugin", Napi::Function::New<set_cuda_plugin>(env, "setCudaPlugin"));
  exports.Set("createModel", Napi::Function::New<ModelObject::create>(env, "createModel"));
  exports.Set("createTrainer", Napi::Function::New<TrainerObject::create>(env, "createTrainer"));
  exports.Set("describeGraph", Napi::Function::New<describe_graph>(env, "describeGraph"));
  exports.Set("resize", Napi::Function::New<resize>(env, "resize"));
  exports.Set("warp", Napi::Function::New<warp>(env, "warp"));
  return exports;
}

}  // namespace

NODE_API_MODULE(countenance, initialize)

}  // namespace countenance::addon
