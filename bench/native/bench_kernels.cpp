// Time of the kernels that are not products (norms, elementwise operations, pooling, attention,
// losses, optimizers) at the shapes of ResNet-18 and Swin-T at 112 pixels, batch 64.
//
//   bench_kernels [THREADS [MATCH [SECONDS]]]          2 threads, every kernel, 0.3 s each
//
// Each figure is the median of the runs that fit into the seconds, at least five; with one thread
// in processor time, so that other processes disturb less. GB/s counts each tensor once a pass that
// must touch it. bench/pytorch/kernels.py times the same in PyTorch.

#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "core/philox.h"

namespace {

using namespace countenance;

class Bench {
 public:
  Bench(int threads, std::string match, double seconds)
      : backend_(make_cpu_backend(threads)),
        clock_(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC),
        match_(std::move(match)),
        seconds_(seconds) {}

  Backend& backend() { return *backend_; }

  // Uniform in [-1, 1).
  Tensor tensor(const Shape& shape, DType dtype = DType::F32) {
    const Tensor t = workspace(static_cast<size_t>(shape.elements()) * size_of(dtype));
    const RandomStream random(1, blocks_.size());
    if (dtype == DType::F32) {
      for (int64_t i = 0; i < shape.elements(); ++i) {
        static_cast<float*>(t.data)[i] = 2 * random.uniform(static_cast<uint64_t>(i)) - 1;
      }
    }
    return {t.data, shape, dtype};
  }
  Tensor ones(const Shape& shape) {
    const Tensor t = tensor(shape);
    backend_->fill(t, 1.0f);
    return t;
  }
  Tensor workspace(size_t bytes) {
    blocks_.push_back(backend_->allocate(bytes + 64));
    return {blocks_.back()->data(), Shape{static_cast<int64_t>(bytes / 4)}, DType::F32};
  }
  void release() { blocks_.clear(); }

  void run(const std::string& name, double bytes, double elements, std::function<void()> kernel) {
    if (name.find(match_) == std::string::npos) return;
    kernel();
    std::vector<double> times;
    const double begin = now();
    while (times.size() < 5 || now() - begin < seconds_) {
      const double start = now();
      kernel();
      times.push_back(now() - start);
    }
    std::sort(times.begin(), times.end());
    const double median = times[times.size() / 2];
    std::printf("%-32s %9.3f ms %7.1f GB/s %8.3f ns/element\n", name.c_str(), median * 1e3,
                bytes / median * 1e-9, median / elements * 1e9);
    std::fflush(stdout);
  }

