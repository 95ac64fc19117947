#include "addon/convert.h"

#include <cmath>
#include <cstring>
#include <limits>

namespace countenance::addon {

namespace {

// The contents of a typed array, valid until JavaScript runs again. A detached array has no
// elements.
struct ArrayView {
  napi_typedarray_type type;
  size_t length;
  const void* data;
};

ArrayView view_array(Napi::Value value, std::string_view expected, std::string_view name) {
  if (!value.IsTypedArray()) reject_argument(expected, name, value);
  ArrayView view{};
  void* data = nullptr;
  const napi_status status = napi_get_typedarray_info(value.Env(), value, &view.type, &view.length,
                                                      &data, nullptr, nullptr);
  if (status != napi_ok) reject_argument(expected, name, value);
  view.data = data;
  if (!data) view.length = 0;
  return view;
}

ArrayView view_bytes(Napi::Value value, std::string_view name) {
  const ArrayView view = view_array(value, "a Uint8Array", name);
  if (view.type != napi_uint8_array && view.type != napi_uint8_clamped_array) {
    reject_argument("a Uint8Array", name, value);
  }
  return view;
}

template <class T>
std::vector<T> copy_of(const ArrayView& view) {
  const T* data = static_cast<const T*>(view.data);
  return std::vector<T>(data, data + view.length);
}

}  // namespace

std::string describe(Napi::Value value) {
  switch (value.Type()) {
    case napi_undefined:
      return "undefined";
    case napi_null:
      return "null";
    case napi_boolean:
      return value.As<Napi::Boolean>().Value() ? "true" : "false";
    case napi_number: {
      std::ostringstream out;
      out << value.As<Napi::Number>().DoubleValue() << " (number)";
      return out.str();
    }
    case napi_string: {
      const std::string text = value.As<Napi::String>().Utf8Value();
      return "'" + (text.size() > 60 ? text.substr(0, 57) + "..." : text) + "'";
    }
    case napi_symbol:
      return "a symbol";
    case napi_function:
      return "a function";
    case napi_bigint:
      return "a bigint";
    default:
      return value.IsTypedArray() ? "a typed array" : value.IsArray() ? "an array" : "an object";
  }
}

void reject_argument(std::string_view expected, std::string_view name, Napi::Value value) {
  fail(code::kInvalidArgument, "Expected ", expected, " for ", name, " but received ",
       describe(value));
}

Napi::Object read_object(Napi::Value value, std::string_view name) {
  if (!value.IsObject()) reject_argument("an object", name, value);
  return value.As<Napi::Object>();
}

bool read_boolean(Napi::Value value, std::string_view name) {
  if (!value.IsBoolean()) reject_argument("true or false", name, value);
  return value.As<Napi::Boolean>().Value();
}

std::string read_text(Napi::Value value, std::string_view name) {
  if (!value.IsString()) reject_argument("a string", name, value);
  return value.As<Napi::String>().Utf8Value();
}

float read_float(Napi::Value value, std::string_view name) {
  if (!value.IsNumber()) reject_argument("a finite number", name, value);
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(std::abs(number) <= static_cast<double>(std::numeric_limits<float>::max()))) {
    reject_argument("a finite number", name, value);
  }
  return static_cast<float>(number);
}

int64_t read_integer(Napi::Value value, std::string_view name, int64_t minimum, int64_t maximum) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  if (number >= static_cast<double>(minimum) && number <= static_cast<double>(maximum) &&
      number == std::floor(number)) {
    return static_cast<int64_t>(number);
  }
  std::ostringstream expected;
  expected << "an integer from " << minimum << " to " << maximum;
  reject_argument(expected.str(), name, value);
}

std::vector<float> read_floats(Napi::Value value, std::string_view name) {
  const ArrayView view = view_array(value, "a Float32Array", name);
  if (view.type != napi_float32_array) reject_argument("a Float32Array", name, value);
  return copy_of<float>(view);
}

std::vector<uint8_t> read_bytes(Napi::Value value, std::string_view name) {
  return copy_of<uint8_t>(view_bytes(value, name));
}

JoinedBytes read_byte_arrays(Napi::Value value, std::string_view name, uint32_t most) {
  if (!value.IsArray()) reject_argument("an array of Uint8Arrays", name, value);
  const Napi::Array array = value.As<Napi::Array>();
  const uint32_t count = array.Length();
  require(count <= most, "Expected at most ", most, " Uint8Arrays for ", name, " but received ",
          count);
  // Reading an array may run JavaScript, so all items are read before any is inspected.
  std::vector<Napi::Value> items;
  for (uint32_t i = 0; i < count; ++i) items.push_back(array.Get(i));
  JoinedBytes joined;
  size_t total = 0;
  for (const Napi::Value& item : items) {
    joined.lengths.push_back(view_bytes(item, name).length);
    total += joined.lengths.back();
  }
  joined.bytes.reserve(total);
  for (const Napi::Value& item : items) {
    const ArrayView view = view_bytes(item, name);
    const uint8_t* data = static_cast<const uint8_t*>(view.data);
    joined.bytes.insert(joined.bytes.end(), data, data + view.length);
  }
  return joined;
}

std::vector<uint32_t> read_indices(Napi::Value value, std::string_view name) {
  const ArrayView view = view_array(value, "a Uint32Array", name);
  if (view.type != napi_uint32_array) reject_argument("a Uint32Array", name, value);
  return copy_of<uint32_t>(view);
}

std::pair<float, float> read_pair(Napi::Value value, std::string_view name) {
  if (!value.IsArray()) reject_argument("an array of two numbers", name, value);
  const Napi::Array array = value.As<Napi::Array>();
  if (array.Length() != 2) reject_argument("an array of two numbers", name, value);
  const float first = read_float(array.Get(0u), name);
  return {first, read_float(array.Get(1u), name)};
}

Precision read_precision(Napi::Value value) {
  return read_choice<Precision>(
      value, "precision",
      {{name_of(Precision::FP32), Precision::FP32}, {name_of(Precision::BF16), Precision::BF16}});
}

Napi::Value to_js(Napi::Env env, std::span<const float> values) {
  auto array = Napi::Float32Array::New(env, values.size());
  if (!values.empty()) std::memcpy(array.Data(), values.data(), values.size_bytes());
  return array;
}

Napi::Value text(Napi::Env env, std::string_view value) {
  return Napi::String::New(env, value.data(), value.size());
}

Napi::Array texts(Napi::Env env, std::span<const std::string_view> values) {
  auto list = Napi::Array::New(env, values.size());
  for (uint32_t i = 0; i < values.size(); ++i) list.Set(i, text(env, values[i]));
  return list;
}

Napi::Value number(Napi::Env env, float value) {
  char digits[32];
  for (int precision = 1; precision <= 9; ++precision) {
    std::snprintf(digits, sizeof(digits), "%.*g", precision, static_cast<double>(value));
    if (std::strtof(digits, nullptr) == value) break;
  }
  return Napi::Number::New(env, std::strtod(digits, nullptr));
}

}  // namespace countenance::addon
