#pragma once

#include "addon/node.h"
#include "core/option.h"

namespace countenance::addon {

// An object with a value for each of these options: a number, [number, number], a boolean or one of
// the words. Throws ERR_INVALID_ARGUMENT naming an option that is missing or has the wrong type;
// OptionValues checks the range.
GivenOptions read_options(Napi::Value value, std::string_view name,
                          std::span<const OptionSpec> specs);

// NativeOption of lib/native.ts.
Napi::Array to_js(Napi::Env env, std::span<const OptionSpec> specs);

}  // namespace countenance::addon
