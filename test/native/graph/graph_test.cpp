#include "graph/graph.h"

#include <cmath>
#include <cstring>

#include "backend/cpu/cpu_backend.h"
#include "core/philox.h"
#include "graph/plan.h"
#include "harness/harness.h"
#include "losses/objective.h"
#include "ops/ops.h"

namespace countenance::test {
namespace {

constexpr int64_t kBatch = 3;
constexpr int64_t kSize = 28;
constexpr int64_t kClasses = 5;
constexpr int64_t kWidth = 24;

LinearOptions dense_options(int64_t out) {
  return {.out_features = out, .weight = Initializer::normal(0.2f)};
}
Value dense(Graph& graph, Value x, const std::string& name, int64_t out) {
  return linear(graph, x, name, dense_options(out));
}

// A network that uses every op once, several values in more than one place, and whose loss is the
// objective: small enough for finite differences through all of it.
struct Everything {
  explicit Everything(Backend& backend, PlanOptions options = {})
      : backend_(backend),
        table_(backend),
        plan_(build(), options),
        store_(backend, table_),
        gradients_(backend, table_) {
    store_.initialize(7, backend);
  }

  // Before every run: the memory of an input is reused once its last reader is done.
  void fill_inputs() {
    fill(images_, 1, 1.0f);
    fill(text_, 2, 1.0f);
    std::vector<float> targets(kBatch * kClasses, 0.0f);
    for (int64_t b = 0; b < kBatch; ++b) {
      targets[static_cast<size_t>(b * kClasses + b % kClasses)] = 1.0f;
    }
    backend_.copy_in(plan_.tensor(targets_), targets.data());
  }

  double loss() {
    fill_inputs();
    plan_.forward(bindings());
    float values[kObjectiveValues];
    backend_.copy_out(values, plan_.tensor(losses_));
    return values[kTotal];
  }

  void backward() { plan_.backward(bindings()); }

  RunBindings bindings() { return {&store_, &gradients_, 11, 3, nullptr}; }

  void fill(Value value, uint64_t stream, float scale) {
    const Tensor place = plan_.tensor(value);
    std::vector<float> data(static_cast<size_t>(place.elements()));
    const RandomStream random(5, stream);
    for (size_t i = 0; i < data.size(); ++i) data[i] = scale * (2 * random.uniform(i) - 1);
    backend_.copy_in(place, data.data());
  }

  Graph build() {
    Graph graph(backend_, table_, Mode::Training, Precision::FP32);
    images_ = graph.input(Shape{kBatch, kSize, kSize, 3}, DType::F32);
    targets_ = graph.input(Shape{kBatch, kClasses}, DType::F32);
    text_ = graph.input(Shape{kClasses, kWidth}, DType::F32);
    Value x = conv2d(graph, images_, "conv",
                     {.out_channels = 12, .kernel = 3, .padding = 1, .bias = true});
    x = conv_norm(graph, x, "conv1", "bn1",
                  {.out_channels = 12, .kernel = 3, .stride = 2, .padding = 1},
                  {.activation = Activation::Relu});
    Value y = conv_norm(graph, x, "conv2", "bn2", {.out_channels = 12, .kernel = 3, .padding = 1},
                        {.activation = Activation::Relu, .residual = x});
    y = layer_norm(graph, y, "norm");
    const Value attended = window_attention(graph, dense(graph, y, "qkv", 36), "attn",
                                            {.heads = 3, .window = 7, .shift = 3});
    y = add(graph, y, attended, 0.4f);
    y = add(graph, y, linear_gelu(graph, y, "fc", dense_options(12)), 0.3f);
    y = add(graph, x, y);
    y = patch_merge(graph, y);
    y = max_pool(graph, y, {.kernel = 3, .stride = 2, .padding = 1});
    const Value f = dense(graph, global_average_pool(graph, y), "expression", kWidth);
    const Value n = dense(graph, relu(graph, dense(graph, f, "hidden", 16)), "neutral", kWidth);
    losses_ =
        ke2nt_objective(graph, f, n, targets_, text_, {.logit_scale = 5, .neutral = 4}).losses;
    graph.output(losses_);
    table_.freeze();
    return graph;
  }

