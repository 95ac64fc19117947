#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "graph/graph.h"
#include "graph/memory_plan.h"

namespace countenance {

struct PlanOptions {
  bool dry = false;  // no memory: only bytes() is needed
  // Gives every tensor its own buffer, filled with NaN before each run and followed by a canary.
  // Slow; getting the same bits as without it proves the memory plan and the ops' declarations.
  bool guard = false;
};

// Notified of every op that ran, for profiling. The run waits for the backend around each op.
class RunObserver {
 public:
  virtual ~RunObserver() = default;
  virtual void ran(const Graph& graph, int node, bool backward, double seconds) = 0;
};

// The first random stream of a step; the streams up to the next step's are for a graph's ops.
constexpr uint64_t first_stream(uint64_t step) { return step << 16; }

// Throws ERR_ABORTED if the flag, which may be null, is set.
void require_going_on(const std::atomic<bool>* cancel);

// What a run uses besides the plan's own memory.
struct RunBindings {
  ParameterStore* parameters = nullptr;
  ParameterArena* gradients = nullptr;  // training only
  uint64_t seed = 0;                    // of drop path
  uint64_t step = 0;
  const std::atomic<bool>* cancel = nullptr;  // checked between ops: ERR_ABORTED
  RunObserver* observer = nullptr;
};

// A graph with memory: executes forward and backward. All addresses are fixed at construction;
// a run allocates nothing.
class Plan {
 public:
  Plan(Graph graph, PlanOptions options = {});
  ~Plan();
  Plan(Plan&&) noexcept;

  const Graph& graph() const { return graph_; }
  // The memory of an input or output.
  Tensor tensor(Value value) const;

  void forward(const RunBindings& bindings) const;
  // After forward of a training graph: the gradient of the last op's objective.
  void backward(const RunBindings& bindings) const;

  size_t bytes() const { return memory_.bytes; }
  // For tests of the plan.
  const std::vector<Lifetime>& lifetimes() const { return lifetimes_; }
  const MemoryPlan& memory() const { return memory_; }

 private:
  class NodeRun;
  struct Slots;

  void place_values();
  void place_gradients();
  void place_workspaces();
  int add_buffer(size_t bytes, int first, int last);
  Tensor at(int buffer, const Shape& shape, DType dtype) const;
  int forward_time(int node) const { return node; }
  int backward_time(int node) const {
    return 2 * static_cast<int>(graph_.nodes().size()) - 1 - node;
  }
  void run_node(int node, bool backward, const RunBindings& bindings) const;
  void poison() const;
  void check_canaries() const;

  Graph graph_;
  PlanOptions options_;
  std::vector<Lifetime> lifetimes_;
  MemoryPlan memory_;
  std::unique_ptr<DeviceBlock> block_;

  // Buffer of each value, of its gradient (-1: none) and of each node's workspaces (-1: none).
  std::vector<int> value_buffer_;
  std::vector<int> gradient_buffer_;
  std::vector<int> first_gradient_writer_;  // node that overwrites, per value
  std::vector<int> forward_workspace_;
  std::vector<int> backward_workspace_;
  std::vector<int> last_parameter_user_;  // node that overwrites dparameter, per parameter
  std::vector<bool> has_backward_;        // per node: whether a gradient reaches one of its outputs
};

}  // namespace countenance
