#pragma once

#include <string>

#include "backend/attributes.h"
#include "graph/graph.h"

// The vocabulary of the models. Each function appends one op (or, in evaluation mode, its fused
// form) to the graph and returns its output; each is in its own file with both directions.
// `name` is the prefix of the parameters in PyTorch's state dict.
// Errors: ERR_INVALID_ARGUMENT when a shape does not fit.
// Every op describes itself (graph/op.h), and lib/export and bench/ know ops by their types: a new
// type needs a row in each of them, a new model built from these ops needs none.

namespace countenance {

struct Conv2dOptions {
  int64_t out_channels = 0;
  int64_t kernel = 3;
  int64_t stride = 1;
  int64_t padding = 0;
  bool bias = false;
};

// x (B, H, W, Cin) -> (B, H', W', Cout), H' = (H + 2 padding - kernel) / stride + 1.
// Weight: Kaiming normal, fan out; bias: uniform within 1 / sqrt(fan in).
Value conv2d(Graph& graph, Value x, const std::string& name, const Conv2dOptions& options);

struct BatchNormOptions {
  Activation activation = Activation::None;
  Value residual = {};    // added before the activation
  Value statistics = {};  // left by the convolution that made x, if any
  float eps = 1e-5f;
  float momentum = 0.1f;
};

// x (..., C). Batch statistics in training mode, running statistics in evaluation mode.
// Training over a single row is an error, as in PyTorch.
Value batch_norm(Graph& graph, Value x, const std::string& name, const BatchNormOptions& options);

// conv2d followed by batch_norm; in evaluation mode one op, the norm folded into the product's
// epilogue.
Value conv_norm(Graph& graph, Value x, const std::string& conv, const std::string& norm,
                const Conv2dOptions& options, const BatchNormOptions& norm_options);

// x (..., Cin) -> (..., Cout). The initial weights are given, and the initial bias (absent: no
// bias).
struct LinearOptions {
  int64_t out_features = 0;
  Initializer weight;
  bool bias = true;
  Initializer bias_initializer = Initializer::zeros();
};
Value linear(Graph& graph, Value x, const std::string& name, const LinearOptions& options);
// gelu(linear(x)), the erf form, as one op.
Value linear_gelu(Graph& graph, Value x, const std::string& name, const LinearOptions& options);

// Over the last dimension; eps 1e-5.
Value layer_norm(Graph& graph, Value x, const std::string& name);

Value relu(Graph& graph, Value x);

// Element i is dropped with this probability in training mode, the others scaled up.

// a + b; with a drop path rate, whole samples of b are dropped in training mode (stochastic depth).
Value add(Graph& graph, Value a, Value b, float drop_path = 0);

Value max_pool(Graph& graph, Value x, const MaxPoolAttributes& attributes);
Value global_average_pool(Graph& graph, Value x);  // (B, H, W, C) -> (B, C)

// qkv (B, H, W, 3C) -> (B, H, W, C): multi-head self-attention inside (shifted) windows, with
// relative position bias `name`.relative_position_bias_table ((2 window - 1)^2, heads).
Value window_attention(Graph& graph, Value qkv, const std::string& name,
                       const WindowAttentionAttributes& attributes);

// (B, H, W, C) -> (B, H/2, W/2, 4C): the four neighbours side by side.
Value patch_merge(Graph& graph, Value x);

}  // namespace countenance
