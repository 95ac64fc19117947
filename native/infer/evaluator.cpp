#include "infer/evaluator.h"

#include "losses/objective.h"

namespace countenance {

std::unique_ptr<Evaluator::Entry> Evaluator::make_plan(int64_t batch) const {
  const ModelConfig& config = model_.config();
  Graph graph(model_.backend(), model_.table(), Mode::Evaluation, Precision::FP32);
  const ImageInput input = image_input(graph, batch, config.input_size);
  const Value text = graph.input(Shape{config.classes, kEmbedding}, DType::F32);
  const Features features = ke2nt(graph, config, input.images);
  const Value logits = cosine_logits(graph, features.expression, text, config.logit_scale);
  for (Value value : {logits, features.expression, features.neutral}) graph.output(value);
  return std::make_unique<Entry>(Entry{Plan(std::move(graph)), input, text, logits, features});
}

Prediction Evaluator::run(const ImageBatch& batch, const Normalization& normalization,
                          const std::atomic<bool>* cancel) {
  validate(batch, model_.config().input_size);
  Entry& entry = plans_.get(batch.size, [this](int64_t size) { return make_plan(size); });
  Backend& backend = model_.backend();
  const std::vector<ImageTransform> transforms(static_cast<size_t>(batch.size));
  load_images(entry.plan, entry.input, batch, transforms, normalization);
  backend.copy_in(entry.plan.tensor(entry.text), model_.text().data());
  entry.plan.forward({.parameters = &model_.parameters(), .cancel = cancel});

  const auto read = [&](Value value) {
    const Tensor tensor = entry.plan.tensor(value);
    ensure(tensor.dtype == DType::F32, "an output of the model is not float32");
    std::vector<float> values(static_cast<size_t>(tensor.elements()));
    backend.copy_out(values.data(), tensor);
    return values;
  };
  return {read(entry.logits), read(entry.features.expression), read(entry.features.neutral)};
}

}  // namespace countenance
