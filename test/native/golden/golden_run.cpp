#include "golden/golden_run.h"

#include <algorithm>
#include <cmath>

#include "golden/golden.h"
#include "harness/harness.h"
#include "harness/json.h"
#include "infer/evaluator.h"
#include "models/encoders.h"
#include "train/trainer.h"

namespace countenance::test {
namespace {

bool rounding_only(const std::string& name) {
  return name == "encoder.norm.bias" || name == "encoder.feature.1.bias";
}

// A run names its encoder without hyphens.
std::string_view backbone_of(const Golden& golden) {
  for (const Encoder* encoder : encoders()) {
    std::string name(encoder->name);
    std::erase(name, '-');
    if (name == golden.model) return encoder->name;
  }
  fail(code::kInvalidArgument, "No encoder is called ", golden.model);
}

class GoldenRun {
 public:
  GoldenRun(const Golden& golden, const GoldenTolerance& tolerance, Precision precision,
            std::shared_ptr<Backend> backend)
      : golden_(golden),
        tolerance_(tolerance),
        precision_(precision),
        model_(config(golden), golden_text(golden.seed), std::move(backend)) {
    for (const ParameterSpec& spec : model_.table().specs()) {
      model_.write(spec, golden_weight(spec.name, spec.shape, golden.seed));
    }
  }

  void check() {
    check_evaluation();
    train();
    check_after();
  }

 private:
  static ModelConfig config(const Golden& golden) {
    ModelConfig config;
    config.backbone = backbone_of(golden);
    config.input_size = golden.size;
    config.drop_path = 0;
    config.classes = kGoldenClasses;
    config.neutral = kGoldenNeutral;
    config.logit_scale = kGoldenLogitScale;
    return config;
  }

  ImageBatch batch(const std::vector<float>& images) const {
    ImageBatch batch;
    batch.size = golden_.batch;
    batch.normalized = images;
    return batch;
  }

  Prediction evaluate(int64_t step) {
    return Evaluator(model_, precision_).run(batch(golden_images(golden_, step)), Normalization{});
  }

  // The larger error of norm and projection, relative to the norm.
  double check_digest(const std::string& what, const Digest& expected, const std::string& name,
                      const std::vector<float>& values, double tolerance) {
    const Digest found = digest(name, values.data(), static_cast<int64_t>(values.size()));
    const double scale = std::max(expected.norm, 1e-30);
    const double error = std::max(std::abs(found.norm - expected.norm),
                                  std::abs(found.projection - expected.projection)) /
                         scale;
    record_error(what, error);
    CHECK(std::abs(found.norm - expected.norm) <= tolerance * scale, what, " ", name, ": norm ",
          found.norm, ", expected ", expected.norm);
    CHECK(std::abs(found.projection - expected.projection) <= tolerance * scale, what, " ", name,
          ": projection ", found.projection, ", expected ", expected.projection);
    for (size_t i = 0; i < expected.head.size(); ++i) {
      CHECK(std::abs(found.head[i] - expected.head[i]) <= tolerance * scale, what, " ", name, "[",
            i, "]: ", found.head[i], ", expected ", expected.head[i]);
    }
    return error;
  }

  void check_logits(const std::string& what, const std::vector<float>& logits,
                    const std::vector<double>& expected, double tolerance) {
    double largest = 0;
    for (double logit : expected) largest = std::max(largest, std::abs(logit));
    CHECK(logits.size() == expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      record_error(what, std::abs(logits[i] - expected[i]) / largest);
      CHECK(std::abs(logits[i] - expected[i]) <= tolerance * largest, what, " ", i, ": ", logits[i],
            ", expected ", expected[i]);
    }
  }

  void check_evaluation() {
    const Prediction prediction = evaluate(0);
    check_digest("evaluation", golden_.expression, "f_e", prediction.expression,
                 tolerance_.evaluation);
    check_digest("evaluation", golden_.neutral, "f_n", prediction.neutral, tolerance_.evaluation);
    check_logits("logits", prediction.logits, golden_.logits, tolerance_.evaluation);
  }

