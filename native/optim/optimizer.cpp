#include "optim/optimizer.h"

#include <algorithm>
#include <cmath>

#include "core/arena.h"
#include "optim/rules.h"

namespace countenance {

namespace {

constexpr size_t kMaxGroups = 256;  // group numbers are uint8

void check_at_least_zero(const char* name, float value) {
  require(std::isfinite(value) && value >= 0, "Expected a number of at least 0 for ", name,
          " but received ", value);
}

std::vector<OptimizerGroup> groups_of(const OptimizerOptions& options) {
  if (options.groups.empty()) return {{.weight_decay = options.weight_decay}};
  return options.groups;
}

void validate(const OptimizerOptions& options) {
  for (const OptimizerGroup& group : options.groups) {
    check_at_least_zero("a group's learningRateScale", group.learning_rate_scale);
    check_at_least_zero("a group's weightDecay", group.weight_decay);
  }
  require(options.groups.size() <= kMaxGroups, "Expected at most ", kMaxGroups,
          " groups but received ", options.groups.size());
  check_at_least_zero("weightDecay", options.weight_decay);
  check_at_least_zero("maxGradientNorm", options.max_gradient_norm);
}

}  // namespace

Optimizer::Optimizer(Backend& backend, const ParameterTable& table, const OptimizerOptions& options,
                     int rates)
    : backend_(backend), options_(options), group_options_(groups_of(options)) {
  scalars_ = backend.allocate(2 * kAlignment);
  char* scalars = static_cast<char*>(scalars_->data());
  gradient_scale_ = {scalars, Shape{1}, DType::F32};
  norm_ = {scalars + kAlignment, Shape{1}, DType::F32};
  const Shape rates_shape{static_cast<int64_t>(group_options_.size()), rates};
  rates_block_ = backend.allocate(static_cast<size_t>(rates_shape.elements()) * sizeof(float));
  rates_ = {rates_block_->data(), rates_shape, DType::F32};
  place_groups(table);
  const size_t bytes = backend.clip_workspace(table.trained_elements());
  if (bytes) {
    workspace_block_ = backend.allocate(bytes);
    workspace_ = {workspace_block_->data(), Shape{static_cast<int64_t>(bytes / sizeof(float))},
                  DType::F32};
  }
}

// Records the group of each kGroupElements elements of the arenas.
void Optimizer::place_groups(const ParameterTable& table) {
  static_assert(kAlignment % (kGroupElements * sizeof(float)) == 0, "parameters share no run");
  const std::vector<uint8_t>& group_of = options_.group_of;
  const size_t tensors = options_.groups.empty() ? 0 : table.specs().size();
  require(group_of.size() == tensors, "Expected the group of ", tensors, " tensors but received ",
          group_of.size());
  std::vector<uint8_t> runs(static_cast<size_t>(table.trained_elements() / kGroupElements));
  for (size_t i = 0; i < group_of.size(); ++i) {
    const ParameterSpec& spec = table.specs()[i];
    if (!spec.trainable()) continue;
    require(group_of[i] < group_options_.size(), "Expected a group below ", group_options_.size(),
            " for ", spec.name, " but received ", int{group_of[i]});
    const auto begin = runs.begin() + spec.offset / kGroupElements;
    std::fill(begin, begin + (spec.elements + kGroupElements - 1) / kGroupElements, group_of[i]);
  }
  if (group_options_.size() == 1) return;
  groups_block_ = backend_.allocate(runs.size());
  groups_ = {groups_block_->data(), Shape{static_cast<int64_t>(runs.size())}, DType::U8};
  backend_.copy_in(groups_, runs.data());
}

Tensor Optimizer::add_slot(std::string_view name, const ParameterTable& table) {
  return slots_.emplace_back(Slot{name, ParameterArena(backend_, table)}).arena.flat();
}

void Optimizer::prepare(float lr, int64_t step) {
  std::vector<float> values;
  for (const OptimizerGroup& group : group_options_) {
    const double rate = static_cast<double>(lr) * static_cast<double>(group.learning_rate_scale);
    const std::vector<float> row = rates(rate, static_cast<double>(group.weight_decay), step);
    values.insert(values.end(), row.begin(), row.end());
  }
  backend_.copy_in(rates_, values.data());
}

void Optimizer::measure(const ParameterArena& gradients, Tensor loss) {
  backend_.clip_gradient(gradient_scale_, norm_, gradients.flat(), loss, options_.max_gradient_norm,
                         workspace_);
}

std::unique_ptr<Optimizer> make_optimizer(Backend& backend, const ParameterTable& table,
                                          const OptimizerOptions& options) {
  validate(options);
  return find_optimizer(options.name).make(backend, table, options);
}

}  // namespace countenance
