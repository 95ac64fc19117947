#include "graph/memory_plan.h"

#include <algorithm>

#include "backend/cpu/cpu_backend.h"
#include "core/philox.h"
#include "harness/harness.h"
#include "losses/objective.h"
#include "models/encoders.h"

namespace countenance::test {
namespace {

// Bytes in use at the busiest time: no plan can be smaller.
size_t lower_bound(const std::vector<Lifetime>& buffers) {
  size_t most = 0;
  for (const Lifetime& at : buffers) {
    size_t alive = 0;
    for (const Lifetime& b : buffers) {
      if (b.first <= at.first && at.first <= b.last) alive += b.bytes;
    }
    most = std::max(most, alive);
  }
  return most;
}

void check_disjoint(const std::vector<Lifetime>& buffers, const MemoryPlan& plan) {
  for (size_t i = 0; i < buffers.size(); ++i) {
    CHECK(plan.offsets[i] % 64 == 0);
    CHECK(plan.offsets[i] + buffers[i].bytes <= plan.bytes);
    for (size_t j = 0; j < i; ++j) {
      const bool together =
          buffers[i].first <= buffers[j].last && buffers[j].first <= buffers[i].last;
      const bool overlap = plan.offsets[i] < plan.offsets[j] + buffers[j].bytes &&
                           plan.offsets[j] < plan.offsets[i] + buffers[i].bytes;
      CHECK(!(together && overlap), "buffers ", i, " and ", j);
    }
  }
}

TEST(memory_plan_places_random_lifetimes_apart) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const RandomStream random(seed, 1);
    const size_t count = 1 + random.bits(0) % 120;
    std::vector<Lifetime> buffers;
    for (size_t i = 0; i < count; ++i) {
      const int first = static_cast<int>(random.bits(4 * i + 1) % 60);
      const int last = first + static_cast<int>(random.bits(4 * i + 2) % 20);
      buffers.push_back({random.bits(4 * i + 3) % 5000, first, last});
    }
    const MemoryPlan plan = plan_memory(buffers);
    check_disjoint(buffers, plan);
    CHECK(plan.bytes >= lower_bound(buffers));
  }
}

TEST(memory_plan_reuses_what_is_free) {
  const std::vector<Lifetime> chain{{640, 0, 1}, {640, 1, 2}, {640, 2, 3}, {640, 3, 4}};
  CHECK(plan_memory(chain).bytes == 1280);
}

TEST(memory_plan_of_the_models_is_sound_and_tight) {
  for (const Encoder* encoder : encoders()) {
    const std::shared_ptr<Backend> backend = make_cpu_backend(1);
    ModelConfig config;
    config.backbone = encoder->name;
    config.input_size = std::max<int64_t>(48, encoder->least_input);
    ParameterTable table(*backend);
    Graph graph(*backend, table, Mode::Training, Precision::FP32);
    const Value images = graph.input(Shape{4, config.input_size, config.input_size, 3}, DType::F32);
    const Value targets = graph.input(Shape{4, config.classes}, DType::F32);
    const Value text = graph.input(Shape{config.classes, kEmbedding}, DType::F32);
    const Features f = ke2nt(graph, config, images);
    const Objective objective =
        ke2nt_objective(graph, f.expression, f.neutral, targets, text, ObjectiveAttributes{});
    graph.output(objective.losses);
    const Plan plan(std::move(graph));
    check_disjoint(plan.lifetimes(), plan.memory());
    const size_t bound = lower_bound(plan.lifetimes());
    CHECK(static_cast<double>(plan.bytes()) <= 1.15 * static_cast<double>(bound), encoder->name,
          ": ", plan.bytes(), " bytes planned, ", bound, " alive at once");
  }
}

}  // namespace
}  // namespace countenance::test
