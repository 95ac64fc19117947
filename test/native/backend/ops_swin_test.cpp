#include <cmath>

#include "backend/op_cases.h"

namespace countenance::test {

namespace {

struct AttentionCase {
  Shape grid;  // (B, H, W)
  int64_t depth;
  WindowAttentionAttributes attributes;
};

// As Swin does it: roll by -shift, cut into windows, attend with the bias and the mask of regions,
// and back. Independent of the kernels' index arithmetic.
void attention_reference(OpValues& v, const AttentionCase& p) {
  const auto [heads, window, shift] = p.attributes;
  const int64_t height = p.grid[1], width = p.grid[2];
  const int64_t channels = heads * p.depth;
  const std::vector<double>& in = v["qkv"];
  const std::vector<double>& table = v["bias_table"];
  std::vector<double>& out = v["y"];
  const auto region = [&](int64_t i, int64_t size) {  // slices (0, -M), (-M, -shift), (-shift, )
    return i < size - window ? 0 : i < size - shift ? 1 : 2;
  };
  struct Token {
    int64_t place;  // index of the pixel in the image, unrolled
    int64_t region, y, x;
  };
  for (int64_t b = 0; b < p.grid[0]; ++b) {
    for (int64_t wy = 0; wy < height; wy += window) {
      for (int64_t wx = 0; wx < width; wx += window) {
        std::vector<Token> tokens;
        for (int64_t y = wy; y < wy + window; ++y) {
          for (int64_t x = wx; x < wx + window; ++x) {
            const int64_t place = (b * height + (y + shift) % height) * width + (x + shift) % width;
            tokens.push_back({place, 3 * region(y, height) + region(x, width), y - wy, x - wx});
          }
        }
        for (int64_t h = 0; h < heads; ++h) {
          const auto qkv = [&](const Token& t, int64_t which, int64_t d) {
            return in[static_cast<size_t>((t.place * 3 + which) * channels + h * p.depth + d)];
          };
          for (const Token& query : tokens) {
            std::vector<double> scores;
            for (const Token& key : tokens) {
              double s = 0;
              for (int64_t d = 0; d < p.depth; ++d) s += qkv(query, 0, d) * qkv(key, 1, d);
              s /= std::sqrt(static_cast<double>(p.depth));
              const int64_t row = (query.y - key.y + window - 1) * (2 * window - 1) +
                                  (query.x - key.x + window - 1);
              s += table[static_cast<size_t>(row * heads + h)];
              if (shift && query.region != key.region) s -= 100;
              scores.push_back(s);
            }
            double sum = 0;
            for (double& s : scores) sum += s = std::exp(s);
            const int64_t pixel = query.place % (height * width);
            v["log_sum_exp"][static_cast<size_t>((b * heads + h) * height * width + pixel)] =
                std::log(sum);
            for (int64_t d = 0; d < p.depth; ++d) {
              double y = 0;
              for (size_t j = 0; j < tokens.size(); ++j) {
                y += scores[j] / sum * qkv(tokens[j], 2, d);
              }
              out[static_cast<size_t>(query.place * channels + h * p.depth + d)] = y;
            }
          }
        }
      }
    }
  }
}

void run_attention(const AttentionCase& p) {
  const auto [heads, window, shift] = p.attributes;
  const int64_t channels = heads * p.depth;
  OpCase c(text(p.grid, " heads ", heads, " x ", p.depth, " window ", window, " shift ", shift));
  const Shape qkv{p.grid[0], p.grid[1], p.grid[2], 3 * channels};
  const Shape table{(2 * window - 1) * (2 * window - 1), heads};
  c.input("qkv", qkv, normal(qkv.elements(), c.name));
  c.input("bias_table", table, normal(table.elements(), "bias_table", 0, 0.5));
  c.output("y", {p.grid[0], p.grid[1], p.grid[2], channels});
  c.side_output("log_sum_exp", {p.grid[0], heads, p.grid[1], p.grid[2]});
  c.workspace = [=](Backend& b) { return b.window_attention_workspace(qkv, p.attributes); };
  c.forward = [=](Backend& b, OpTensors& t) {
    b.window_attention_forward(t["y"], t["log_sum_exp"], t["qkv"], t["bias_table"], p.attributes,
                               t.workspace);
  };
  c.backward = [=](Backend& b, OpTensors& t) {
    b.window_attention_backward({.dqkv = t.gradient("qkv"),
                                 .dbias_table = t.gradient("bias_table"),
                                 .dy = t.cotangent("y"),
                                 .qkv = t["qkv"],
                                 .y = t["y"],
                                 .log_sum_exp = t["log_sum_exp"],
                                 .bias_table = t["bias_table"],
                                 .workspace = t.workspace},
                                p.attributes);
  };
  c.reference = [=](OpValues& v) { attention_reference(v, p); };
  // A score is a sum of `depth` products and passes through exp: its rounding error, about 1e-7 of
  // scores up to 10, becomes that of the probabilities.
  c.forward_tolerance = 4e-6;
  c.backward_tolerance = 1e-5;
  // A lone token has probability 1, which e^(s - log_sum_exp) matches to one rounding; its gradient
  // is 0 in exact arithmetic.
  c.backward_noise = 2e-7;
  // Two more roundings: of the probabilities, which weigh values larger than their mean.
  c.bf16_tolerance = 8e-3;
  run_case(c);
}

}  // namespace

OP_CASES(window_attention, "window_attention_forward", "window_attention_backward") {
  for (const AttentionCase& p :
       {AttentionCase{{1, 1, 1}, 1, {1, 1, 0}}, AttentionCase{{2, 4, 6}, 3, {2, 2, 0}},
        AttentionCase{{1, 6, 6}, 8, {2, 3, 1}}, AttentionCase{{1, 7, 7}, 32, {1, 7, 0}},
        AttentionCase{{1, 14, 7}, 17, {1, 7, 3}}, AttentionCase{{1, 8, 4}, 20, {3, 4, 2}},
        AttentionCase{{1, 3, 3}, 5, {1, 3, 2}}, AttentionCase{{2, 5, 5}, 33, {1, 5, 2}}}) {
    run_attention(p);
  }
}

// Swin-T's windows and heads, for which a backend may have dedicated kernels: at an edge or in the
// middle, several windows and images per thread block.
OP_CASES(window_attention_swin, "window_attention_forward", "window_attention_backward") {
  for (const AttentionCase& p :
       {AttentionCase{{1, 7, 7}, 32, {2, 7, 3}}, AttentionCase{{1, 14, 21}, 32, {1, 7, 0}},
        AttentionCase{{2, 14, 14}, 32, {2, 7, 3}}}) {
    run_attention(p);
  }
}

// More tokens than some kernels have threads, or room for their scores.
OP_CASES(window_attention_large, "window_attention_forward", "window_attention_backward") {
  for (const AttentionCase& p :
       {AttentionCase{{1, 9, 18}, 3, {1, 9, 4}}, AttentionCase{{1, 10, 10}, 4, {2, 10, 3}},
        AttentionCase{{1, 12, 24}, 5, {1, 12, 5}}, AttentionCase{{1, 14, 14}, 36, {1, 14, 9}}}) {
    run_attention(p);
  }
}

// Several slices of windows.
OP_CASES(window_attention_many, "window_attention_forward", "window_attention_backward") {
  run_attention({{5, 6, 10}, 4, {2, 2, 1}});
}

// Evaluation mode: the result does not depend on whether log_sum_exp is kept.
TEST(window_attention_without_log_sum_exp) {
  const WindowAttentionAttributes attributes{2, 7, 3};
  const Shape qkv{1, 14, 14, 3 * 2 * 16};
  for (const TestedBackend& tested : tested_backends()) {
    const std::unique_ptr<Backend> backend = tested.make(2);
    const auto block = [&](int64_t n) { return backend->allocate(static_cast<size_t>(n) * 4); };
    const auto in = block(qkv.elements()), table = block(169 * 2), saved = block(2 * 196);
    const auto first = block(196 * 32), second = block(196 * 32);
    const auto space = backend->allocate(backend->window_attention_workspace(qkv, attributes));
    const auto view = [](const auto& b, Shape shape) {
      return tensor_of(static_cast<float*>(b->data()), shape);
    };
    backend->copy_in(view(in, qkv), normal(qkv.elements()).data());
    backend->copy_in(view(table, {169, 2}), normal(169 * 2).data());
    const Shape y{1, 14, 14, 32};
    backend->window_attention_forward(view(first, y), view(saved, {1, 2, 14, 14}), view(in, qkv),
                                      view(table, {169, 2}), attributes, view(space, {1}));
    backend->window_attention_forward(view(second, y), {}, view(in, qkv), view(table, {169, 2}),
                                      attributes, view(space, {1}));
    std::vector<float> a(196 * 32), b(196 * 32);
    backend->copy_out(a.data(), view(first, y));
    backend->copy_out(b.data(), view(second, y));
    CHECK(a == b, tested.name);
  }
}

OP_CASES(patch_merge, "patch_merge_forward", "patch_merge_backward") {
  for (const Shape& x :
       {Shape{1, 2, 2, 1}, Shape{2, 4, 6, 5}, Shape{1, 8, 4, 33}, Shape{3, 14, 14, 16}}) {
    OpCase c(text(x));
    const Shape y{x[0], x[1] / 2, x[2] / 2, 4 * x[3]};
    c.input("x", x, normal(x.elements(), c.name));
    c.output("y", y);
    c.forward = [](Backend& b, OpTensors& t) { b.patch_merge_forward(t["y"], t["x"]); };
    c.backward = [](Backend& b, OpTensors& t) {
      b.patch_merge_backward(t.gradient("x"), t.cotangent("y"));
    };
    // x0 = x[0::2, 0::2], x1 = x[1::2, 0::2], x2 = x[0::2, 1::2], x3 = x[1::2, 1::2]
    c.reference = [x](OpValues& v) {
      for (int64_t b = 0; b < x[0]; ++b) {
        for (int64_t iy = 0; iy < x[1]; ++iy) {
          for (int64_t ix = 0; ix < x[2]; ++ix) {
            for (int64_t ch = 0; ch < x[3]; ++ch) {
              const int64_t group = (b * (x[1] / 2) + iy / 2) * (x[2] / 2) + ix / 2;
              const int64_t to = group * 4 * x[3] + (iy % 2 + 2 * (ix % 2)) * x[3] + ch;
              const int64_t from = ((b * x[1] + iy) * x[2] + ix) * x[3] + ch;
              v["y"][static_cast<size_t>(to)] = v["x"][static_cast<size_t>(from)];
            }
          }
        }
      }
    };
    run_case(c);
  }
}

}  // namespace countenance::test
