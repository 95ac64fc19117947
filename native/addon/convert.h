#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "addon/node.h"
#include "core/dtype.h"
#include "core/error.h"

// Readers of arguments. Each throws ERR_INVALID_ARGUMENT "Expected ... for `name` but received ..."
// unless it says otherwise. Contents of typed arrays are copied at once: JavaScript that runs later
// (a getter) could detach them.

namespace countenance::addon {

// "null", "'text'", "-1 (number)", "an object": never runs JavaScript.
std::string describe(Napi::Value value);
[[noreturn]] void reject_argument(std::string_view expected, std::string_view name,
                                  Napi::Value value);

inline constexpr int64_t kMaxSafeInteger = (int64_t{1} << 53) - 1;

Napi::Object read_object(Napi::Value value, std::string_view name);
bool read_boolean(Napi::Value value, std::string_view name);
std::string read_text(Napi::Value value, std::string_view name);
// A finite number that float32 can hold.
float read_float(Napi::Value value, std::string_view name);
// An integer in [minimum, maximum], at most kMaxSafeInteger, so that it is exact.
int64_t read_integer(Napi::Value value, std::string_view name, int64_t minimum,
                     int64_t maximum = kMaxSafeInteger);
inline uint64_t read_seed(Napi::Value value, std::string_view name) {
  return static_cast<uint64_t>(read_integer(value, name, 0));
}

// Typed arrays of any length.
std::vector<float> read_floats(Napi::Value value, std::string_view name);
std::vector<uint8_t> read_bytes(Napi::Value value, std::string_view name);
// An array of Uint8Arrays: their concatenated bytes and the length of each.
struct JoinedBytes {
  std::vector<uint8_t> bytes;
  std::vector<size_t> lengths;
};
JoinedBytes read_byte_arrays(Napi::Value value, std::string_view name, uint32_t most);
std::vector<uint32_t> read_indices(Napi::Value value, std::string_view name);
// An array of two numbers.
std::pair<float, float> read_pair(Napi::Value value, std::string_view name);

Precision read_precision(Napi::Value value);

// One of a few words.
template <class Enum, size_t N>
Enum read_choice(Napi::Value value, std::string_view name,
                 const std::pair<std::string_view, Enum> (&choices)[N]) {
  std::string expected;
  const std::string word = value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
  for (const auto& [choice, result] : choices) {
    if (value.IsString() && word == choice) return result;
    expected.append(expected.empty() ? "'" : " or '").append(choice).append("'");
  }
  reject_argument(expected, name, value);
}

Napi::Value to_js(Napi::Env env, std::span<const float> values);
Napi::Value text(Napi::Env env, std::string_view value);
Napi::Array texts(Napi::Env env, std::span<const std::string_view> values);
// The shortest number that float32 cannot distinguish from `value`: 0.9, not 0.8999999761581421.
Napi::Value number(Napi::Env env, float value);

}  // namespace countenance::addon
