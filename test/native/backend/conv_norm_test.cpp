#include <cmath>

#include "backend/op_cases.h"
#include "harness/bf16.h"

// Batch norm with a convolution's statistics, compared with batch norm without them.

namespace countenance::test {

COVERS(conv_norm, "batch_norm_from_statistics");

namespace {

struct ConvNormCase {
  Shape x, weight;
  Conv2dAttributes conv;
  double x_mean = 0;

  Shape y() const {
    const auto size = [&](int i) {
      return (x[i] + 2 * conv.padding - weight[i + 1]) / conv.stride + 1;
    };
    return {x[0], size(1), size(2), weight[0]};
  }
  std::string name() const {
    return text(x, " by ", weight, ", stride ", conv.stride, ", mean ", x_mean);
  }
};

// The outputs of a batch norm in their own memory.
struct NormOutputs {
  Tensor y, mean, rstd, running_mean, running_var;
};

class Memory {
 public:
  explicit Memory(Backend& backend) : backend_(backend) {}

  Tensor place(const Shape& shape, DType dtype = DType::F32,
               const std::vector<float>* values = nullptr) {
    const size_t bytes = static_cast<size_t>(shape.elements()) * size_of(dtype);
    buffers_.push_back(std::make_unique<GuardedBuffer>(backend_, bytes));
    const Tensor tensor{buffers_.back()->data(), shape, dtype};
    if (values && dtype == DType::BF16) {
      backend_.copy_in(tensor, to_bf16(*values).data());
    } else if (values) {
      backend_.copy_in(tensor, values->data());
    }
    return tensor;
  }
  Tensor bytes(size_t count) { return place(Shape{static_cast<int64_t>((count + 3) / 4)}); }
  Tensor matrix(const Shape& shape, const std::vector<float>& values) {
    Tensor tensor = place(Shape{backend_.packed_elements(shape)});
    tensor.shape = shape;
    backend_.pack_parameter(tensor, values.data());
    return tensor;
  }
  NormOutputs outputs(const Shape& y, DType dtype) {
    const Shape channels{y.channels()};
    const std::vector<float> zeros = repeated(y.channels(), 0), ones = repeated(y.channels(), 1);
    return {place(y, dtype), place(channels), place(channels), place(channels, DType::F32, &zeros),
            place(channels, DType::F32, &ones)};
  }
  std::vector<float> fetch(Tensor tensor) {
    const size_t elements = static_cast<size_t>(tensor.elements());
    std::vector<float> values(elements);
    if (tensor.dtype == DType::BF16) {
      std::vector<uint16_t> halves(elements);
      backend_.copy_out(halves.data(), tensor);
      return from_bf16(halves);
    }
    backend_.copy_out(values.data(), tensor);
    return values;
  }
  bool intact() const {
    for (const auto& buffer : buffers_) {
      if (!buffer->guards_intact()) return false;
    }
    return true;
  }

