#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/shape.h"

// Reads the recorded runs of test/golden and rebuilds their seeded weights and inputs; the formulas
// are in test/golden/README.md.

namespace countenance::test {

inline constexpr int64_t kGoldenClasses = 7;
inline constexpr int64_t kGoldenNeutral = 6;
inline constexpr int64_t kGoldenWidth = 512;  // of the text embeddings and representations
inline constexpr float kGoldenLogitScale = 100.0f;
inline constexpr float kGoldenMomentum = 0.9f;
inline constexpr float kGoldenWeightDecay = 5e-4f;

// The summary of a flat array: |a|_2, sum_i a_i u("projection." + name, i), the first values (8 or
// 4).
struct Digest {
  double norm = 0.0;
  double projection = 0.0;
  std::vector<double> head;
};
using Digests = std::map<std::string, Digest>;  // by state-dict key

// Sums in double, whatever the array's size.
Digest digest(const std::string& name, const float* data, int64_t n);

struct GoldenStep {
  std::vector<int32_t> labels;
  double supervised = 0.0;      // L_s
  double transformation = 0.0;  // L_t
  double contrast = 0.0;        // L_c
  double total = 0.0;
  Digests gradients;  // step 0 only
};

struct Golden {
  std::string model;  // the encoder without hyphens: "resnet18", "swint"
  int64_t size = 0;   // input side
  int64_t batch = 0;
  std::string contrast;  // "pairwise", "diagonal"
  std::string seed;
  float learning_rate = 0.0f;

  // Before any step, evaluation mode, images of step 0.
  Digest expression;           // "f_e"
  Digest neutral;              // "f_n"
  std::vector<double> logits;  // (batch, kGoldenClasses)

  std::vector<GoldenStep> steps;
  Digests weights_after;             // parameters and running statistics
  std::vector<double> logits_after;  // evaluation mode, images of the last step
};

// Throws ERR_INVALID_ARGUMENT if the file is missing or malformed.
Golden load_golden(const std::string& path);

// The names of the recorded runs: load_golden(test_path("golden/" + name + ".json")).
const std::vector<std::string>& golden_names();

// u(name, i) for i in [0, n), in [-1, 1).
class SeededValues {
 public:
  explicit SeededValues(std::string_view name);
  double operator[](int64_t i) const;

 private:
  uint32_t hash_;
};

// In PyTorch's layout. shape: PyTorch's, of the entry `key` in the whole model's state dict.
std::vector<float> golden_weight(const std::string& key, const Shape& shape,
                                 const std::string& seed);
std::vector<float> golden_text(const std::string& seed);  // (kGoldenClasses, kGoldenWidth)
// Normalised images of a step as our models take them: (batch, size, size, 3).
std::vector<float> golden_images(const Golden& golden, int64_t step);
std::vector<int32_t> golden_labels(const Golden& golden, int64_t step);  // (batch)
// The same as one-hot targets (batch, kGoldenClasses).
std::vector<float> golden_targets(const Golden& golden, int64_t step);

}  // namespace countenance::test
