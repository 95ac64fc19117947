#pragma once

#include <span>

#include "models/model.h"

namespace countenance {

// The largest batch: a larger one would not train better, and its plan takes tens of GiB.
inline constexpr int64_t kMaxBatch = 4096;

// B square RGB images, NHWC (B, S, S, 3), as pixels or normalised, or B images to be resized.
struct ImageBatch {
  int64_t size = 0;                 // B
  std::span<const uint8_t> pixels;  // not yet normalised
  std::span<const float> normalized;
  // B sizes: `pixels` are images (height, width, 3), one after the other.
  std::span<const ImageSize> sizes = {};
};

// Throws ERR_BATCH_TOO_LARGE or ERR_SHAPE_MISMATCH, ERR_INVALID_ARGUMENT for an image's sides,
// ERR_NOT_FINITE for normalised images.
void validate(const ImageBatch& batch, int64_t input_size);

// The images of a graph: normalised activations, and the tensor through which pixels enter.
struct ImageInput {
  Value images;  // (B, S, S, 3) activations
  Value pixels;  // (B, S, S, 3) uint8; lives only until the first op starts
};

ImageInput image_input(Graph& graph, int64_t batch, int64_t input_size);

// Fills the inputs of a plan, before its forward pass. transforms: B for pixels, unused otherwise.
void load_images(Plan& plan, const ImageInput& input, const ImageBatch& batch,
                 std::span<const ImageTransform> transforms, const Normalization& normalization);

}  // namespace countenance
