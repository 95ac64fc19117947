#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"

namespace countenance {

// A user option, described once. JavaScript's checks and defaults, the command line and its help
// are built from these (lib/description.ts).
struct OptionSpec {
  enum class Kind : uint8_t { Number, Pair, Switch, Choice };
  enum class Range : uint8_t {
    AtLeastZero,
    Positive,
    BelowOne,  // [0, 1)
  };

  std::string_view name;  // as in JavaScript: "momentum"
  Kind kind = Kind::Number;
  Range range = Range::AtLeastZero;  // of a number, or of both numbers of a pair
  std::array<float, 2> initial =
      {};  // the default: a number, a pair, 0 or 1, the index of a choice
  std::vector<std::string_view> choices = {};
  std::string_view help;  // a phrase for help texts and doc comments
};

// A number, a pair, a switch (0 or 1) or the index of a choice.
struct OptionValue {
  OptionValue(float first, float second = 0) : numbers{first, second} {}
  std::array<float, 2> numbers;
};

// The options that were set, by name; the others keep their defaults.
using GivenOptions = std::map<std::string, OptionValue, std::less<>>;

// The values of a list of options.
class OptionValues {
 public:
  // Throws ERR_INVALID_ARGUMENT naming an option that is unknown or whose value is out of range.
  OptionValues(std::span<const OptionSpec> specs, const GivenOptions& given);

  float number(std::string_view name) const { return at(name)[0]; }
  std::pair<float, float> pair(std::string_view name) const { return {at(name)[0], at(name)[1]}; }
  bool is_on(std::string_view name) const { return at(name)[0] != 0; }
  int choice(std::string_view name) const { return static_cast<int>(at(name)[0]); }

 private:
  const std::array<float, 2>& at(std::string_view name) const;

  std::map<std::string_view, std::array<float, 2>> values_;
};

// The entry with this name in a table of pointers to something with a name. Throws
// ERR_INVALID_ARGUMENT listing the known names; `what` says what they name.
template <class Table>
const auto& find_named(const Table& table, std::string_view name, std::string_view what) {
  std::string names;
  for (const auto* entry : table) {
    if (entry->name == name) return *entry;
    names.append(names.empty() ? "'" : " or '").append(entry->name).append("'");
  }
  fail(code::kInvalidArgument, "Expected ", names, " for ", what, " but received '", name, "'");
}

}  // namespace countenance
