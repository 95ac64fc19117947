#include <algorithm>
#include <fstream>

#include "backend/op_cases.h"
#include "core/philox.h"

// What the cases of all files share: their inputs, the backends they run on, what they cover.

namespace countenance::test {

std::vector<float> normal(int64_t n, const std::string& name, double mean, double deviation) {
  const RandomStream random(20250829, hash_name(name));
  std::vector<float> values(static_cast<size_t>(n));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(mean + deviation * random.normal(i));
  }
  return values;
}

std::vector<float> uniform(int64_t n, double low, double high, const std::string& name) {
  const RandomStream random(20250829, hash_name(name));
  std::vector<float> values(static_cast<size_t>(n));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(low + (high - low) * random.uniform(i));
  }
  return values;
}

std::vector<float> repeated(int64_t n, float value) {
  return std::vector<float>(static_cast<size_t>(n), value);
}

const std::vector<TestedBackend>& tested_backends() {
  static const std::vector<TestedBackend> all = [] {
    std::vector<TestedBackend> found;
    for (const TestedBackend& tested : all_tested_backends()) {
      if (tested.precision == Precision::FP32) found.push_back(tested);
    }
    return found;
  }();
  return all;
}

std::vector<std::string>& covered_methods() {
  static std::vector<std::string> all;
  return all;
}

bool cover(std::initializer_list<const char*> methods) {
  covered_methods().insert(covered_methods().end(), methods.begin(), methods.end());
  return true;
}

// An operation that is added to the Backend without a test case fails here.
TEST(every_backend_operation_has_a_case) {
  const std::string path = std::string(COUNTENANCE_SOURCE_DIR) + "/native/backend/backend.h";
  std::ifstream file(path);
  CHECK(file.good(), "cannot read ", path);
  std::vector<std::string> declared;
  const std::string keyword = "virtual void ";
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    inside = inside || line.find("class Backend {") != std::string::npos;
    const size_t begin = line.find(keyword);
    if (!inside || begin == std::string::npos) continue;
    const size_t name = begin + keyword.size();
    declared.push_back(line.substr(name, line.find('(', name) - name));
  }
  CHECK(declared.size() >= 30, "found only ", declared.size(), " operations in ", path);
  const std::vector<std::string>& covered = covered_methods();
  for (const std::string& method : declared) {
    CHECK(std::find(covered.begin(), covered.end(), method) != covered.end(), method,
          " has no test case");
  }
  for (const std::string& method : covered) {
    CHECK(std::find(declared.begin(), declared.end(), method) != declared.end(), method,
          " is covered but is no operation of Backend");
  }
}

}  // namespace countenance::test
