#include "golden/golden.h"

#include <cmath>

#include "core/error.h"
#include "harness/json.h"

namespace countenance::test {

namespace {

std::vector<double> numbers(const Json& json) {
  std::vector<double> values;
  for (const Json& value : json.array()) values.push_back(value.number());
  return values;
}

// A matrix of `columns` columns, flat.
std::vector<double> matrix(const Json& json, int64_t rows, int64_t columns) {
  std::vector<double> values;
  for (const Json& row : json.array()) {
    const std::vector<double> one = numbers(row);
    require(static_cast<int64_t>(one.size()) == columns, "Expected rows of ", columns, " numbers");
    values.insert(values.end(), one.begin(), one.end());
  }
  require(static_cast<int64_t>(values.size()) == rows * columns, "Expected ", rows, " rows");
  return values;
}

Digest read_digest(const Json& json) {
  return {json["norm"].number(), json["projection"].number(), numbers(json["head"])};
}

Digests read_digests(const Json& json) {
  Digests digests;
  for (const auto& [name, value] : json.object()) digests.emplace(name, read_digest(value));
  return digests;
}

GoldenStep read_step(const Json& json) {
  GoldenStep step;
  for (const Json& label : json["labels"].array()) {
    step.labels.push_back(static_cast<int32_t>(label.integer()));
  }
  step.supervised = json["L_s"].number();
  step.transformation = json["L_t"].number();
  step.contrast = json["L_c"].number();
  step.total = json["loss"].number();
  if (const Json* gradients = json.find("gradients")) step.gradients = read_digests(*gradients);
  return step;
}

}  // namespace

Golden load_golden(const std::string& path) {
  const Json json = load_json(path);
  const Json& args = json["args"];
  Golden golden;
  golden.model = args["model"].string();
  golden.size = args["size"].integer();
  golden.batch = args["batch"].integer();
  golden.contrast = args["contrast"].string();
  golden.seed = args["seed"].string();
  golden.learning_rate = static_cast<float>(args["lr"].number());

  const Json& eval = json["eval"];
  golden.expression = read_digest(eval["f_e"]);
  golden.neutral = read_digest(eval["f_n"]);
  golden.logits = matrix(eval["logits"], golden.batch, kGoldenClasses);
  for (const Json& step : json["steps"].array()) golden.steps.push_back(read_step(step));
  require(static_cast<int64_t>(golden.steps.size()) == args["steps"].integer() &&
              !golden.steps.empty() && !golden.steps[0].gradients.empty(),
          path, " lacks a step or its gradients");
  golden.weights_after = read_digests(json["weights_after"]);
  golden.logits_after = matrix(json["eval_after"]["logits"], golden.batch, kGoldenClasses);
  return golden;
}

const std::vector<std::string>& golden_names() {
  static const std::vector<std::string> names = {
      "resnet18-48-pairwise", "resnet18-112-pairwise", "resnet18-112-diagonal",
      "resnet34-48-pairwise", "resnet50-48-diagonal",  "resnet50-49-pairwise",
      "swint-112-pairwise",   "swint-112-diagonal",    "swins-112-pairwise"};
  return names;
}

SeededValues::SeededValues(std::string_view name) : hash_(0x811C9DC5u) {
  for (char c : name) hash_ = (hash_ ^ static_cast<uint8_t>(c)) * 0x01000193u;  // FNV-1a
}

double SeededValues::operator[](int64_t i) const {
  uint32_t x = hash_ + static_cast<uint32_t>(i) * 0x9E3779B9u;
  x = (x ^ (x >> 16)) * 0x85EBCA6Bu;
  x = (x ^ (x >> 13)) * 0xC2B2AE35u;
  x ^= x >> 16;
  return x / 2147483648.0 - 1.0;
}

Digest digest(const std::string& name, const float* data, int64_t n) {
  const SeededValues u("projection." + name);
  Digest result;
  double squares = 0.0;
  for (int64_t i = 0; i < n; ++i) {
    const double value = data[i];
    squares += value * value;
    result.projection += value * u[i];
    if (i < 8) result.head.push_back(value);
  }
  result.norm = std::sqrt(squares);
  return result;
}

std::vector<float> golden_weight(const std::string& key, const Shape& shape,
                                 const std::string& seed) {
  double scale = 0.0;
  double offset = 0.0;
  if (key.ends_with("running_mean")) {
    scale = 0.1;
  } else if (key.ends_with("running_var")) {
    scale = 0.25;
    offset = 1.25;
  } else if (key.find("relative_position_bias_table") != key.npos) {
    scale = 0.5;
  } else if (key.ends_with("bn3.weight")) {
    scale = 0.05;
    offset = 0.25;
  } else if (shape.rank() == 1) {
    const bool weight = key.ends_with("weight");
    scale = weight ? 0.2 : 0.1;
    offset = weight ? 1.0 : 0.0;
  } else {
    const int64_t fan_in = shape.elements() / shape[0];
    scale = std::sqrt(3.0 / static_cast<double>(fan_in));
  }
  const SeededValues u(seed + "." + key);
  std::vector<float> values(static_cast<size_t>(shape.elements()));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(offset + scale * u[static_cast<int64_t>(i)]);
  }
  return values;
}

std::vector<float> golden_text(const std::string& seed) {
  const SeededValues u(seed + ".text");
  std::vector<float> text(static_cast<size_t>(kGoldenClasses * kGoldenWidth));
  for (size_t i = 0; i < text.size(); ++i) {
    text[i] = static_cast<float>(0.3 * u[static_cast<int64_t>(i)]);
  }
  return text;
}

std::vector<float> golden_images(const Golden& golden, int64_t step) {
  constexpr int64_t kChannels = 3;
  const SeededValues u(golden.seed + ".image." + std::to_string(step));
  const int64_t pixels = golden.size * golden.size;
  std::vector<float> images;
  images.reserve(static_cast<size_t>(golden.batch * pixels * kChannels));
  for (int64_t b = 0; b < golden.batch; ++b) {
    for (int64_t p = 0; p < pixels; ++p) {
      // The index counts in NCHW order.
      for (int64_t c = 0; c < kChannels; ++c) {
        images.push_back(static_cast<float>(u[(b * kChannels + c) * pixels + p]));
      }
    }
  }
  return images;
}

std::vector<int32_t> golden_labels(const Golden& golden, int64_t step) {
  const SeededValues u(golden.seed + ".label." + std::to_string(step));
  std::vector<int32_t> labels;
  for (int64_t i = 0; i < golden.batch; ++i) {
    labels.push_back(static_cast<int32_t>(std::floor((u[i] + 1.0) / 2.0 * kGoldenClasses)));
  }
  return labels;
}

std::vector<float> golden_targets(const Golden& golden, int64_t step) {
  std::vector<float> targets(static_cast<size_t>(golden.batch * kGoldenClasses));
  const std::vector<int32_t> labels = golden_labels(golden, step);
  for (size_t i = 0; i < labels.size(); ++i) {
    targets[i * static_cast<size_t>(kGoldenClasses) + static_cast<size_t>(labels[i])] = 1.0f;
  }
  return targets;
}

}  // namespace countenance::test
