#include "optim/rules.h"

#include <array>

#include "core/option.h"

namespace countenance {

std::span<const OptimizerRule* const> optimizer_rules() {
  static const std::array rules = {&sgd_rule(), &adamw_rule(), &lion_rule()};
  return rules;
}

const OptimizerRule& find_optimizer(std::string_view name) {
  return find_named(optimizer_rules(), name, "optimizer");
}

}  // namespace countenance