  Backend& backend_;
  ParameterTable table_;
  Value images_, targets_, text_, losses_;
  Plan plan_;
  ParameterStore store_;
  ParameterArena gradients_;
};

// d loss / d parameter along a random direction v: (L(w + h v) - L(w - h v)) / 2h.
double along(Everything& network, const ParameterSpec& spec, const std::vector<float>& weights,
             const std::vector<float>& direction, float step) {
  double losses[2];
  for (int side = 0; side < 2; ++side) {
    std::vector<float> moved = weights;
    for (size_t i = 0; i < moved.size(); ++i) {
      moved[i] += (side ? -step : step) * direction[i];
    }
    network.store_.weights.write(moved.data(), spec, network.backend_);
    losses[side] = network.loss();
  }
  network.store_.weights.write(weights.data(), spec, network.backend_);
  return (losses[0] - losses[1]) / (2 * step);
}

TEST(graph_gradients_agree_with_finite_differences_through_every_op) {
  const auto backend = make_cpu_backend(2);
  Everything network(*backend);
  network.loss();
  network.backward();
  for (const ParameterSpec& spec : network.table_.specs()) {
    if (!spec.trainable()) continue;
    const size_t n = static_cast<size_t>(spec.shape.elements());
    std::vector<float> weights(n), gradient(n), direction(n);
    network.store_.weights.read(weights.data(), spec, *backend);
    network.gradients_.read(gradient.data(), spec, *backend);
    // Mostly along the gradient, where the difference stands out from float32's rounding, with a
    // random part that would show a wrong component.
    double norm = 0;
    for (float g : gradient) norm += static_cast<double>(g) * g;
    norm = std::sqrt(norm);
    const RandomStream random(9, hash_name(spec.name));
    double expected = 0;
    for (size_t i = 0; i < n; ++i) {
      const double noise = (2 * random.uniform(i) - 1) / std::sqrt(static_cast<double>(n));
      direction[i] = static_cast<float>(gradient[i] / std::max(norm, 1e-12) + noise);
      expected += static_cast<double>(gradient[i]) * direction[i];
    }
    // A convolution's bias before a batch norm has a gradient of zero in exact arithmetic.
    if (norm < 1e-5) continue;
    const double measured = along(network, spec, weights, direction, 2e-3f);
    // Rounding of the loss (about 1e-6 of 5, over 2 h) and the kinks of relu and max pool.
    const double tolerance = 2e-2 * std::abs(expected) + 3e-3;
    CHECK(std::abs(measured - expected) < tolerance, spec.name, ": measured ", measured,
          ", expected ", expected);
  }
}

TEST(graph_guard_mode_gives_the_same_bits) {
  const auto backend = make_cpu_backend(2);
  Everything packed(*backend);
  Everything guarded(*backend, {.guard = true});
  CHECK(packed.plan_.bytes() < guarded.plan_.bytes());
  for (int run = 0; run < 2; ++run) {
    CHECK(packed.loss() == guarded.loss());
    packed.backward();
    guarded.backward();
    const Tensor a = packed.gradients_.flat();
    const Tensor b = guarded.gradients_.flat();
    CHECK(std::memcmp(a.data, b.data, a.bytes()) == 0);
  }
}

TEST(graph_stops_when_cancelled) {
  const auto backend = make_cpu_backend(1);
  Everything network(*backend);
  std::atomic<bool> cancel{true};
  RunBindings bindings = network.bindings();
  bindings.cancel = &cancel;
  CHECK(error_code([&] { network.plan_.forward(bindings); }) == code::kAborted);
  CHECK(error_code([&] { network.plan_.backward(bindings); }) == code::kAborted);
}

TEST(graph_refuses_shapes_that_do_not_fit) {
  const auto backend = make_cpu_backend(1);
  ParameterTable table(*backend);
  Graph graph(*backend, table, Mode::Training, Precision::FP32);
  const Value image = graph.input(Shape{2, 8, 8, 3}, DType::F32);
  const Value rows = graph.input(Shape{2, 6}, DType::F32);
  const Value one = graph.input(Shape{1, 6}, DType::F32);
  const auto refused = [&](auto build) { return error_code(build) == code::kInvalidArgument; };
  CHECK(refused([&] { conv2d(graph, rows, "a", {.out_channels = 4}); }));
  CHECK(refused([&] { conv2d(graph, image, "b", {.out_channels = 4, .kernel = 9}); }));
  CHECK(refused([&] { conv2d(graph, image, "c", {.out_channels = 0}); }));
  CHECK(refused([&] { batch_norm(graph, one, "d", {}); }));
  CHECK(refused([&] { batch_norm(graph, image, "e", {.residual = rows}); }));
  CHECK(refused([&] { add(graph, image, rows); }));
  CHECK(refused([&] { max_pool(graph, image, {.kernel = 3, .stride = 1, .padding = 2}); }));
  CHECK(refused([&] { global_average_pool(graph, rows); }));
  CHECK(refused([&] { patch_merge(graph, graph.input(Shape{1, 3, 4, 2}, DType::F32)); }));
  CHECK(refused([&] { window_attention(graph, image, "f", {.heads = 1, .window = 3}); }));
  CHECK(refused([&] { window_attention(graph, image, "g", {.heads = 2, .window = 4}); }));
}

TEST(parameters_are_declared_once_and_found_by_name) {
  const auto backend = make_cpu_backend(1);
  ParameterTable table(*backend);
  const ParameterId id =
      table.declare("w", Shape{5, 3}, ParameterKind::Matrix, Initializer::ones());
  CHECK(table.declare("w", Shape{5, 3}, ParameterKind::Matrix, Initializer::ones()).index ==
        id.index);
  CHECK(error_code([&] {
          table.declare("w", Shape{3, 5}, ParameterKind::Matrix, Initializer::ones());
        }) == code::kInternal);
  CHECK(table.find("w").index == id.index);
  CHECK(error_code([&] { table.find("v"); }) == code::kInvalidArgument);
  table.freeze();
  CHECK(error_code([&] {
          table.declare("v", Shape{1}, ParameterKind::Vector, Initializer::ones());
        }) == code::kInternal);
}

}  // namespace
}  // namespace countenance::test
