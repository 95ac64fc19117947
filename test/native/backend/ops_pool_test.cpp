#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/op_cases.h"

namespace countenance::test {

namespace {

struct PoolCase {
  Shape x;  // (B, H, W, C)
  MaxPoolAttributes attributes;
};

int64_t pooled(int64_t size, const MaxPoolAttributes& a) {
  return (size + 2 * a.padding - a.kernel) / a.stride + 1;
}

void max_pool_reference(OpValues& v, const PoolCase& p, const Shape& y) {
  const auto [kernel, stride, padding] = p.attributes;
  const std::vector<double>& in = v["x"];
  size_t at = 0;
  for (int64_t b = 0; b < y[0]; ++b) {
    for (int64_t oy = 0; oy < y[1]; ++oy) {
      for (int64_t ox = 0; ox < y[2]; ++ox) {
        for (int64_t c = 0; c < y[3]; ++c, ++at) {
          double best = -std::numeric_limits<double>::infinity();
          for (int64_t k = 0; k < kernel * kernel; ++k) {
            const int64_t iy = oy * stride - padding + k / kernel;
            const int64_t ix = ox * stride - padding + k % kernel;
            if (iy < 0 || ix < 0 || iy >= p.x[1] || ix >= p.x[2]) continue;
            const double x =
                in[static_cast<size_t>(((b * p.x[1] + iy) * p.x[2] + ix) * p.x[3] + c)];
            if (x > best) {
              best = x;
              v["argmax"][at] = static_cast<double>(k);
            }
          }
          v["y"][at] = best;
        }
      }
    }
  }
}

void run_max_pool(const PoolCase& p, std::vector<float> values, bool differentiable = true) {
  OpCase c(text(p.x, " kernel ", p.attributes.kernel, " stride ", p.attributes.stride, " padding ",
                p.attributes.padding));
  const Shape y{p.x[0], pooled(p.x[1], p.attributes), pooled(p.x[2], p.attributes), p.x[3]};
  c.input("x", p.x, std::move(values));
  c.output("y", y);
  c.side_output("argmax", y, DType::U8);
  c.forward = [=](Backend& b, OpTensors& t) {
    b.max_pool_forward(t["y"], t["argmax"], t["x"], p.attributes);
  };
  if (differentiable) {
    c.backward = [=](Backend& b, OpTensors& t) {
      b.max_pool_backward(t.gradient("x"), t.cotangent("y"), t["argmax"], p.attributes);
    };
  }
  c.reference = [=](OpValues& v) { max_pool_reference(v, p, y); };
  run_case(c);
}

// Numbers that differ within any 8 x 8 pixels of a channel and are exact in bfloat16. Normal
// numbers in bfloat16 often tie in a window, and a maximum has no derivative there.
std::vector<float> distinct_in_windows(const Shape& x) {
  std::vector<float> values;
  for (int64_t i = 0; i < x.elements(); ++i) {
    const int64_t c = i % x[3], column = i / x[3] % x[2], row = i / x[3] / x[2];
    const int64_t place = row % x[1] % 8 * 8 + column % 8;
    const int64_t shuffled = (place * (2 * (17 * c + row / x[1]) + 1) + 29 * c) % 64;
    values.push_back(static_cast<float>(shuffled) / 16 - 2);
  }
  return values;
}

// Whether a backend here rounds to bfloat16.
bool in_bf16() {
  const std::vector<TestedBackend>& all = all_tested_backends();
  return std::any_of(all.begin(), all.end(),
                     [](const TestedBackend& t) { return t.precision == Precision::BF16; });
}

}  // namespace

OP_CASES(max_pool, "max_pool_forward", "max_pool_backward") {
  for (const PoolCase& p :
       {PoolCase{{1, 1, 1, 1}, {3, 2, 1}}, PoolCase{{2, 7, 5, 3}, {3, 2, 1}},
        PoolCase{{1, 8, 8, 16}, {3, 2, 1}}, PoolCase{{2, 6, 9, 37}, {2, 2, 0}},
        PoolCase{{1, 5, 5, 20}, {3, 1, 1}}, PoolCase{{1, 11, 7, 64}, {5, 3, 2}},
        PoolCase{{1, 4, 4, 5}, {2, 3, 1}}, PoolCase{{3, 12, 12, 70}, {3, 2, 1}}}) {
    run_max_pool(p, in_bf16() ? distinct_in_windows(p.x) : normal(p.x.elements(), text(p.x)));
  }
}

// Zeros after a relu: among equal values the first wins, as in PyTorch.
OP_CASES(max_pool_ties, "max_pool_forward") {
  const PoolCase p{{2, 9, 9, 18}, {3, 2, 1}};
  run_max_pool(p, repeated(p.x.elements(), 0.0f), false);
  std::vector<float> values = normal(p.x.elements());
  for (float& v : values) v = std::round(v);
  run_max_pool(p, values, false);
}

TEST(max_pool_without_argmax_and_with_nan) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const TestedBackend& tested : tested_backends()) {
    const std::unique_ptr<Backend> backend = tested.make(1);
    const auto in = backend->allocate(9 * 20 * 4), out = backend->allocate(20 * 4);
    std::vector<float> x = normal(9 * 20);
    x[4 * 20 + 3] = nan;
    const Tensor input = tensor_of(static_cast<float*>(in->data()), {1, 3, 3, 20});
    const Tensor output = tensor_of(static_cast<float*>(out->data()), {1, 1, 1, 20});
    backend->copy_in(input, x.data());
    backend->max_pool_forward(output, {}, input, {3, 1, 0});
    std::vector<float> y(20);
    backend->copy_out(y.data(), output);
    for (size_t c = 0; c < 20; ++c) {
      float best = x[c];
      for (size_t p = 0; p < 9; ++p) best = std::max(best, x[p * 20 + c]);
      CHECK(c == 3 ? std::isnan(y[c]) : y[c] == best, tested.name, " channel ", c);
    }
  }
}

OP_CASES(global_average_pool, "global_average_pool_forward", "global_average_pool_backward") {
  for (const Shape& x : {Shape{1, 1, 1, 1}, Shape{3, 2, 5, 7}, Shape{2, 7, 7, 100},
                         Shape{2, 4, 4, 130}, Shape{1, 20, 17, 16}}) {
    OpCase c(text(x));
    const Shape y{x[0], x[3]};
    c.input("x", x, normal(x.elements(), c.name));
    c.output("y", y);
    c.forward = [](Backend& b, OpTensors& t) { b.global_average_pool_forward(t["y"], t["x"]); };
    c.backward = [](Backend& b, OpTensors& t) {
      b.global_average_pool_backward(t.gradient("x"), t.cotangent("y"));
    };
    c.reference = [x](OpValues& v) {
      const size_t pixels = static_cast<size_t>(x[1] * x[2]);
      const size_t channels = static_cast<size_t>(x[3]);
      for (size_t i = 0; i < v["y"].size(); ++i) {
        double sum = 0;
        for (size_t p = 0; p < pixels; ++p) {
          sum += v["x"][(i / channels * pixels + p) * channels + i % channels];
        }
        v["y"][i] = sum / static_cast<double>(pixels);
      }
    };
    run_case(c);
  }
}

}  // namespace countenance::test
