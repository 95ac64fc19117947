#include "losses/objective_options.h"

namespace countenance {

std::span<const LossTerm> loss_terms() {
  static constexpr LossTerm terms[] = {
      {"supervised", "L_s", "cross entropy of the class"},
      {"transformation", "L_t",
       "direction of the emotional-to-neutral transformation, 0..2; 0 without a non-neutral image"},
      {"contrast", "L_c", "self-contrast, 0..4; 0 without a non-neutral image"},
  };
  static_assert(std::size(terms) == kLossTerms);
  return terms;
}

const std::vector<OptionSpec>& loss_weight_options() {
  static const std::vector<OptionSpec> options = [] {
    std::vector<OptionSpec> list;
    for (const LossTerm& term : loss_terms()) {
      list.push_back({.name = term.name, .initial = {1.0f}, .help = term.help});
    }
    return list;
  }();
  return options;
}

const std::vector<OptionSpec>& objective_options() {
  static const std::vector<OptionSpec> options = {
      {.name = "contrast",
       .kind = OptionSpec::Kind::Choice,
       .choices = {"pairwise", "diagonal"},  // as enum class Contrast
       .help = "reduction of the contrast loss: every text with every image (the authors' code), "
               "or each image with its own text"},
      {.name = "labelSmoothing",
       .range = OptionSpec::Range::BelowOne,
       .initial = {0.0f},
       .help = "share of each target that is spread evenly over the classes"},
  };
  return options;
}

ObjectiveAttributes objective_attributes(const GivenOptions& weights, const GivenOptions& options) {
  ObjectiveAttributes attributes;
  const OptionValues terms(loss_weight_options(), weights);
  for (size_t i = 0; i < kLossTerms; ++i) {
    attributes.weights[i] = terms.number(loss_terms()[i].name);
  }
  const OptionValues values(objective_options(), options);
  attributes.contrast = static_cast<Contrast>(values.choice("contrast"));
  attributes.label_smoothing = values.number("labelSmoothing");
  return attributes;
}

}  // namespace countenance
