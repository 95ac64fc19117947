#pragma once

#include "addon/node.h"

namespace countenance::addon {

// info(): NativeInfo
Napi::Value info(const Napi::CallbackInfo& info);
// setCudaPlugin(path, problem)
void set_cuda_plugin(const Napi::CallbackInfo& info);

}  // namespace countenance::addon
