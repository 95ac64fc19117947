#include "conv2d_check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "op_cases.h"

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

// Inputs and what must come out, in PyTorch's weight layout.
struct Expected {
  explicit Expected(const ConvCase& c) : sizes(c) {
    x = normal(sizes.x, c.name() + ".x");
    weight = normal(sizes.weight, c.name() + ".weight");
    dy = normal(sizes.y, c.name() + ".dy");
    scale = normal(c.out, c.name() + ".scale");
    shift = normal(c.out, c.name() + ".shift");
    residual = normal(sizes.y, c.name() + ".residual");
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
  // The sum of the squares of all terms: what the result's would be, did no sum cancel.
  double y_terms = 0, dx_terms = 0, dweight_terms = 0, dbias_terms = 0;
};

struct EpilogueKind {
  bool scale, shift, residual, relu;
};

// The operations of one backend on one case, each into fresh guarded memory.
class Device {
 public:
  Device(const ConvCase& c, const Expected& e, Backend& backend)
      : case_(c), expected_(e), backend_(backend) {
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
    x_ = place("x", x_shape_, &e.x);
    dy_ = place("dy", y_shape_, &e.dy);
    weight_ = place_matrix("weight", &e.weight);
    const size_t bytes = c.linear ? backend.linear_workspace(x_shape_, weight_shape_)
                                  : backend.conv2d_workspace(x_shape_, weight_shape_, attributes_);
    workspace_ = place("workspace", Shape{static_cast<int64_t>((bytes + 3) / 4)}, nullptr);
  }

  Floats forward(const EpilogueKind& kind) {
    const Tensor y = place("y", y_shape_, nullptr);
    const Shape channels{case_.out};
    Epilogue epilogue;
    if (kind.scale) epilogue.scale = place("scale", channels, &expected_.scale);
    if (kind.shift) epilogue.shift = place("shift", channels, &expected_.shift);
    if (kind.residual) epilogue.residual = place("residual", y_shape_, &expected_.residual);
    if (kind.relu) epilogue.activation = Activation::Relu;
    if (case_.linear) {
      backend_.linear_forward(y, x_, weight_, epilogue, workspace_);
    } else {
      backend_.conv2d_forward(y, x_, weight_, epilogue, attributes_, workspace_);
    }
    return fetch(y);
  }

  Floats backward_data(GradientMode mode, const Floats* base) {
    const Tensor dx = place("dx", x_shape_, base);
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
  Tensor place(const std::string& name, const Shape& shape, const Floats* values) {
    buffers_.emplace_back(
        name, std::make_unique<GuardedBuffer>(backend_, static_cast<size_t>(shape.elements()) * 4));
    const Tensor tensor{buffers_.back().second->data(), shape, DType::F32};
    if (values) backend_.copy_in(tensor, values->data());
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
    Floats values(static_cast<size_t>(tensor.elements()));
    backend_.copy_out(values.data(), tensor);
    return values;
  }

  const ConvCase& case_;
  const Expected& expected_;
  Backend& backend_;
  Shape x_shape_, y_shape_, weight_shape_;
  Conv2dAttributes attributes_;
  Tensor x_, dy_, weight_, workspace_;
  bool padding_zero_ = true;
  std::vector<std::pair<std::string, std::unique_ptr<GuardedBuffer>>> buffers_;
};

// A sum of n products in float, added in chains of at most 1024: sqrt(1024) roundings of 2^-24 at
// the most, 1e-6 for the short sums here.
constexpr double kTolerance = 1e-6;

Doubles plus(const Doubles& a, const Floats& b) {
  Doubles sum = a;
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += b[i];
  return sum;
}

void check_near(const Floats& got, const Doubles& want, double terms, const std::string& where) {
  double error = 0;
  double size = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    error += (got[i] - want[i]) * (got[i] - want[i]);
    size += want[i] * want[i];
  }
  const double normalised = std::sqrt(error / (std::max(size, terms) + 1e-30));
  CHECK(normalised <= kTolerance, where, ": normalised error ", normalised);
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

void check_backend(const ConvCase& c, const Expected& e, const TestedBackend& tested) {
  const std::string where = text(c.name(), " on ", tested.name);
  const auto overwrite = GradientMode::Overwrite;
  const auto accumulate = GradientMode::Accumulate;
  const auto ignore = GradientMode::Ignore;
  std::vector<Floats> bits;  // of one thread
  for (int threads : {1, 2, 3}) {
    const std::unique_ptr<Backend> backend = tested.make(threads);
    Device device(c, e, *backend);
    std::vector<Floats> results;
    for (const EpilogueKind& kind : kEpilogues) {
      results.push_back(device.forward(kind));
      check_near(results.back(), with_epilogue(c, e, kind), e.y_terms, where + ", forward");
    }
    results.push_back(device.backward_data(overwrite, nullptr));
    check_near(results.back(), e.dx, e.dx_terms, where + ", dx");
    results.push_back(device.backward_data(accumulate, &e.x));
    check_near(results.back(), plus(e.dx, e.x), e.dx_terms, where + ", dx accumulated");
    results.push_back(device.backward_data(ignore, &e.x));
    CHECK(same_bits(results.back(), e.x), where, ": an ignored dx was written");

    auto gradients = device.backward_weight(overwrite, overwrite, nullptr, nullptr);
    check_near(gradients.dweight, e.dweight, e.dweight_terms, where + ", dweight");
    check_near(gradients.dbias, e.dbias, e.dbias_terms, where + ", dbias");
    const auto only_weight = device.backward_weight(overwrite, ignore, nullptr, nullptr);
    CHECK(same_bits(only_weight.dweight, gradients.dweight), where, ": dweight without dbias");
    const auto only_bias = device.backward_weight(ignore, overwrite, nullptr, nullptr);
    CHECK(same_bits(only_bias.dbias, gradients.dbias), where, ": dbias without dweight");
    results.push_back(gradients.dweight);
    results.push_back(gradients.dbias);
    gradients = device.backward_weight(accumulate, accumulate, &e.weight, &e.shift);
    check_near(gradients.dweight, plus(e.dweight, e.weight), e.dweight_terms,
               where + ", dweight accumulated");
    check_near(gradients.dbias, plus(e.dbias, e.shift), e.dbias_terms,
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

void check_conv2d(const ConvCase& c) {
  Expected expected(c);
  expected.compute(c);
  for (const TestedBackend& tested : tested_backends()) check_backend(c, expected, tested);
}

void check_adjoint(const ConvCase& c) {
  const Expected e(c);
  for (const TestedBackend& tested : tested_backends()) {
    const std::unique_ptr<Backend> backend = tested.make(2);
    Device device(c, e, *backend);
    const Floats y = device.forward({});
    const Floats dx = device.backward_data(GradientMode::Overwrite, nullptr);
    const auto gradients =
        device.backward_weight(GradientMode::Overwrite, GradientMode::Ignore, nullptr, nullptr);
    const double by_y = dot(e.dy, y);
    const double by_x = dot(dx, e.x);
    const double by_weight = dot(gradients.dweight, e.weight);
    // The size of the sums, were their terms independent.
    const double size = norm(e.dy) * norm(y) / std::sqrt(static_cast<double>(y.size()));
    CHECK(std::fabs(by_y - by_x) <= 1e-4 * size, c.name(), " on ", tested.name,
          ": <dy, y> = ", by_y, " but <dx, x> = ", by_x);
    CHECK(std::fabs(by_y - by_weight) <= 1e-4 * size, c.name(), " on ", tested.name,
          ": <dy, y> = ", by_y, " but <dw, w> = ", by_weight);
  }
}

}  // namespace countenance::test
