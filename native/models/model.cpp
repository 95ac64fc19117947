#include "models/model.h"

#include <cmath>

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
  if (config.backbone == Backbone::ResNet18) {
    require(size >= 32 && size <= 1024,
            "Expected an input size of 32 to 1024 for resnet18 but received ", size);
    return;
  }
  require(config.patch_size == 2 || config.patch_size == 4,
          "Expected a patch size of 2 or 4 but received ", config.patch_size);
  const int64_t unit = 7 * 8 * config.patch_size;
  require(size >= unit && size <= 1024 && size % unit == 0, "Expected an input size divisible by ",
          unit, " for swin-t with patch size ", config.patch_size, " but received ", size);
  require(config.drop_path >= 0 && config.drop_path < 1,
          "Expected a drop path rate in [0, 1) but received ", config.drop_path);
}

Features ke2nt(Graph& graph, const ModelConfig& config, Value images) {
  const Value expression =
      config.backbone == Backbone::ResNet18
          ? resnet18(graph, images, "encoder")
          : swin_t(graph, images, "encoder", config.patch_size, config.drop_path);
  return {expression, neutral_transformation(graph, expression, "MLP")};
}

Model::Model(ModelConfig config, std::span<const float> text, std::shared_ptr<Backend> backend)
    : config_(config), backend_(std::move(backend)), table_(*backend_) {
  validate(config_);
  set_text(text, config_.classes, config_.neutral);
  // Building any graph declares the parameters; an evaluation graph of one image is the smallest.
  Graph graph(*backend_, table_, Mode::Evaluation, Precision::FP32);
  const int64_t size = config_.input_size;
  ke2nt(graph, config_, graph.input(Shape{1, size, size, 3}, DType::F32));
  table_.freeze();
  parameters_ = std::make_unique<ParameterStore>(*backend_, table_);
  parameters_->initialize(config_.seed, *backend_);
}

void Model::set_text(std::span<const float> text, int64_t classes, int64_t neutral) {
  check_text(text, classes, neutral);
  if (!text_ || classes != config_.classes) text_ = backend_->allocate(text.size_bytes());
  config_.classes = classes;
  config_.neutral = neutral;
  backend_->copy_in(this->text(), text.data());
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
