#include "graph/plan.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>

#include "core/arena.h"

namespace countenance {

namespace {
constexpr size_t kCanaryBytes = 64;
constexpr uint8_t kCanary = 0xC5;
}  // namespace

void require_going_on(const std::atomic<bool>* cancel) {
  if (cancel && cancel->load(std::memory_order_relaxed)) {
    fail(code::kAborted, "the run was aborted");
  }
}

// The view of one node in one direction.
class Plan::NodeRun final : public Run {
 public:
  NodeRun(const Plan& plan, const RunBindings& bindings, int node, bool backward)
      : plan_(plan), bindings_(bindings), node_(node), backward_(backward) {}

  Backend& backend() const override { return plan_.graph_.backend(); }

  Tensor operator[](Value value) const override {
    if (!value) return {};
    const Graph::Node& node = plan_.graph_.nodes()[static_cast<size_t>(node_)];
    const bool declared = backward_ ? contains(node.needs.kept, value)
                                    : contains(node.description.inputs, value) ||
                                          contains(node.description.outputs, value);
    ensure(declared, type(),
           backward_ ? " reads a value in backward that it does not keep"
                     : " touches a value it did not declare");
    return plan_.tensor(value);
  }

  Tensor operator[](ParameterId id) const override {
    if (!id) return {};
    const ParameterSpec& spec = plan_.graph_.parameters()[id];
    return bindings_.parameters->arena_of(spec).view(spec);
  }

  Tensor dy(Value output) const override {
    const int buffer = plan_.gradient_buffer_[static_cast<size_t>(output.index)];
    ensure(buffer >= 0, type(), " asks for a gradient nobody computes");
    const Graph::Entry& entry = plan_.graph_.entry(output);
    return plan_.at(buffer, entry.shape, entry.dtype);
  }

  Gradient d(Value input) const override {
    if (!input) return {};
    const size_t i = static_cast<size_t>(input.index);
    const int buffer = plan_.gradient_buffer_[i];
    if (buffer < 0) return {};
    const Graph::Entry& entry = plan_.graph_.entry(input);
    return {plan_.at(buffer, entry.shape, entry.dtype), plan_.first_gradient_writer_[i] == node_
                                                            ? GradientMode::Overwrite
                                                            : GradientMode::Accumulate};
  }

  Gradient d(ParameterId id) const override {
    if (!id) return {};
    ensure(bindings_.gradients != nullptr, "backward without a gradient arena");
    const ParameterSpec& spec = plan_.graph_.parameters()[id];
    return {bindings_.gradients->view(spec),
            plan_.last_parameter_user_[static_cast<size_t>(id.index)] == node_
                ? GradientMode::Overwrite
                : GradientMode::Accumulate};
  }

  Tensor workspace() const override {
    const size_t i = static_cast<size_t>(node_);
    const int buffer = backward_ ? plan_.backward_workspace_[i] : plan_.forward_workspace_[i];
    if (buffer < 0) return {};
    const size_t bytes = plan_.lifetimes_[static_cast<size_t>(buffer)].bytes;
    return plan_.at(buffer, Shape{static_cast<int64_t>(bytes / sizeof(float))}, DType::F32);
  }

  RandomKey random() const override {
    // The node number separates the ops; the step number separates the draws of one op.
    return {bindings_.seed, first_stream(bindings_.step) + static_cast<uint64_t>(node_)};
  }

 private:
  static bool contains(const std::vector<Value>& values, Value value) {
    return std::any_of(values.begin(), values.end(),
                       [&](Value v) { return v.index == value.index; });
  }
  static bool contains(const OpDescription::Named<Value>& values, Value value) {
    return std::any_of(values.begin(), values.end(),
                       [&](const auto& named) { return named.second.index == value.index; });
  }
  const char* type() const { return plan_.graph_.nodes()[static_cast<size_t>(node_)].op->type(); }

