#pragma once

#include "core/tensor.h"

// The tensors of the backend's operations that take more than five: named at the call by designated
// initialisers. A member without `= {}` must be given, or the call does not compile.

namespace countenance {

struct BatchNormForward {
  Tensor y;
  Tensor mean, rstd;                 // (C), of the batch
  Tensor running_mean, running_var;  // (C), updated; may be absent
  Tensor x;
  Tensor weight, bias;    // (C)
  Tensor residual = {};   // shape of y
  Tensor workspace = {};  // batch_norm_workspace() bytes
};

struct BatchNormBackward {
  Gradient dx;
  Gradient dresidual = {};  // the gradient after the activation
  Gradient dweight, dbias;
  Tensor dy;
  Tensor x;
  Tensor y = {};  // needed with an activation
  Tensor mean, rstd;
  Tensor weight;
  Tensor workspace;  // batch_norm_workspace() bytes
};

struct BatchNormFold {
  Tensor scale, shift;  // (C)
  Tensor weight, bias;
  Tensor running_mean, running_var;
};

struct LayerNormForward {
  Tensor y;
  Tensor mean = {}, rstd = {};  // (rows); absent in evaluation mode
  Tensor x;
  Tensor weight, bias;  // (C)
};

struct LayerNormBackward {
  Gradient dx;
  Gradient dweight, dbias;
  Tensor dy;
  Tensor x;
  Tensor mean, rstd;
  Tensor weight;
  Tensor workspace;  // layer_norm_workspace() bytes
};

struct WindowAttentionBackward {
  Gradient dqkv;
  Gradient dbias_table;
  Tensor dy;
  Tensor qkv;
  Tensor y;
  Tensor log_sum_exp;
  Tensor bias_table;
  Tensor workspace;  // window_attention_workspace() bytes
};

// expression, neutral (B, D); targets (B, K), rows summing to 1; text (K, D) raw.
struct ObjectiveOperands {
  Tensor losses;  // (kObjectiveValues), as ObjectiveValue
  Tensor logits;  // (B, K)
  Gradient dexpression, dneutral;
  Tensor expression, neutral;
  Tensor targets;
  Tensor text;
  Tensor workspace;  // objective_workspace() bytes
};

// Operands common to all optimizer steps over flat arenas of n elements. Whatever changes from step
// to step is in the backend's memory, so that a recorded step can be replayed.
struct OptimizerStep {
  Tensor weights;
  Tensor gradients;
  // (1), multiplies every gradient; NaN: the step is skipped, and everything stays as it is.
  // Absent: 1.
  Tensor gradient_scale = {};
  // Element i follows row groups[i / kGroupElements] of rates; (ceil(n / kGroupElements)) uint8, or
  // absent: row 0.
  Tensor groups = {};
  Tensor rates;  // (G, the optimizer's number of rates)
};

}  // namespace countenance
