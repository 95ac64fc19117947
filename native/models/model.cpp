#include "models/model.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "models/encoders.h"

namespace countenance {

namespace {

void check_text(std::span<const float> text, int64_t classes, int64_t neutral) {
  require(classes >= 2 && classes <= 100000, "Expected at least 2 classes but received ", classes);
  require(neutral >= 0 && neutral < classes, "Expected a neutral class in [0, ", classes,
          ") but received ", neutral);
  if (static_cast<int64_t>(text.size()) != classes * kEmbedding) {
    fail(code::kShapeMismatch, "Expected text embeddings of shape (", classes, ", ", kEmbedding,
         ") but received ", text.size(), " numbers");
  }
  for (int64_t k = 0; k < classes; ++k) {
    double norm = 0;
    for (int64_t i = 0; i < kEmbedding; ++i) {
      const double x = text[static_cast<size_t>(k * kEmbedding + i)];
      if (!std::isfinite(x)) {
        fail(code::kNotFinite, "the text embedding of class ", k, " is not finite");
      }
      norm += x * x;
    }
    if (norm == 0) fail(code::kZeroNorm, "the text embedding of class ", k, " has norm zero");
  }
}

}  // namespace

void validate(const ModelConfig& config) {
  const int64_t size = config.input_size;
  require(std::isfinite(config.logit_scale) && config.logit_scale > 0,
          "Expected a positive logit scale but received ", config.logit_scale);
  const Encoder& encoder = find_encoder(config.backbone);
  require(size >= encoder.least_input && size <= encoder.most_input, "Expected an input size of ",
          encoder.least_input, " to ", encoder.most_input, " for ", encoder.name, " but received ",
          size);
  if (!encoder.patch_sizes.empty()) {
    std::string expected;
    for (int64_t side : encoder.patch_sizes) {
      expected.append(expected.empty() ? "" : " or ").append(std::to_string(side));
    }
    const auto& sides = encoder.patch_sizes;
    require(std::find(sides.begin(), sides.end(), config.patch_size) != sides.end(),
            "Expected a patch size of ", expected, " but received ", config.patch_size);
    const int64_t unit = encoder.grid * config.patch_size;
    require(size % unit == 0, "Expected an input size divisible by ", unit, " for ", encoder.name,
            " with patch size ", config.patch_size, " but received ", size);
  }
  require(!encoder.has_drop_path || (config.drop_path >= 0 && config.drop_path < 1),
          "Expected a drop path rate in [0, 1) but received ", config.drop_path);
}

Features ke2nt(Graph& graph, const ModelConfig& config, Value images) {
  const Value expression = find_encoder(config.backbone).build(graph, images, "encoder", config);
  return {expression, neutral_transformation(graph, expression, "MLP")};
}

Model::Model(ModelConfig config, std::span<const float> text, std::shared_ptr<Backend> backend)
    : config_(config), backend_(std::move(backend)), table_(*backend_) {
  validate(config_);
  check_text(text, config_.classes, config_.neutral);
  text_ = backend_->allocate(text.size_bytes());
  backend_->copy_in(this->text(), text.data());
  // Building any graph declares the parameters; an evaluation graph of one image is the smallest.
  Graph graph(*backend_, table_, Mode::Evaluation, Precision::FP32);
  const int64_t size = config_.input_size;
  ke2nt(graph, config_, graph.input(Shape{1, size, size, 3}, DType::F32));
  table_.freeze();
  parameters_ = std::make_unique<ParameterStore>(*backend_, table_);
  parameters_->initialize(config_.seed, *backend_);
}

Tensor Model::text() const {
  return tensor_of(static_cast<float*>(text_->data()), Shape{config_.classes, kEmbedding});
}

void Model::read(const ParameterSpec& spec, std::span<float> out) {
  require(static_cast<int64_t>(out.size()) == spec.shape.elements(), spec.name, ": Expected ",
          spec.shape.elements(), " numbers but received ", out.size());
  parameters_->arena_of(spec).read(out.data(), spec, *backend_);
}

void Model::write(const ParameterSpec& spec, std::span<const float> in) {
  if (static_cast<int64_t>(in.size()) != spec.shape.elements()) {
    fail(code::kShapeMismatch, spec.name, ": Expected ", spec.shape, " but received ", in.size(),
         " numbers");
  }
  for (float x : in) {
    if (!std::isfinite(x)) fail(code::kNotFinite, spec.name, " holds a value that is not finite");
  }
  parameters_->arena_of(spec).write(in.data(), spec, *backend_);
}

}  // namespace countenance