  const Plan& plan_;
  const RunBindings& bindings_;
  int node_;
  bool backward_;
};

Plan::Plan(Graph graph, PlanOptions options) : graph_(std::move(graph)), options_(options) {
  place_values();
  place_gradients();
  place_workspaces();
  memory_ = options_.guard ? plan_apart(lifetimes_, kCanaryBytes) : plan_memory(lifetimes_);
  if (!options_.dry) block_ = graph_.backend().allocate(memory_.bytes);
}

Plan::~Plan() = default;
Plan::Plan(Plan&&) noexcept = default;

int Plan::add_buffer(size_t bytes, int first, int last) {
  lifetimes_.push_back({bytes, first, last});
  return static_cast<int>(lifetimes_.size()) - 1;
}

void Plan::place_values() {
  const auto& nodes = graph_.nodes();
  const auto& entries = graph_.entries();
  const int end = 2 * static_cast<int>(nodes.size());
  std::vector<int> last(entries.size(), -1);
  for (size_t n = 0; n < nodes.size(); ++n) {
    const int node = static_cast<int>(n);
    for (const auto& [role, v] : nodes[n].description.inputs) {
      last[static_cast<size_t>(v.index)] = forward_time(node);
    }
    for (const auto& [role, v] : nodes[n].description.outputs) {
      last[static_cast<size_t>(v.index)] =
          std::max(last[static_cast<size_t>(v.index)], forward_time(node));
    }
  }
  if (graph_.training()) {
    for (size_t n = 0; n < nodes.size(); ++n) {
      for (Value v : nodes[n].needs.kept) {
        int& time = last[static_cast<size_t>(v.index)];
        time = std::max(time, backward_time(static_cast<int>(n)));
      }
    }
  }
  for (size_t i = 0; i < entries.size(); ++i) {
    const Graph::Entry& entry = entries[i];
    const int first = entry.producer < 0 ? -1 : forward_time(entry.producer);
    const size_t bytes = static_cast<size_t>(entry.shape.elements()) * size_of(entry.dtype);
    value_buffer_.push_back(
        add_buffer(bytes, first, entry.is_output ? end : std::max(last[i], first)));
  }
}

void Plan::place_gradients() {
  const auto& nodes = graph_.nodes();
  const auto& entries = graph_.entries();
  gradient_buffer_.assign(entries.size(), -1);
  first_gradient_writer_.assign(entries.size(), -1);
  last_parameter_user_.assign(graph_.parameters().specs().size(), -1);
  has_backward_.assign(nodes.size(), false);
  if (!graph_.training() || nodes.empty()) return;

  // Gradients flow from the last op, the objective, to whatever it depends on.
  for (size_t n = nodes.size(); n-- > 0;) {
    const auto& [attributes, inputs, outputs, parameters] = nodes[n].description;
    has_backward_[n] =
        n + 1 == nodes.size() || std::any_of(outputs.begin(), outputs.end(), [&](const auto& y) {
          return first_gradient_writer_[static_cast<size_t>(y.second.index)] >= 0;
        });
    if (!has_backward_[n]) continue;
    for (const auto& [role, v] : inputs) {
      int& writer = first_gradient_writer_[static_cast<size_t>(v.index)];
      if (graph_.entry(v).wants_gradient && writer < 0) writer = static_cast<int>(n);
    }
    for (const auto& [role, id] : parameters) {
      int& user = last_parameter_user_[static_cast<size_t>(id.index)];
      if (user < 0) user = static_cast<int>(n);
    }
  }
  for (size_t i = 0; i < entries.size(); ++i) {
    if (first_gradient_writer_[i] < 0) continue;
    const size_t bytes =
        static_cast<size_t>(entries[i].shape.elements()) * size_of(entries[i].dtype);
    gradient_buffer_[i] = add_buffer(bytes, backward_time(first_gradient_writer_[i]),
                                     backward_time(entries[i].producer));
  }
}

void Plan::place_workspaces() {
  const auto& nodes = graph_.nodes();
  for (size_t n = 0; n < nodes.size(); ++n) {
    const OpNeeds& needs = nodes[n].needs;
    const int forward = forward_time(static_cast<int>(n));
    const int backward = backward_time(static_cast<int>(n));
    forward_workspace_.push_back(
        needs.forward_workspace ? add_buffer(needs.forward_workspace, forward, forward) : -1);
    backward_workspace_.push_back(needs.backward_workspace && graph_.training()
                                      ? add_buffer(needs.backward_workspace, backward, backward)
                                      : -1);
  }
}

Tensor Plan::at(int buffer, const Shape& shape, DType dtype) const {
  return {static_cast<char*>(block_->data()) + memory_.offsets[static_cast<size_t>(buffer)], shape,
          dtype};
}

Tensor Plan::tensor(Value value) const {
  const Graph::Entry& entry = graph_.entry(value);
  return at(value_buffer_[static_cast<size_t>(value.index)], entry.shape, entry.dtype);
}

void Plan::run_node(int node, bool backward, const RunBindings& bindings) const {
  require_going_on(bindings.cancel);
  using Clock = std::chrono::steady_clock;
  Clock::time_point start;
  if (bindings.observer) {
    graph_.backend().synchronize();
    start = Clock::now();
  }
  NodeRun run(*this, bindings, node, backward);
  const Op& op = *graph_.nodes()[static_cast<size_t>(node)].op;
  backward ? op.backward(run) : op.forward(run);
  if (bindings.observer) {
    graph_.backend().synchronize();
    const std::chrono::duration<double> seconds = Clock::now() - start;
    bindings.observer->ran(graph_, node, backward, seconds.count());
  }
}

void Plan::forward(const RunBindings& bindings) const {
  if (options_.guard) poison();
  for (size_t n = 0; n < graph_.nodes().size(); ++n) {
    run_node(static_cast<int>(n), false, bindings);
  }
  if (options_.guard) check_canaries();
}

void Plan::backward(const RunBindings& bindings) const {
  ensure(graph_.training(), "backward of an evaluation graph");
  for (size_t n = graph_.nodes().size(); n-- > 0;) {
    if (has_backward_[n]) run_node(static_cast<int>(n), true, bindings);
  }
  if (options_.guard) check_canaries();
}

// Fills everything but the inputs, which the caller has filled, with NaN (bytes 0xFF, NaN as
// bfloat16 too), and every gap with a canary.
void Plan::poison() const {
  for (size_t b = 0; b < lifetimes_.size(); ++b) {
    const size_t bytes = lifetimes_[b].bytes;
    std::vector<uint8_t> fill(bytes + kCanaryBytes, 0xFF);
    std::memset(fill.data() + bytes, kCanary, kCanaryBytes);
    Tensor place = at(static_cast<int>(b), Shape{static_cast<int64_t>(fill.size())}, DType::U8);
    const bool input = lifetimes_[b].first < 0;
    const size_t skip = input ? bytes : 0;
    place.data = static_cast<char*>(place.data) + skip;
    place.shape = Shape{static_cast<int64_t>(fill.size() - skip)};
    graph_.backend().copy_in(place, fill.data() + skip);
  }
}

void Plan::check_canaries() const {
  for (size_t b = 0; b < lifetimes_.size(); ++b) {
    Tensor place = at(static_cast<int>(b), Shape{static_cast<int64_t>(kCanaryBytes)}, DType::U8);
    place.data = static_cast<char*>(place.data) + lifetimes_[b].bytes;
    uint8_t canary[kCanaryBytes];
    graph_.backend().copy_out(canary, place);
    ensure(std::all_of(canary, canary + kCanaryBytes, [](uint8_t c) { return c == kCanary; }),
           "a kernel wrote behind buffer ", b, " of ", lifetimes_[b].bytes, " bytes");
  }
}

}  // namespace countenance
