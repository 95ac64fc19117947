#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "core/philox.h"
#include "train/trainer.h"

// Where the time of a training step goes: profile_step [resnet18|swin-t] [size] [batch] [threads]
// [steps] [wall|cpu]. Prints a table per op type and one per layer, in milliseconds a step (the
// mean over the steps after a first one that touches the memory). `cpu` counts the process's
// processor time instead of the clock's: with one thread, figures that a busy machine hardly
// disturbs.

using namespace countenance;

namespace {

struct Times {
  double forward = 0;
  double backward = 0;
  double total() const { return forward + backward; }
};

double processor_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class Profile final : public RunObserver {
 public:
  explicit Profile(bool cpu) : cpu_(cpu) {}

  double now() const { return cpu_ ? processor_seconds() : wall_seconds(); }
  // Ops run one right after the other, so that the processor time of one is what passed since the
  // one before; the first op's holds the loading of the images too.
  void start_step() { last_ = now(); }

  void ran(const Graph& graph, int node, bool backward, double seconds) override {
    if (cpu_) seconds = now() - last_;
    const Graph::Node& n = graph.nodes()[static_cast<size_t>(node)];
    std::string layer = n.op->type();
    const OpDescription& op = n.description;
    if (!op.parameters.empty()) {
      layer += " " + graph.parameters()[op.parameters.front().second].name;
    }
    std::ostringstream shape;
    if (!op.outputs.empty()) shape << graph.shape(op.outputs.front().second);
    char number[16];
    std::snprintf(number, sizeof number, "%3d ", node);
    add(types_[n.op->type()], backward, seconds);
    add(layers_[number + layer + " " + shape.str()], backward, seconds);
    last_ = now();
  }

  void reset() {
    types_.clear();
    layers_.clear();
  }
  double total() const {
    double sum = 0;
    for (const auto& [name, times] : types_) sum += times.total();
    return sum;
  }
  void print(int steps, size_t layers) const {
    print_table("op type", types_, steps, types_.size());
    print_table("layer (output)", layers_, steps, layers);
  }

 private:
  using Table = std::map<std::string, Times>;

  static void add(Times& times, bool backward, double seconds) {
    (backward ? times.backward : times.forward) += seconds;
  }

  void print_table(const char* title, const Table& table, int steps, size_t rows) const {
    std::vector<std::pair<std::string, Times>> sorted(table.begin(), table.end());
    std::sort(sorted.begin(), sorted.end(),
              [](const auto& a, const auto& b) { return a.second.total() > b.second.total(); });
    const double to_ms = 1e3 / steps;
    std::printf("\n%-78s %9s %9s %9s %6s\n", title, "forward", "backward", "ms", "share");
    for (size_t i = 0; i < std::min(rows, sorted.size()); ++i) {
      const auto& [name, times] = sorted[i];
      std::printf("%-78s %9.2f %9.2f %9.2f %5.1f%%\n", name.c_str(), times.forward * to_ms,
                  times.backward * to_ms, times.total() * to_ms, 100 * times.total() / total());
    }
  }

  bool cpu_;
  double last_ = 0;
  Table types_;
  Table layers_;
};

void run(const ModelConfig& config, int64_t batch, int threads, int steps, bool cpu) {
  std::vector<float> text(static_cast<size_t>(config.classes * kEmbedding));
  const RandomStream random(1, hash_name("profile"));
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<float>(random.normal(i));
  std::shared_ptr<Backend> backend = make_cpu_backend(threads);
  Model model(config, text, backend);
  Trainer trainer(model, {}, backend);

  std::vector<uint8_t> pixels(
      static_cast<size_t>(batch * config.input_size * config.input_size * 3));
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(random.bits(i));
  std::vector<float> targets(static_cast<size_t>(batch * config.classes));
  std::vector<uint32_t> samples(static_cast<size_t>(batch));
  for (int64_t b = 0; b < batch; ++b) {
    targets[static_cast<size_t>(b * config.classes + b % config.classes)] = 1.0f;
    samples[static_cast<size_t>(b)] = static_cast<uint32_t>(b);
  }
  const TrainBatch data{.images = {batch, pixels, {}},
                        .targets = targets,
                        .augment = true,
                        .epoch = 0,
                        .samples = samples,
                        .learning_rate = 1e-4f,
                        .normalization = {}};

  Profile profile(cpu);
  trainer.step(data, nullptr, &profile);
  profile.reset();
  const double start = profile.now();
  for (int i = 0; i < steps; ++i) {
    profile.start_step();
    trainer.step(data, nullptr, &profile);
  }
  const double seconds = profile.now() - start;
  std::printf("%s, %s at %lld, batch %lld: %.1f ms a step, %.1f images/s\n",
              backend->description().c_str(), std::string(config.backbone).c_str(),
              static_cast<long long>(config.input_size), static_cast<long long>(batch),
              1e3 * seconds / steps, static_cast<double>(batch) * steps / seconds);
  std::printf("outside the ops (images, checks, clipping, optimizer): %.1f ms\n",
              1e3 * (seconds - profile.total()) / steps);
  profile.print(steps, 40);
}

}  // namespace

int main(int argc, char** argv) {
  const auto number = [&](int i, int fallback) { return argc > i ? std::atoi(argv[i]) : fallback; };
  ModelConfig config;
  if (argc > 1) config.backbone = argv[1];
  config.input_size = number(2, 112);
  config.patch_size = config.input_size >= 224 ? 4 : 2;
  try {
    run(config, number(3, 64), number(4, 0), std::max(1, number(5, 3)),
        argc > 6 && std::strcmp(argv[6], "cpu") == 0);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "profile_step: %s\n", error.what());
    return 1;
  }
}
