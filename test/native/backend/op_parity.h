#pragma once

#include <map>
#include <string>
#include <vector>

#include "backend/op_cases.h"

namespace countenance::test {

// Outputs by name, gradients by "d" + name.
using Results = std::map<std::string, std::vector<float>>;

// Compares the results of a case with those of tested.reference: each within a normalised error of
// tested.parity, beyond the noise that the case allows for results that nearly cancel.
void check_parity(const OpCase& c, const TestedBackend& tested, const Results& results,
                  const Results& reference);

}  // namespace countenance::test
