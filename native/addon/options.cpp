#include "addon/options.h"

#include <algorithm>
#include <string>

#include "addon/convert.h"

namespace countenance::addon {

namespace {

using Kind = OptionSpec::Kind;

OptionValue read_word(Napi::Value value, const OptionSpec& spec) {
  const std::string word = value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
  const auto found = std::find(spec.choices.begin(), spec.choices.end(), word);
  if (found != spec.choices.end()) return static_cast<float>(found - spec.choices.begin());
  std::string expected;
  for (std::string_view choice : spec.choices) {
    expected.append(expected.empty() ? "'" : " or '").append(choice).append("'");
  }
  reject_argument(expected, spec.name, value);
}

OptionValue read_option(Napi::Value value, const OptionSpec& spec) {
  switch (spec.kind) {
    case Kind::Number:
      return read_float(value, spec.name);
    case Kind::Pair: {
      const auto [first, second] = read_pair(value, spec.name);
      return {first, second};
    }
    case Kind::Switch:
      return read_boolean(value, spec.name) ? 1.0f : 0.0f;
    case Kind::Choice:
      return read_word(value, spec);
  }
  fail(code::kInternal, "an option of an unknown kind");
}

Napi::Value initial(Napi::Env env, const OptionSpec& spec) {
  switch (spec.kind) {
    case Kind::Number:
      return number(env, spec.initial[0]);
    case Kind::Pair: {
      auto pair = Napi::Array::New(env, 2);
      for (uint32_t i = 0; i < 2; ++i) pair.Set(i, number(env, spec.initial[i]));
      return pair;
    }
    case Kind::Switch:
      return Napi::Boolean::New(env, spec.initial[0] != 0);
    case Kind::Choice:
      return text(env, spec.choices[static_cast<size_t>(spec.initial[0])]);
  }
  fail(code::kInternal, "an option of an unknown kind");
}

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::Number:
      return "number";
    case Kind::Pair:
      return "pair";
    case Kind::Switch:
      return "switch";
    case Kind::Choice:
      return "choice";
  }
  fail(code::kInternal, "an option of an unknown kind");
}

const char* name_of(OptionSpec::Range range) {
  switch (range) {
    case OptionSpec::Range::AtLeastZero:
      return "at least 0";
    case OptionSpec::Range::Positive:
      return "above 0";
    case OptionSpec::Range::BelowOne:
      return "at least 0 and below 1";
  }
  fail(code::kInternal, "an option of an unknown range");
}

}  // namespace

GivenOptions read_options(Napi::Value value, std::string_view name,
                          std::span<const OptionSpec> specs) {
  const Napi::Object object = read_object(value, name);
  GivenOptions given;
  for (const OptionSpec& spec : specs) {
    const std::string key(spec.name);
    given.emplace(key, read_option(object.Get(key), spec));
  }
  return given;
}

Napi::Array to_js(Napi::Env env, std::span<const OptionSpec> specs) {
  auto list = Napi::Array::New(env, specs.size());
  for (uint32_t i = 0; i < specs.size(); ++i) {
    const OptionSpec& spec = specs[i];
    auto object = Napi::Object::New(env);
    object.Set("name", text(env, spec.name));
    object.Set("kind", Napi::String::New(env, name_of(spec.kind)));
    if (spec.kind == Kind::Number || spec.kind == Kind::Pair) {
      object.Set("range", Napi::String::New(env, name_of(spec.range)));
    }
    if (spec.kind == Kind::Choice) object.Set("choices", texts(env, spec.choices));
    object.Set("default", initial(env, spec));
    object.Set("help", text(env, spec.help));
    list.Set(i, object);
  }
  return list;
}

}  // namespace countenance::addon
