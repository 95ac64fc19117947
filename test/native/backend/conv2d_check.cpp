#include "backend/conv2d_check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "backend/op_cases.h"
#include "harness/bf16.h"

namespace countenance::test {

namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

struct Sizes {
  explicit Sizes(const ConvCase& c)
      : y_height((c.height + 2 * c.padding - c.kernel_height) / c.stride + 1),
        y_width((c.width + 2 * c.padding - c.kernel_width) / c.stride + 1),
        x(c.batch * c.height * c.width * c.in),
        y(c.batch * y_height * y_width * c.out),
        weight(c.out * c.in * c.kernel_height * c.kernel_width) {}
  int64_t y_height, y_width, x, y, weight;
};

// f(place in y, place in x, place in weight) for every product of the convolution.
template <class F>
void for_each_product(const ConvCase& c, F&& f) {
  const Sizes s(c);
  for (int64_t b = 0; b < c.batch; ++b)
    for (int64_t oy = 0; oy < s.y_height; ++oy)
      for (int64_t ox = 0; ox < s.y_width; ++ox)
        for (int64_t ky = 0; ky < c.kernel_height; ++ky)
          for (int64_t kx = 0; kx < c.kernel_width; ++kx) {
            const int64_t iy = oy * c.stride - c.padding + ky;
            const int64_t ix = ox * c.stride - c.padding + kx;
            if (iy < 0 || iy >= c.height || ix < 0 || ix >= c.width) continue;
            for (int64_t o = 0; o < c.out; ++o)
              for (int64_t i = 0; i < c.in; ++i) {
                f(((b * s.y_height + oy) * s.y_width + ox) * c.out + o,
                  ((b * c.height + iy) * c.width + ix) * c.in + i,
                  ((o * c.in + i) * c.kernel_height + ky) * c.kernel_width + kx);
              }
          }
}

// Inputs and expected outputs, in PyTorch's weight layout. For bfloat16 operands, including
// weights, the reference gets the rounded values.
struct Expected {
  Expected(const ConvCase& c, Precision precision) : sizes(c) {
    x = normal(sizes.x, c.name() + ".x");
    weight = normal(sizes.weight, c.name() + ".weight");
    dy = normal(sizes.y, c.name() + ".dy");
    scale = normal(c.out, c.name() + ".scale");
    shift = normal(c.out, c.name() + ".shift");
    residual = normal(sizes.y, c.name() + ".residual");
    if (precision == Precision::BF16) {
      for (Floats* rounded : {&x, &weight, &dy, &residual}) *rounded = rounded_to_bf16(*rounded);
    }
  }
  void compute(const ConvCase& c) {
    y.assign(static_cast<size_t>(sizes.y), 0);
    dx.assign(static_cast<size_t>(sizes.x), 0);
    dweight.assign(static_cast<size_t>(sizes.weight), 0);
    dbias.assign(static_cast<size_t>(c.out), 0);
    for_each_product(c, [&](int64_t iy, int64_t ix, int64_t iw) {
      const size_t a = static_cast<size_t>(iy);
      const size_t b = static_cast<size_t>(ix);
      const size_t d = static_cast<size_t>(iw);
      const auto add = [](Doubles& sum, double& terms, size_t i, double term) {
        sum[i] += term;
        terms += term * term;
      };
      add(y, y_terms, a, static_cast<double>(x[b]) * weight[d]);
      add(dx, dx_terms, b, static_cast<double>(dy[a]) * weight[d]);
      add(dweight, dweight_terms, d, static_cast<double>(dy[a]) * x[b]);
    });
    for (size_t i = 0; i < dy.size(); ++i) {
      dbias[i % static_cast<size_t>(c.out)] += dy[i];
      dbias_terms += static_cast<double>(dy[i]) * dy[i];
    }
  }

  Sizes sizes;
  Floats x, weight, dy, scale, shift, residual;
  Doubles y, dx, dweight, dbias;
  // The sum of the squares of all terms: that of the result if no sum cancelled.
  double y_terms = 0, dx_terms = 0, dweight_terms = 0, dbias_terms = 0;
};

struct EpilogueKind {
  bool scale, shift, residual, relu;
};

// The operations of one backend on one case, each into fresh guarded memory.
class Device {
 public:
  Device(const ConvCase& c, const Expected& e, Backend& backend, Precision precision)
      : case_(c), expected_(e), backend_(backend), activations_(activation_dtype(precision)) {
    if (c.linear) {
      x_shape_ = {c.batch * c.height * c.width, c.in};
      y_shape_ = {c.batch * c.height * c.width, c.out};
      weight_shape_ = {c.out, c.in};
    } else {
      x_shape_ = {c.batch, c.height, c.width, c.in};
      y_shape_ = {c.batch, e.sizes.y_height, e.sizes.y_width, c.out};
      weight_shape_ = {c.out, c.in, c.kernel_height, c.kernel_width};
    }
    attributes_ = {c.stride, c.padding};
    x_ = place("x", x_shape_, &e.x, activations_);
    dy_ = place("dy", y_shape_, &e.dy, activations_);
    weight_ = place_matrix("weight", &e.weight);
    const size_t bytes = c.linear ? backend.linear_workspace(x_shape_, weight_shape_)
                                  : backend.conv2d_workspace(x_shape_, weight_shape_, attributes_);
    workspace_ = place("workspace", Shape{static_cast<int64_t>((bytes + 3) / 4)}, nullptr);
  }