 private:
  double now() const {
    timespec t;
    clock_gettime(clock_, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  }

  std::unique_ptr<Backend> backend_;
  clockid_t clock_;
  std::string match_;
  double seconds_;
  std::vector<std::unique_ptr<DeviceBlock>> blocks_;
};

std::string label_of(int64_t side, int64_t channels) {
  char size[64];
  std::snprintf(size, sizeof size, " %lldx%lld", static_cast<long long>(side),
                static_cast<long long>(channels));
  return size;
}

void resnet_kernels(Bench& bench, int64_t side, int64_t channels) {
  bench.release();
  Backend& b = bench.backend();
  const Shape shape{64, side, side, channels};
  const Shape c{channels};
  const double n = static_cast<double>(shape.elements());
  const std::string at = label_of(side, channels);
  const Tensor x = bench.tensor(shape), y = bench.tensor(shape), residual = bench.tensor(shape);
  const Tensor dx = bench.tensor(shape), dresidual = bench.tensor(shape);
  const Tensor mean = bench.tensor(c), rstd = bench.tensor(c), weight = bench.tensor(c);
  const Tensor bias = bench.tensor(c), running_mean = bench.tensor(c), running_var = bench.ones(c);
  const Tensor dweight = bench.tensor(c), dbias = bench.tensor(c);
  const Tensor space = bench.workspace(b.batch_norm_workspace(shape));
  const auto forward = [&](Activation activation, Tensor added) {
    b.batch_norm_forward({.y = y,
                          .mean = mean,
                          .rstd = rstd,
                          .running_mean = running_mean,
                          .running_var = running_var,
                          .x = x,
                          .weight = weight,
                          .bias = bias,
                          .residual = added,
                          .workspace = space},
                         {.activation = activation});
  };
  const auto backward = [&](Activation activation, Gradient added) {
    b.batch_norm_backward({.dx = overwrite(dx),
                           .dresidual = added,
                           .dweight = overwrite(dweight),
                           .dbias = overwrite(dbias),
                           .dy = residual,
                           .x = x,
                           .y = activation == Activation::None ? Tensor{} : y,
                           .mean = mean,
                           .rstd = rstd,
                           .weight = weight,
                           .workspace = space},
                          {.activation = activation});
  };
  bench.run("bn fwd" + at, 12 * n, n, [&] { forward(Activation::None, {}); });
  bench.run("bn bwd" + at, 20 * n, n, [&] { backward(Activation::None, {}); });
  bench.run("bn_relu fwd" + at, 12 * n, n, [&] { forward(Activation::Relu, {}); });
  bench.run("bn_relu bwd" + at, 28 * n, n, [&] { backward(Activation::Relu, {}); });
  bench.run("bn_add_relu fwd" + at, 16 * n, n, [&] { forward(Activation::Relu, residual); });
  bench.run("bn_add_relu bwd" + at, 28 * n, n,
            [&] { backward(Activation::Relu, overwrite(dresidual)); });
  bench.run("relu fwd" + at, 8 * n, n, [&] { b.relu_forward(y, x); });
  bench.run("relu bwd" + at, 12 * n, n, [&] { b.relu_backward(overwrite(dx), residual, y); });
  if (side == 56) {
    const Shape half{64, 28, 28, channels};
    const Tensor pooled = bench.tensor(half), dpooled = bench.tensor(half);
    const Tensor argmax = bench.tensor(half, DType::U8);
    b.max_pool_forward(pooled, argmax, x, {});
    bench.run("max_pool fwd", 5.25 * n, n, [&] { b.max_pool_forward(pooled, argmax, x, {}); });
    bench.run("max_pool bwd", 5.25 * n, n,
              [&] { b.max_pool_backward(overwrite(dx), dpooled, argmax, {}); });
  }
  if (side == 4) {
    const Tensor pooled = bench.tensor({64, channels});
    bench.run("gap fwd", 4 * n, n, [&] { b.global_average_pool_forward(pooled, x); });
    bench.run("gap bwd", 4 * n, n, [&] { b.global_average_pool_backward(overwrite(dx), pooled); });
  }
}

void swin_kernels(Bench& bench, int64_t side, int64_t channels, int64_t heads) {
  bench.release();
  Backend& b = bench.backend();
  const Shape shape{64, side, side, channels};
  const Shape c{channels}, rows{64 * side * side};
  const double n = static_cast<double>(shape.elements());
  const std::string at = label_of(side, channels);
  {
    const Tensor x = bench.tensor(shape), y = bench.tensor(shape), dy = bench.tensor(shape);
    const Tensor dx = bench.tensor(shape), mean = bench.tensor(rows), rstd = bench.tensor(rows);
    const Tensor weight = bench.tensor(c), bias = bench.tensor(c), dweight = bench.tensor(c);
    const Tensor dbias = bench.tensor(c), scale = bench.tensor({64});
    const Tensor space = bench.workspace(b.layer_norm_workspace(shape));
    bench.run("ln fwd" + at, 8 * n, n, [&] {
      b.layer_norm_forward(
          {.y = y, .mean = mean, .rstd = rstd, .x = x, .weight = weight, .bias = bias}, 1e-5f);
    });
    bench.run("ln bwd" + at, 12 * n, n, [&] {
      b.layer_norm_backward({.dx = overwrite(dx),
                             .dweight = overwrite(dweight),
                             .dbias = overwrite(dbias),
                             .dy = dy,
                             .x = x,
                             .mean = mean,
                             .rstd = rstd,
                             .weight = weight,
                             .workspace = space});
    });
    bench.run("add fwd" + at, 12 * n, n, [&] { b.add_forward(y, x, dy, scale); });
    bench.run("add bwd" + at, 12 * n, n,
              [&] { b.add_backward(overwrite(dx), overwrite(y), dy, scale); });
    if (side > 7) {
      const Tensor merged = bench.tensor({64, side / 2, side / 2, 4 * channels});
      bench.run("merge fwd" + at, 8 * n, n, [&] { b.patch_merge_forward(merged, x); });
      bench.run("merge bwd" + at, 8 * n, n, [&] { b.patch_merge_backward(overwrite(dx), merged); });
    }
    const Shape wide{64, side, side, 3 * channels};
    const Tensor qkv = bench.tensor(wide), dqkv = bench.tensor(wide);
    const Tensor table = bench.tensor({169, heads}), dtable = bench.tensor({169, heads});
    const Tensor log_sums = bench.tensor({64, heads, side, side});
    for (int64_t shift : {0, 3}) {
      if (side == 7 && shift) continue;
      const WindowAttentionAttributes attributes{heads, 7, shift};
      const Tensor room = bench.workspace(b.window_attention_workspace(wide, attributes));
      const std::string name = at + " shift " + std::to_string(shift);
      b.window_attention_forward(y, log_sums, qkv, table, attributes, room);
      bench.run("attention fwd" + name, 16 * n, n,
                [&] { b.window_attention_forward(y, log_sums, qkv, table, attributes, room); });
      bench.run("attention bwd" + name, 28 * n, n, [&] {
        b.window_attention_backward({.dqkv = overwrite(dqkv),
                                     .dbias_table = overwrite(dtable),
                                     .dy = dy,
                                     .qkv = qkv,
                                     .y = y,
                                     .log_sum_exp = log_sums,
                                     .bias_table = table,
                                     .workspace = room},
                                    attributes);
      });
    }
  }
  bench.release();
  const Shape hidden{64, side, side, 4 * channels};
  const Tensor x = bench.tensor(hidden), y = bench.tensor(hidden), dx = bench.tensor(hidden);
  bench.run("gelu fwd" + at + "x4", 32 * n, 4 * n, [&] { b.gelu_forward(y, x); });
  bench.run("gelu bwd" + at + "x4", 48 * n, 4 * n, [&] { b.gelu_backward(overwrite(dx), y, x); });
}

void optimizer_kernels(Bench& bench) {
  bench.release();
  Backend& b = bench.backend();
  const int64_t n = 28633210;  // parameters of Swin-T with its transformation
  const double elements = static_cast<double>(n);
  const Shape shape{n};
  const Tensor w = bench.tensor(shape), g = bench.tensor(shape), first = bench.tensor(shape);
  const Tensor second = bench.ones(shape), scale = bench.ones({1}), norm = bench.ones({1});
  const Tensor space = bench.workspace(b.clip_workspace(n));
  const Tensor rates = bench.tensor({kAdamWRates});
  b.fill(rates, 1e-5f);
  bench.run("sgd 28.6M", 20 * elements, elements, [&] {
    b.sgd_step({.weights = w, .gradients = g, .gradient_scale = scale, .rates = rates}, first,
               {.momentum = 0.9f});
  });
  bench.run("adamw 28.6M", 28 * elements, elements, [&] {
    b.adamw_step({.weights = w, .gradients = g, .gradient_scale = scale, .rates = rates}, first,
                 second, {0.9f, 0.999f, 1e-8f});
  });
  bench.run("ema 28.6M", 12 * elements, elements, [&] { b.ema_update(first, w, scale, 0.99f); });
  bench.run("clip 28.6M", 4 * elements, elements,
            [&] { b.clip_gradient(scale, norm, g, {}, 1.0f, space); });
}

void loss_kernels(Bench& bench) {
  bench.release();
  Backend& b = bench.backend();
  const Shape features{64, 512}, texts{8, 512}, scores{64, 8};
  const Tensor expression = bench.tensor(features), neutral = bench.tensor(features);
  const Tensor dexpression = bench.tensor(features), dneutral = bench.tensor(features);
  const Tensor text = bench.tensor(texts), logits = bench.tensor(scores);
  const Tensor losses = bench.tensor({kObjectiveValues});
  Tensor targets = bench.tensor(scores);
  b.fill(targets, 0.0f);
  for (int64_t i = 0; i < 64; ++i) targets.f32()[i * 8 + i % 8] = 1.0f;
  const Tensor space = bench.workspace(b.objective_workspace(features, texts));
  bench.run("objective 64x512x8", 0, 64 * 512, [&] {
    b.objective({.losses = losses,
                 .logits = logits,
                 .dexpression = overwrite(dexpression),
                 .dneutral = overwrite(dneutral),
                 .expression = expression,
                 .neutral = neutral,
                 .targets = targets,
                 .text = text,
                 .workspace = space},
                {});
  });
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 2;
  Bench bench(threads, argc > 2 ? argv[2] : "", argc > 3 ? std::atof(argv[3]) : 0.3);
  std::printf("%s, threads: %d\n", bench.backend().description().c_str(), threads);
  for (const auto& [side, channels] :
       {std::pair<int64_t, int64_t>{56, 64}, {28, 64}, {14, 128}, {7, 256}, {4, 512}}) {
    resnet_kernels(bench, side, channels);
  }
  int64_t heads = 3;
  for (const auto& [side, channels] :
       {std::pair<int64_t, int64_t>{56, 96}, {28, 192}, {14, 384}, {7, 768}}) {
    swin_kernels(bench, side, channels, heads);
    heads *= 2;
  }
  optimizer_kernels(bench);
  loss_kernels(bench);
  return 0;
}
