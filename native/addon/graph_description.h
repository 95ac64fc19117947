#pragma once

#include "addon/node.h"

namespace countenance::addon {

// describeGraph(options): NativeGraph
Napi::Value describe_graph(const Napi::CallbackInfo& info);

}  // namespace countenance::addon