  Floats forward(const EpilogueKind& kind) {
    const Tensor y = place("y", y_shape_, nullptr, activations_);
    const Shape channels{case_.out};
    Epilogue epilogue;
    if (kind.scale) epilogue.scale = place("scale", channels, &expected_.scale);
    if (kind.shift) epilogue.shift = place("shift", channels, &expected_.shift);
    if (kind.residual) {
      epilogue.residual = place("residual", y_shape_, &expected_.residual, activations_);
    }
    if (kind.relu) epilogue.activation = Activation::Relu;
    if (case_.linear) {
      backend_.linear_forward(y, x_, weight_, epilogue, workspace_);
    } else {
      backend_.conv2d_forward(y, x_, weight_, epilogue, attributes_, workspace_);
    }
    return fetch(y);
  }

  // y = gelu(x weight^T + shift) of a linear layer, and what gelu was applied to.
  struct GeluOutputs {
    Floats y, pre_activation;
  };
  GeluOutputs forward_gelu(bool saves) {
    const Tensor y = place("y", y_shape_, nullptr, activations_);
    Epilogue epilogue{.shift = place("shift", Shape{case_.out}, &expected_.shift),
                      .activation = Activation::Gelu};
    if (saves) {
      epilogue.pre_activation = place("pre-activation", y_shape_, nullptr, activations_);
    }
    backend_.linear_forward(y, x_, weight_, epilogue, workspace_);
    return {fetch(y), saves ? fetch(epilogue.pre_activation) : Floats{}};
  }

  Floats backward_data(GradientMode mode, const Floats* base) {
    const Tensor dx = place("dx", x_shape_, base, activations_);
    if (case_.linear) {
      backend_.linear_backward_data({dx, mode}, dy_, weight_, workspace_);
    } else {
      backend_.conv2d_backward_data({dx, mode}, dy_, weight_, attributes_, workspace_);
    }
    return fetch(dx);
  }

  struct WeightGradients {
    Floats dweight, dbias;
  };
  WeightGradients backward_weight(GradientMode weight_mode, GradientMode bias_mode,
                                  const Floats* weight_base, const Floats* bias_base) {
    Gradient dweight;
    Gradient dbias;
    if (weight_mode != GradientMode::Ignore) {
      dweight = {place_matrix("dweight", weight_base), weight_mode};
    }
    if (bias_mode != GradientMode::Ignore) {
      dbias = {place("dbias", Shape{case_.out}, bias_base), bias_mode};
    }
    if (case_.linear) {
      backend_.linear_backward_weight(dweight, dbias, dy_, x_, workspace_);
    } else {
      backend_.conv2d_backward_weight(dweight, dbias, dy_, x_, attributes_, workspace_);
    }
    WeightGradients result;
    if (dweight.wanted()) {
      result.dweight.resize(static_cast<size_t>(weight_shape_.elements()));
      backend_.unpack_parameter(result.dweight.data(), dweight.tensor);
      // Packing what was unpacked restores the bytes only if the padding is zero.
      const int64_t elements = backend_.packed_elements(weight_shape_);
      const Tensor again = place_matrix("packed again", &result.dweight);
      Floats a(static_cast<size_t>(elements));
      Floats b(a.size());
      backend_.copy_out(a.data(), {dweight.tensor.data, Shape{elements}, DType::F32});
      backend_.copy_out(b.data(), {again.data, Shape{elements}, DType::F32});
      padding_zero_ = padding_zero_ && a == b;
    }
    if (dbias.wanted()) result.dbias = fetch(dbias.tensor);
    return result;
  }

  void check_guards(const std::string& where) const {
    for (const auto& [name, buffer] : buffers_) {
      CHECK(buffer->guards_intact(), where, ": wrote outside of ", name);
    }
    CHECK(padding_zero_, where, ": the padding of dweight is not zero");
  }

