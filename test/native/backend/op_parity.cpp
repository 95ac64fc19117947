#include "backend/op_parity.h"

#include <algorithm>
#include <cmath>

namespace countenance::test {

namespace {

bool is_output(const OpCase& c, const std::string& name) {
  return std::any_of(c.outputs.begin(), c.outputs.end(),
                     [&](const OpOutput& output) { return output.name == name; });
}

// a, moved towards b by at most `noise` per element.
std::vector<float> without_noise(std::vector<float> a, const std::vector<float>& b, double noise) {
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - b[i];
    // Leaves non-finite values as they are.
    a[i] -= static_cast<float>(std::clamp(difference, -noise, noise));
  }
  return a;
}

}  // namespace

void check_parity(const OpCase& c, const TestedBackend& tested, const Results& results,
                  const Results& reference) {
  for (const auto& [name, values] : results) {
    const std::vector<float>& want = reference.at(name);
    const double noise = is_output(c, name) ? c.forward_noise : c.backward_noise;
    const std::vector<float> clean = noise > 0 ? without_noise(values, want, noise) : values;
    const double error =
        normalised_error(clean.data(), want.data(), static_cast<int64_t>(want.size()));
    record_error(tested.name, error);
    CHECK(error <= tested.parity, c.name, " on ", tested.name, ": ", name,
          " has a normalised error of ", error, " against ", tested.reference().description());
  }
}

}  // namespace countenance::test
