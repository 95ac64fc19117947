#include "core/option.h"

#include <cmath>

namespace countenance {

namespace {

void check_number(const OptionSpec& spec, float value) {
  using Range = OptionSpec::Range;
  switch (spec.range) {
    case Range::AtLeastZero:
      require(std::isfinite(value) && value >= 0, "Expected a number of at least 0 for ", spec.name,
              " but received ", value);
      return;
    case Range::Positive:
      require(std::isfinite(value) && value > 0, "Expected a positive number for ", spec.name,
              " but received ", value);
      return;
    case Range::BelowOne:
      require(value >= 0 && value < 1, "Expected a number from 0 to below 1 for ", spec.name,
              " but received ", value);
      return;
  }
}

void check_value(const OptionSpec& spec, const std::array<float, 2>& value) {
  using Kind = OptionSpec::Kind;
  if (spec.kind == Kind::Number || spec.kind == Kind::Pair) check_number(spec, value[0]);
  if (spec.kind == Kind::Pair) check_number(spec, value[1]);
  const float choices = spec.kind == Kind::Choice ? static_cast<float>(spec.choices.size()) : 2.0f;
  if (spec.kind == Kind::Choice || spec.kind == Kind::Switch) {
    require(value[0] >= 0 && value[0] < choices && value[0] == std::floor(value[0]),
            "Expected one of ", choices, " choices for ", spec.name, " but received number ",
            value[0]);
  }
}

}  // namespace

OptionValues::OptionValues(std::span<const OptionSpec> specs, const GivenOptions& given) {
  for (const OptionSpec& spec : specs) {
    const auto found = given.find(spec.name);
    const auto& value = found == given.end() ? spec.initial : found->second.numbers;
    check_value(spec, value);
    values_.emplace(spec.name, value);
  }
  for (const auto& [name, value] : given) {
    require(values_.count(name) > 0, "there is no option '", name, "' here");
  }
}

const std::array<float, 2>& OptionValues::at(std::string_view name) const {
  const auto found = values_.find(name);
  ensure(found != values_.end(), "an option was read that is not described: ", name);
  return found->second;
}

}  // namespace countenance