  void train() {
    TrainOptions options;
    options.optimizer.settings.emplace("momentum", kGoldenMomentum);
    options.optimizer.weight_decay = kGoldenWeightDecay;
    options.precision = precision_;
    options.objective.emplace("contrast", golden_.contrast == "pairwise" ? 0.0f : 1.0f);
    Trainer trainer(model_, options, model_.shared_backend());
    for (size_t step = 0; step < golden_.steps.size(); ++step) {
      const std::vector<float> images = golden_images(golden_, static_cast<int64_t>(step));
      const std::vector<float> targets = golden_targets(golden_, static_cast<int64_t>(step));
      const std::vector<uint32_t> samples(static_cast<size_t>(golden_.batch));
      TrainBatch train;
      train.images = batch(images);
      train.targets = targets;
      train.samples = samples;
      train.learning_rate = golden_.learning_rate;
      check_losses(trainer.step(train), golden_.steps[step], step);
      if (step == 0) check_gradients(trainer);
    }
  }

  void check_losses(const StepResult& found, const GoldenStep& expected, size_t step) {
    const auto close = [&](const char* what, double a, double b) {
      record_error("loss", std::abs(a - b) / std::abs(b));
      CHECK(std::abs(a - b) <= tolerance_.loss * std::abs(b), "step ", step, " ", what, ": ", a,
            ", expected ", b);
    };
    close("loss", found.loss, expected.total);
    close("L_s", found.terms[kSupervised - kFirstTerm], expected.supervised);
    close("L_t", found.terms[kTransformation - kFirstTerm], expected.transformation);
    close("L_c", found.terms[kContrast - kFirstTerm], expected.contrast);
  }

  void check_gradients(const Trainer& trainer) {
    size_t checked = 0;
    std::vector<double> errors;
    for (const ParameterSpec& spec : model_.table().specs()) {
      if (!spec.trainable()) continue;
      const auto expected = golden_.steps[0].gradients.find(spec.name);
      CHECK(expected != golden_.steps[0].gradients.end(), "no golden gradient of ", spec.name);
      if (expected == golden_.steps[0].gradients.end()) continue;
      std::vector<float> gradient(static_cast<size_t>(spec.shape.elements()));
      trainer.read_gradient(spec, gradient);
      ++checked;
      if (rounding_only(spec.name)) {
        const double norm = digest(spec.name, gradient.data(), spec.shape.elements()).norm;
        CHECK(norm <= tolerance_.rounding_only, spec.name, ": norm ", norm);
        continue;
      }
      errors.push_back(
          check_digest("gradient", expected->second, spec.name, gradient, tolerance_.gradient));
    }
    std::nth_element(errors.begin(), errors.begin() + errors.size() / 2, errors.end());
    const double median = errors.at(errors.size() / 2);
    record_error("median gradient", median);
    CHECK(median <= tolerance_.median_gradient, "half of the gradients are off by ", median);
    CHECK(checked == golden_.steps[0].gradients.size(), checked, " of ",
          golden_.steps[0].gradients.size(), " golden gradients were checked");
  }

  void check_after() {
    size_t checked = 0;
    for (const ParameterSpec& spec : model_.table().specs()) {
      const auto expected = golden_.weights_after.find(spec.name);
      CHECK(expected != golden_.weights_after.end(), "no golden weights of ", spec.name);
      if (expected == golden_.weights_after.end()) continue;
      std::vector<float> weights(static_cast<size_t>(spec.shape.elements()));
      model_.read(spec, weights);
      check_digest("weights after", expected->second, spec.name, weights, tolerance_.after);
      ++checked;
    }
    CHECK(checked == golden_.weights_after.size());
    check_logits("logits after", evaluate(static_cast<int64_t>(golden_.steps.size()) - 1).logits,
                 golden_.logits_after, tolerance_.logits_after);
  }

  const Golden& golden_;
  const GoldenTolerance& tolerance_;
  const Precision precision_;
  Model model_;
};

}  // namespace

void check_golden(const std::string& name, const GoldenTolerance& tolerance, Precision precision,
                  std::shared_ptr<Backend> backend) {
  const Golden golden = load_golden(test_path("golden/" + name + ".json"));
  GoldenRun(golden, tolerance, precision, std::move(backend)).check();
}

}  // namespace countenance::test
