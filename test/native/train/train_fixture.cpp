#include "train/train_fixture.h"

#include <cstring>
#include <functional>

#include "core/philox.h"

namespace countenance::test {

std::vector<float> fixture_text(int64_t classes) {
  const RandomStream random(11, hash_name("text"));
  std::vector<float> text(static_cast<size_t>(classes * kEmbedding));
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<float>(random.normal(i));
  return text;
}

Training::Training(const ModelConfig& config, const TrainOptions& options, int threads)
    : backend(make_cpu_backend(threads)),
      model(config, fixture_text(config.classes), backend),
      trainer(model, options, backend) {}

namespace {

std::vector<float> gather(const ParameterTable& table, bool trained_only,
                          const std::function<void(const ParameterSpec&, std::span<float>)>& read) {
  std::vector<float> all;
  for (const ParameterSpec& spec : table.specs()) {
    if (trained_only && !spec.trainable()) continue;
    const size_t start = all.size();
    all.resize(start + static_cast<size_t>(spec.shape.elements()));
    read(spec, std::span(all).subspan(start));
  }
  return all;
}

}  // namespace

std::vector<float> Training::state() {
  return gather(model.table(), false,
                [&](const ParameterSpec& spec, std::span<float> out) { model.read(spec, out); });
}

std::vector<float> Training::slot(const std::string& name) {
  return gather(model.table(), true, [&](const ParameterSpec& spec, std::span<float> out) {
    trainer.read_slot(name, spec, out);
  });
}

std::vector<float> Training::gradients() {
  return gather(model.table(), true, [&](const ParameterSpec& spec, std::span<float> out) {
    trainer.read_gradient(spec, out);
  });
}

void Training::copy_from(Training& other) {
  for (const ParameterSpec& spec : model.table().specs()) {
    std::vector<float> values(static_cast<size_t>(spec.shape.elements()));
    other.model.read(spec, values);
    model.write(spec, values);
    if (!spec.trainable()) continue;
    for (const std::string& name : trainer.slots()) {
      other.trainer.read_slot(name, spec, values);
      trainer.write_slot(name, spec, values);
    }
  }
  trainer.set_step_count(other.trainer.step_count());
}

BatchData::BatchData(int64_t size, int64_t input_size, uint64_t seed) : size_(size) {
  const RandomStream random(seed, hash_name("batch"));
  pixels.resize(static_cast<size_t>(size * input_size * input_size * 3));
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(random.bits(i));
  targets.assign(static_cast<size_t>(size * kFixtureClasses), 0.0f);
  for (int64_t b = 0; b < size; ++b) {
    float* row = targets.data() + b * kFixtureClasses;
    row[(b + static_cast<int64_t>(seed)) % kFixtureClasses] = 0.75f;
    row[(b + 1 + static_cast<int64_t>(seed)) % kFixtureClasses] = 0.25f;
    samples.push_back(static_cast<uint32_t>(100 * seed + static_cast<uint64_t>(b)));
  }
}

TrainBatch BatchData::train(float learning_rate) const {
  return {.images = images(),
          .targets = targets,
          .augment = true,
          .epoch = 3,
          .samples = samples,
          .learning_rate = learning_rate,
          .normalization = {}};
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace countenance::test