 private:
  Backend& backend_;
  std::vector<std::unique_ptr<GuardedBuffer>> buffers_;
};

// False if this backend leaves no statistics.
bool check_case(const ConvNormCase& c, const TestedBackend& tested) {
  const std::string where = c.name() + " on " + tested.name;
  const std::unique_ptr<Backend> backend = tested.make(2);
  const DType dtype = activation_dtype(tested.precision);
  const size_t bytes = backend->conv2d_statistics(c.x, c.weight, c.conv, dtype);
  if (bytes == 0) return false;
  Memory memory(*backend);
  const std::vector<float> x_values = normal(c.x.elements(), "x", c.x_mean);
  const std::vector<float> w_values = normal(c.weight.elements(), "weight", 0.5, 0.1);
  const Shape shape = c.y();
  const std::vector<float> residuals = normal(shape.elements(), "residual");
  const std::vector<float> scales = normal(shape.channels(), "scale", 1, 0.2);
  const std::vector<float> shifts = normal(shape.channels(), "shift");
  const Tensor x = memory.place(c.x, dtype, &x_values);
  const Tensor weight = memory.matrix(c.weight, w_values);
  const Tensor residual = memory.place(shape, dtype, &residuals);
  const Tensor scale = memory.place(Shape{shape.channels()}, DType::F32, &scales);
  const Tensor shift = memory.place(Shape{shape.channels()}, DType::F32, &shifts);

  const Tensor plain = memory.place(shape, dtype);
  const Tensor y = memory.place(shape, dtype);
  const Tensor statistics = memory.bytes(bytes);
  const Tensor workspace = memory.bytes(std::max(backend->conv2d_workspace(c.x, c.weight, c.conv),
                                                 backend->batch_norm_workspace(shape)));
  backend->conv2d_forward(plain, x, weight, {}, c.conv, workspace);
  backend->conv2d_forward(y, x, weight, {.statistics = statistics}, c.conv, workspace);
  CHECK(memory.fetch(y) == memory.fetch(plain), where, ": taking statistics changes y");

  const BatchNormAttributes attributes{.activation = Activation::Relu};
  const NormOutputs want = memory.outputs(shape, dtype), got = memory.outputs(shape, dtype);
  backend->batch_norm_forward({.y = want.y,
                               .mean = want.mean,
                               .rstd = want.rstd,
                               .running_mean = want.running_mean,
                               .running_var = want.running_var,
                               .x = y,
                               .weight = scale,
                               .bias = shift,
                               .residual = residual,
                               .workspace = workspace},
                              attributes);
  backend->batch_norm_from_statistics({.y = got.y,
                                       .mean = got.mean,
                                       .rstd = got.rstd,
                                       .running_mean = got.running_mean,
                                       .running_var = got.running_var,
                                       .x = y,
                                       .weight = scale,
                                       .bias = shift,
                                       .residual = residual},
                                      statistics, attributes);
  const auto check = [&](const char* what, Tensor a, Tensor b, double tolerance) {
    const std::vector<float> got_values = memory.fetch(a), want_values = memory.fetch(b);
    const double error = normalised_error(got_values.data(), want_values.data(), a.elements());
    CHECK(error <= tolerance, where, ": ", what, ", normalised error ", error);
  };
  // A mean near zero is only as exact as its terms, whose size follows from the deviation.
  const std::vector<float> rstd = memory.fetch(want.rstd);
  const auto check_mean = [&](const char* what, Tensor a, Tensor b) {
    const std::vector<float> got_values = memory.fetch(a), want_values = memory.fetch(b);
    for (size_t k = 0; k < rstd.size(); ++k) {
      const float error = std::fabs(got_values[k] - want_values[k]);
      CHECK(error <= 1e-6f * (std::fabs(want_values[k]) + 1 / rstd[k]), where, ": ", what, "[", k,
            "] = ", got_values[k], " instead of ", want_values[k]);
    }
  };
  check_mean("mean", got.mean, want.mean);
  check_mean("running_mean", got.running_mean, want.running_mean);
  check("rstd", got.rstd, want.rstd, 1e-5);
  check("running_var", got.running_var, want.running_var, 1e-5);
  check("y", got.y, want.y, tested.precision == Precision::BF16 ? 4e-3 : 1e-5);
  CHECK(memory.intact(), where, ": wrote outside of its outputs");
  return true;
}

}  // namespace

TEST(conv_norm_statistics_of_a_convolution) {
  bool all = true;
  for (const ConvNormCase& c : {
           ConvNormCase{{2, 9, 7, 16}, {64, 16, 3, 3}, {1, 1}},         // two tiles of rows
           ConvNormCase{{3, 12, 11, 8}, {24, 8, 3, 3}, {2, 1}},         // fewer columns than a tile
           ConvNormCase{{1, 13, 10, 3}, {21, 3, 7, 7}, {1, 3}},         // odd channels
           ConvNormCase{{2, 8, 8, 32}, {136, 32, 1, 1}, {1, 0}},        // a linear layer's kernel
           ConvNormCase{{1, 1, 65, 16}, {72, 16, 1, 1}, {1, 0}},        // one row in the last block
           ConvNormCase{{2, 12, 12, 16}, {16, 16, 3, 3}, {1, 0}, 100},  // far from zero
           ConvNormCase{{1, 131, 130, 8}, {9, 8, 1, 1}, {1, 0}},        // groups of blocks
       }) {
    for (const TestedBackend& tested : all_tested_backends()) all = check_case(c, tested) && all;
  }
  if (!all) skip("a convolution on the CPU leaves no statistics");
  CHECK(all || !kEmulated);
}

}  // namespace countenance::test