 private:
  Tensor place(const std::string& name, const Shape& shape, const Floats* values,
               DType dtype = DType::F32) {
    const size_t bytes = static_cast<size_t>(shape.elements()) * size_of(dtype);
    buffers_.emplace_back(name, std::make_unique<GuardedBuffer>(backend_, bytes));
    const Tensor tensor{buffers_.back().second->data(), shape, dtype};
    if (values && dtype == DType::BF16) {
      backend_.copy_in(tensor, to_bf16(*values).data());
    } else if (values) {
      backend_.copy_in(tensor, values->data());
    }
    return tensor;
  }
  Tensor place_matrix(const std::string& name, const Floats* values) {
    Tensor tensor = place(name, Shape{backend_.packed_elements(weight_shape_)}, nullptr);
    tensor.shape = weight_shape_;
    if (values) backend_.pack_parameter(tensor, values->data());
    return tensor;
  }
  Floats fetch(Tensor tensor) {
    backend_.synchronize();
    const size_t elements = static_cast<size_t>(tensor.elements());
    if (tensor.dtype == DType::BF16) {
      std::vector<uint16_t> halves(elements);
      backend_.copy_out(halves.data(), tensor);
      return from_bf16(halves);
    }
    Floats values(elements);
    backend_.copy_out(values.data(), tensor);
    return values;
  }

  const ConvCase& case_;
  const Expected& expected_;
  Backend& backend_;
  DType activations_;
  Shape x_shape_, y_shape_, weight_shape_;
  Conv2dAttributes attributes_;
  Tensor x_, dy_, weight_, workspace_;
  bool padding_zero_ = true;
  std::vector<std::pair<std::string, std::unique_ptr<GuardedBuffer>>> buffers_;
};

// A sum of n products in float, added in chains of at most 1024: sqrt(1024) roundings of 2^-24 at
// most, 1e-6 for the short sums here (the default float32_error). Tensor cores truncate where they
// should round. An activation in bfloat16 is rounded once more, by at most 2^-8.
struct Tolerance {
  Tolerance(Precision precision, double float32_error)
      : activations(precision == Precision::BF16 ? 4e-3 : float32_error),
        weights(precision == Precision::BF16 ? 1e-5 : float32_error) {}
  double activations, weights;
};

Doubles plus(const Doubles& a, const Floats& b) {
  Doubles sum = a;
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += b[i];
  return sum;
}

void check_near(const TestedBackend& tested, const Floats& got, const Doubles& want, double terms,
                double tolerance, const std::string& where) {
  double error = 0;
  double size = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    error += (got[i] - want[i]) * (got[i] - want[i]);
    size += want[i] * want[i];
  }
  const double normalised = std::sqrt(error / (std::max(size, terms) + 1e-30));
  record_error(tested.name, normalised);
  CHECK(normalised <= tolerance, where, ": normalised error ", normalised);
}

