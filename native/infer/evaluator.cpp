#include "infer/evaluator.h"

namespace countenance {

namespace {

int64_t result_elements(int64_t batch, int64_t classes) {
  return batch * (2 * kEmbedding + classes);
}

}  // namespace

Prediction with_flip(Prediction images, Prediction mirror_images) {
  for (size_t i = 0; i < images.logits.size(); ++i) {
    images.logits[i] = (images.logits[i] + mirror_images.logits[i]) / 2;
  }
  images.mirrored = std::move(mirror_images.expression);
  return images;
}

Evaluator::Evaluator(Model& model, Precision precision) : model_(model), precision_(precision) {
  require_precision(model.backend(), precision);
}

std::unique_ptr<Evaluator::Entry> Evaluator::make_plan(int64_t batch, bool dry) const {
  const ModelConfig& config = model_.config();
  Backend& backend = model_.backend();
  Graph graph(backend, model_.table(), Mode::Evaluation, precision_);
  const EvaluationGraph built = evaluation_graph(graph, config, batch);
  auto entry =
      std::make_unique<Entry>(Entry{Plan(std::move(graph), {.dry = dry}), built, {}, {}, 0, {}});
  if (dry) return entry;
  const size_t bytes = static_cast<size_t>(result_elements(batch, config.classes)) * sizeof(float);
  entry->results = backend.allocate(bytes);
  for (auto& readback : entry->readbacks) readback = backend.make_readback(bytes);
  return entry;
}

void Evaluator::forward(const Entry& entry, int64_t batch, const std::atomic<bool>* cancel) const {
  Backend& backend = model_.backend();
  backend.copy(entry.plan.tensor(entry.graph.text), model_.text());
  entry.plan.forward({.parameters = &model_.parameters(), .cancel = cancel});
  float* place = static_cast<float*>(entry.results->data());
  const auto& [expression, neutral] = entry.graph.features;
  for (Value value : {expression, neutral, entry.graph.logits}) {
    const Tensor output = entry.plan.tensor(value);
    backend.copy(tensor_of(place, output.shape), output);
    place += output.elements();
  }
  ensure(place - static_cast<float*>(entry.results->data()) ==
             result_elements(batch, model_.config().classes),
         "outputs of an unexpected size");
}

Evaluator::InFlight Evaluator::begin(const ImageBatch& batch, const Normalization& normalization,
                                     const std::atomic<bool>* cancel,
                                     const ImageTransform& transform) {
  validate(batch, model_.config().input_size);
  require_going_on(cancel);
  Entry& entry = plans_.get(
      batch.size, [this](int64_t size) { return make_plan(size, false); },
      [this](int64_t size) { return make_plan(size, true)->plan.bytes(); });
  Backend& backend = model_.backend();
  const std::vector<ImageTransform> transforms(static_cast<size_t>(batch.size), transform);
  load_images(entry.plan, entry.graph.input, batch, transforms, normalization);
  entry.repeated.run(backend, model_.parameters().weights.flat().data, 0,
                     [&] { forward(entry, batch.size, cancel); });
  const int64_t classes = model_.config().classes;
  InFlight run{entry.readbacks[entry.next_readback], batch.size, classes};
  entry.next_readback = (entry.next_readback + 1) % kInFlight;
  run.results->start(tensor_of(static_cast<float*>(entry.results->data()),
                               Shape{result_elements(batch.size, classes)}));
  return run;
}

Prediction Evaluator::finish(const InFlight& run) {
  const float* values = static_cast<const float*>(run.results->wait());
  const auto take = [&](int64_t count) {
    const std::vector<float> taken(values, values + count);
    values += count;
    return taken;
  };
  Prediction prediction;
  prediction.expression = take(run.batch * kEmbedding);
  prediction.neutral = take(run.batch * kEmbedding);
  prediction.logits = take(run.batch * run.classes);
  return prediction;
}

}  // namespace countenance
