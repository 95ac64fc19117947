#include "models/image_input.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/prepared_images.h"

namespace countenance {

namespace {

void validate_sized_images(const ImageBatch& batch) {
  const auto count = static_cast<int64_t>(batch.sizes.size());
  if (count != batch.size) {
    fail(code::kShapeMismatch, "Expected ", batch.size, " images but received ", count);
  }
  int64_t bytes = 0;  // kMaxBatch images of kMaxImageSide are far below its limit
  for (const ImageSize& image_size : batch.sizes) bytes += image_bytes(image_size);
  if (batch.pixels.size() != static_cast<size_t>(bytes) || !batch.normalized.empty()) {
    fail(code::kShapeMismatch, "Expected ", bytes, " bytes for ", count,
         " RGB images but received ", batch.pixels.size());
  }
}

}  // namespace

void validate(const ImageBatch& batch, int64_t input_size) {
  require(batch.size >= 1, "Expected a batch of at least 1 image but received ", batch.size);
  if (batch.size > kMaxBatch) {
    fail(code::kBatchTooLarge, "Expected a batch of at most ", kMaxBatch, " images but received ",
         batch.size);
  }
  if (!batch.sizes.empty()) return validate_sized_images(batch);
  const Shape shape{batch.size, input_size, input_size, 3};
  require(batch.pixels.empty() || batch.normalized.empty(), "Expected images in one form, not two");
  const size_t received = batch.pixels.empty() ? batch.normalized.size() : batch.pixels.size();
  if (received != static_cast<size_t>(shape.elements())) {
    fail(code::kShapeMismatch, "Expected images of shape ", shape, ", ", shape.elements(),
         " numbers, but received ", received);
  }
  const int64_t image = input_size * input_size * 3;
  for (int64_t b = 0; !batch.normalized.empty() && b < batch.size; ++b) {
    const auto values =
        batch.normalized.subspan(static_cast<size_t>(b * image), static_cast<size_t>(image));
    bool finite = true;
    for (float x : values) finite &= std::isfinite(x);
    if (!finite)
      fail(code::kNotFinite, "image ", b, " of the batch holds a value that is not finite");
  }
}

ImageInput image_input(Graph& graph, int64_t batch, int64_t input_size) {
  const Shape shape{batch, input_size, input_size, 3};
  return {graph.input(shape, graph.activation()), graph.input(shape, DType::U8)};
}

void load_images(Plan& plan, const ImageInput& input, const ImageBatch& batch,
                 std::span<const ImageTransform> transforms, const Normalization& normalization) {
  Backend& backend = plan.graph().backend();
  const Tensor images = plan.tensor(input.images);
  if (!batch.sizes.empty()) {
    backend.resize_and_prepare_images(images, batch.pixels, batch.sizes, transforms, normalization);
    return;
  }
  if (batch.pixels.empty()) {
    if (images.dtype == DType::F32) {
      backend.copy_in(images, batch.normalized.data());
    } else {
      std::vector<uint16_t> halves(batch.normalized.size());
      std::transform(batch.normalized.begin(), batch.normalized.end(), halves.begin(), to_bf16);
      backend.copy_in(images, halves.data());
    }
    return;
  }
  const Tensor pixels = plan.tensor(input.pixels);
  backend.copy_in(pixels, batch.pixels.data());
  backend.prepare_images(images, pixels, transforms, normalization);
}

}  // namespace countenance