bool same_bits(const Floats& a, const Floats& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

constexpr EpilogueKind kEpilogues[] = {
    {false, false, false, false}, {false, true, false, false}, {true, true, false, true},
    {true, true, true, true},     {false, false, true, false}, {true, false, true, false},
};

Doubles with_epilogue(const ConvCase& c, const Expected& e, const EpilogueKind& kind) {
  Doubles y = e.y;
  for (size_t i = 0; i < y.size(); ++i) {
    const size_t channel = i % static_cast<size_t>(c.out);
    if (kind.scale) y[i] *= e.scale[channel];
    if (kind.shift) y[i] += e.shift[channel];
    if (kind.residual) y[i] += e.residual[i];
    if (kind.relu) y[i] = std::max(y[i], 0.0);
  }
  return y;
}

void check_gelu(const ConvCase& c, const Expected& e, const TestedBackend& tested, Device& device,
                double tolerance, const std::string& where) {
  const Doubles linear = with_epilogue(c, e, {false, true, false, false});
  Doubles y = linear;
  for (double& v : y) v *= 0.5 * std::erfc(-v / std::sqrt(2.0));
  const auto training = device.forward_gelu(true);
  const auto evaluation = device.forward_gelu(false);
  check_near(tested, training.y, y, e.y_terms, tolerance, where + ", gelu");
  check_near(tested, training.pre_activation, linear, e.y_terms, tolerance,
             where + ", pre-activation");
  CHECK(same_bits(training.y, evaluation.y), where, ": gelu without its pre-activation differs");
}

void check_backend(const ConvCase& c, const Expected& e, const TestedBackend& tested,
                   double float32_error) {
  const std::string where = text(c.name(), " on ", tested.name);
  const auto overwrite = GradientMode::Overwrite;
  const auto accumulate = GradientMode::Accumulate;
  const auto ignore = GradientMode::Ignore;
  const Tolerance tolerance(tested.precision, float32_error);
  std::vector<Floats> bits;  // of one thread
  for (int threads = 1; threads <= (tested.thorough ? 3 : 1); ++threads) {
    const std::unique_ptr<Backend> backend = tested.make(threads);
    Device device(c, e, *backend, tested.precision);
    std::vector<Floats> results;
    for (const EpilogueKind& kind : kEpilogues) {
      results.push_back(device.forward(kind));
      check_near(tested, results.back(), with_epilogue(c, e, kind), e.y_terms,
                 tolerance.activations, where + ", forward");
    }
    if (c.linear) check_gelu(c, e, tested, device, tolerance.activations, where);
    results.push_back(device.backward_data(overwrite, nullptr));
    check_near(tested, results.back(), e.dx, e.dx_terms, tolerance.activations, where + ", dx");
    results.push_back(device.backward_data(accumulate, &e.x));
    check_near(tested, results.back(), plus(e.dx, e.x), e.dx_terms, tolerance.activations,
               where + ", dx accumulated");
    results.push_back(device.backward_data(ignore, &e.x));
    CHECK(same_bits(results.back(), e.x), where, ": an ignored dx was written");

    auto gradients = device.backward_weight(overwrite, overwrite, nullptr, nullptr);
    check_near(tested, gradients.dweight, e.dweight, e.dweight_terms, tolerance.weights,
               where + ", dweight");
    check_near(tested, gradients.dbias, e.dbias, e.dbias_terms, tolerance.weights,
               where + ", dbias");
    const auto only_weight = device.backward_weight(overwrite, ignore, nullptr, nullptr);
    CHECK(same_bits(only_weight.dweight, gradients.dweight), where, ": dweight without dbias");
    const auto only_bias = device.backward_weight(ignore, overwrite, nullptr, nullptr);
    CHECK(same_bits(only_bias.dbias, gradients.dbias), where, ": dbias without dweight");
    results.push_back(gradients.dweight);
    results.push_back(gradients.dbias);
    gradients = device.backward_weight(accumulate, accumulate, &e.weight, &e.shift);
    check_near(tested, gradients.dweight, plus(e.dweight, e.weight), e.dweight_terms,
               tolerance.weights, where + ", dweight accumulated");
    check_near(tested, gradients.dbias, plus(e.dbias, e.shift), e.dbias_terms, tolerance.weights,
               where + ", dbias accumulated");
    results.push_back(gradients.dweight);
    results.push_back(gradients.dbias);

    device.check_guards(text(where, ", ", threads, " threads"));
    if (threads == 1) {
      bits = std::move(results);
    } else {
      for (size_t i = 0; i < bits.size(); ++i) {
        CHECK(same_bits(results[i], bits[i]), where, ": result ", i, " differs with ", threads,
              " threads");
      }
    }
  }
}

double dot(const Floats& a, const Floats& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

double norm(const Floats& a) { return std::sqrt(dot(a, a)); }

}  // namespace

std::string ConvCase::name() const {
  return text(linear ? "linear " : "conv ", batch, "x", height, "x", width, "x", in, " -> ", out,
              ", kernel ", kernel_height, "x", kernel_width, ", stride ", stride, ", padding ",
              padding);
}

void check_conv2d(const ConvCase& c, double float32_error) {
  for (Precision precision : {Precision::FP32, Precision::BF16}) {
    Expected expected(c, precision);
    bool computed = false;
    for (const TestedBackend& tested : all_tested_backends()) {
      if (tested.precision != precision) continue;
      if (!computed) expected.compute(c);
      computed = true;
      check_backend(c, expected, tested, float32_error);
    }
  }
}

void check_adjoint(const ConvCase& c) {
  for (const TestedBackend& tested : all_tested_backends()) {
    const Expected e(c, tested.precision);
    const std::unique_ptr<Backend> backend = tested.make(2);
    Device device(c, e, *backend, tested.precision);
    const Floats y = device.forward({});
    const Floats dx = device.backward_data(GradientMode::Overwrite, nullptr);
    const auto gradients =
        device.backward_weight(GradientMode::Overwrite, GradientMode::Ignore, nullptr, nullptr);
    const double by_y = dot(e.dy, y);
    const double by_x = dot(dx, e.x);
    const double by_weight = dot(gradients.dweight, e.weight);
    // The size of the sums if their terms were independent.
    const double size = norm(e.dy) * norm(y) / std::sqrt(static_cast<double>(y.size()));
    const double allowed = (tested.precision == Precision::BF16 ? 1e-2 : 1e-4) * size;
    CHECK(std::fabs(by_y - by_x) <= allowed, c.name(), " on ", tested.name, ": <dy, y> = ", by_y,
          " but <dx, x> = ", by_x);
    CHECK(std::fabs(by_y - by_weight) <= allowed, c.name(), " on ", tested.name,
          ": <dy, y> = ", by_y, " but <dw, w> = ", by_weight);
  }
}

}  // namespace countenance::test
