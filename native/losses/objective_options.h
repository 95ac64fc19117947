#pragma once

#include "backend/attributes.h"
#include "core/option.h"

// The objective's user options and the values it reports.

namespace countenance {

struct LossTerm {
  std::string_view name;    // "supervised": names its weight, its value in a log, its column
  std::string_view symbol;  // as in docs/METHOD.md
  std::string_view help;
};

// In the order of ObjectiveValue, from kFirstTerm on.
std::span<const LossTerm> loss_terms();
// The weights of the terms, by their names.
const std::vector<OptionSpec>& loss_weight_options();
const std::vector<OptionSpec>& objective_options();

// Throws ERR_INVALID_ARGUMENT naming the option. logit_scale and neutral are the model's.
ObjectiveAttributes objective_attributes(const GivenOptions& weights, const GivenOptions& options);

}  // namespace countenance
