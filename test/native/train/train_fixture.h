#pragma once

#include <memory>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "infer/evaluator.h"
#include "train/trainer.h"

namespace countenance::test {

inline constexpr int64_t kFixtureClasses = 5;

inline ModelConfig tiny_config() {
  return {.backbone = "resnet18",
          .input_size = 32,
          .classes = kFixtureClasses,
          .neutral = 2,
          .seed = 7};
}

std::vector<float> fixture_text(int64_t classes = kFixtureClasses);

// A model and its trainer on their own backend.
struct Training {
  Training(const ModelConfig& config, const TrainOptions& options, int threads = 1);

  std::shared_ptr<Backend> backend;
  Model model;
  Trainer trainer;

  // The state dict in PyTorch's layout, all parameters and statistics one after another.
  std::vector<float> state();
  // The same for a trainer's slot, or for the gradients; trained parameters only.
  std::vector<float> slot(const std::string& name);
  std::vector<float> gradients();
  // Copies weights, statistics, slots and the step count through the public functions.
  void copy_from(Training& other);
};

// A seeded batch: uint8 images, soft targets, augmentation on.
class BatchData {
 public:
  BatchData(int64_t size, int64_t input_size, uint64_t seed);

  TrainBatch train(float learning_rate = 0.01f) const;
  ImageBatch images() const { return {.size = size_, .pixels = pixels, .normalized = {}}; }

  std::vector<uint8_t> pixels;
  std::vector<float> targets;
  std::vector<uint32_t> samples;

 private:
  int64_t size_;
};

// Bit by bit, so that NaN equals itself.
bool same_bits(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace countenance::test
