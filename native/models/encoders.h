#pragma once

#include "models/model.h"

namespace countenance {

// The two image encoders: images (B, S, S, 3) -> representation (B, D). Parameters under `name`.

// He et al., "Deep residual learning for image recognition", 2016; torchvision's names, no fc.
Value resnet18(Graph& graph, Value images, const std::string& name);

// Liu et al., "Swin transformer", 2021, with the reference's head; `drop_path` is the rate of the
// last block. Needs an image of 7 * 8 * patch_size pixels a side, or a multiple of it.
Value swin_t(Graph& graph, Value images, const std::string& name, int64_t patch_size,
             float drop_path);

// docs/METHOD.md: f_n = W2 relu(W1 f_e + b1) + b2, W1: D -> 128, W2: 128 -> D.
Value neutral_transformation(Graph& graph, Value expression, const std::string& name);

}  // namespace countenance
