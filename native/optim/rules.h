#pragma once

#include "optim/optimizer.h"

// The optimizers behind make_optimizer; each stands in a file of its own.

namespace countenance {

std::unique_ptr<Optimizer> make_sgd(Backend& backend, const ParameterTable& table,
                                    const OptimizerOptions& options);
std::unique_ptr<Optimizer> make_adamw(Backend& backend, const ParameterTable& table,
                                      const OptimizerOptions& options);

}  // namespace countenance
