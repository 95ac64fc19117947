#pragma once

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "backend/op_cases.h"

// The expected results of a case: its reference's outputs and finite differences, all in double.

namespace countenance::test {

// One directional derivative of the case's scalar: coordinate i of an input, or a direction.
struct Derivative {
  std::string input;
  std::vector<double> direction;
  double value;
  bool coordinate;
};

struct Expected {
  OpValues values;
  std::map<std::string, std::vector<double>> cotangents;
  std::vector<Derivative> derivatives;
};

inline double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

inline double root_mean_square(const std::vector<double>& a) {
  return a.empty() ? 0 : std::sqrt(dot(a, a) / static_cast<double>(a.size()));
}

Expected expect(const OpCase& c, bool with_derivatives);

}  // namespace countenance::test
