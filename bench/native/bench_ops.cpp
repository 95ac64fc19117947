// Time of each distinct convolution and linear layer of the models: forward, gradient of the data,
// gradient of the weight.
//
//   bench_ops [--threads N] [--match TEXT] [--seconds S] [--isa avx512|avx2|portable] [--json]
//
// Without --threads: one and two threads. Each figure is the median of the runs that fit into S
// seconds (default 0.3), at least three; with one thread in processor time, so that other processes
// disturb less. Each product counts what the direct method multiplies: Winograd's and the skipped
// padding can lift it above the peak, which is that of multiply-adds in registers (peak.h).

#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "peak.h"

namespace {

using namespace countenance;

struct Layer {
  std::string name;
  bool linear;
  int64_t batch, size, in, out, kernel, stride, padding;  // linear: batch rows
};

std::vector<Layer> layers() {
  std::vector<Layer> all;
  for (int64_t size : {112, 48}) {
    const std::string net = "resnet18@" + std::to_string(size) + " ";
    all.push_back({net + "conv1", false, 64, size, 3, 64, 7, 2, 3});
    int64_t side = ((size + 1) / 2 + 1) / 2;
    all.push_back({net + "layer1", false, 64, side, 64, 64, 3, 1, 1});
    for (int64_t stage = 2; stage <= 4; ++stage) {
      const int64_t out = int64_t{32} << stage;
      const std::string layer = net + "layer" + std::to_string(stage);
      all.push_back({layer + ".0.conv1", false, 64, side, out / 2, out, 3, 2, 1});
      all.push_back({layer + ".0.downsample", false, 64, side, out / 2, out, 1, 2, 0});
      side = (side + 1) / 2;
      all.push_back({layer, false, 64, side, out, out, 3, 1, 1});
    }
  }
  all.push_back({"swin-t@112 patch_embed", false, 64, 112, 3, 96, 2, 2, 0});
  int64_t rows = 64 * 56 * 56;
  int64_t channels = 96;
  for (int stage = 0; stage < 4; ++stage) {
    const std::string net = "swin-t@112 layers." + std::to_string(stage) + " ";
    all.push_back({net + "qkv", true, rows, 1, channels, 3 * channels, 1, 1, 0});
    all.push_back({net + "proj", true, rows, 1, channels, channels, 1, 1, 0});
    all.push_back({net + "fc1", true, rows, 1, channels, 4 * channels, 1, 1, 0});
    all.push_back({net + "fc2", true, rows, 1, 4 * channels, channels, 1, 1, 0});
    if (stage < 3) {
      rows /= 4;
      all.push_back({net + "reduction", true, rows, 1, 4 * channels, 2 * channels, 1, 1, 0});
      channels *= 2;
    }
  }
  all.push_back({"one image layer1", false, 1, 28, 64, 64, 3, 1, 1});
  all.push_back({"one image layer4", false, 1, 4, 512, 512, 3, 1, 1});
  all.push_back({"one image fc", true, 1, 1, 768, 512, 1, 1, 0});
  return all;
}

double now(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

struct Stopwatch {
  double seconds;  // of repetition
  clockid_t clock;

  double median(const std::function<void()>& run) const {
    run();
    std::vector<double> times;
    const double begin = now(CLOCK_MONOTONIC);
    while (times.size() < 3 || now(CLOCK_MONOTONIC) - begin < seconds) {
      const double start = now(clock);
      run();
      times.push_back(now(clock) - start);
    }
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    return *middle;
  }
};

struct Memory {
  std::unique_ptr<DeviceBlock> block;
  Tensor tensor;
};

Memory place(Backend& backend, const Shape& shape, int64_t elements) {
  Memory memory{backend.allocate(static_cast<size_t>(elements) * sizeof(float)), {}};
  memory.tensor = tensor_of(static_cast<float*>(memory.block->data()), shape);
  // Values of one size, without denormals.
  for (int64_t i = 0; i < elements; ++i) {
    memory.tensor.f32()[i] = static_cast<float>((i * 2654435761u >> 7) % 2001) * 1e-3f - 1.0f;
  }
  return memory;
}

struct Times {
  double forward, data, weight;
};

Times measure(Backend& backend, const Layer& l, const Stopwatch& watch) {
  const int64_t side = (l.size + 2 * l.padding - l.kernel) / l.stride + 1;
  const Shape in = l.linear ? Shape{l.batch, l.in} : Shape{l.batch, l.size, l.size, l.in};
  const Shape out = l.linear ? Shape{l.batch, l.out} : Shape{l.batch, side, side, l.out};
  const Shape kernel = l.linear ? Shape{l.out, l.in} : Shape{l.out, l.in, l.kernel, l.kernel};
  const Conv2dAttributes conv{l.stride, l.padding};
  const Memory x = place(backend, in, in.elements());
  const Memory dx = place(backend, in, in.elements());
  const Memory y = place(backend, out, out.elements());
  const Memory dy = place(backend, out, out.elements());
  const Memory weight = place(backend, kernel, backend.packed_elements(kernel));
  const Memory dweight = place(backend, kernel, backend.packed_elements(kernel));
  const Memory bias = place(backend, Shape{l.out}, l.out);
  const size_t bytes =
      l.linear ? backend.linear_workspace(in, kernel) : backend.conv2d_workspace(in, kernel, conv);
  const Memory workspace = place(backend, Shape{}, static_cast<int64_t>(bytes / sizeof(float)));
  const Tensor w = workspace.tensor;
  Times times;
  if (l.linear) {
    const Epilogue epilogue{.shift = bias.tensor};
    times.forward = watch.median(
        [&] { backend.linear_forward(y.tensor, x.tensor, weight.tensor, epilogue, w); });
    times.data = watch.median(
        [&] { backend.linear_backward_data(overwrite(dx.tensor), dy.tensor, weight.tensor, w); });
    times.weight = watch.median([&] {
      backend.linear_backward_weight(overwrite(dweight.tensor), overwrite(bias.tensor), dy.tensor,
                                     x.tensor, w);
    });
  } else {
    times.forward = watch.median(
        [&] { backend.conv2d_forward(y.tensor, x.tensor, weight.tensor, {}, conv, w); });
    // An image's gradient is not wanted.
    times.data = l.in == 3 ? 0 : watch.median([&] {
      backend.conv2d_backward_data(overwrite(dx.tensor), dy.tensor, weight.tensor, conv, w);
    });
    times.weight = watch.median([&] {
      backend.conv2d_backward_weight(overwrite(dweight.tensor), {}, dy.tensor, x.tensor, conv, w);
    });
  }
  return times;
}

double multiplications(const Layer& l) {
  const int64_t side = (l.size + 2 * l.padding - l.kernel) / l.stride + 1;
  return static_cast<double>(l.batch * side * side * l.in * l.out * l.kernel * l.kernel);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<int> threads = {1, 2};
  std::string match;
  double seconds = 0.3;
  bool json = false;
  Isa isa = detect_isa();
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    if (option == "--json") {
      json = true;
      continue;
    }
    ++i;
    if (option == "--threads") {
      threads = {std::atoi(value)};
    } else if (option == "--match") {
      match = value;
    } else if (option == "--seconds") {
      seconds = std::atof(value);
    } else if (option == "--isa") {
      for (Isa candidate : {Isa::Portable, Isa::Avx2, Isa::Avx512}) {
        if (std::strcmp(value, name_of(candidate)) == 0) isa = candidate;
      }
    } else {
      std::fprintf(stderr, "bench_ops: unknown option %s\n", option.c_str());
      return 2;
    }
  }
  try {
    for (int count : threads) {
      const std::unique_ptr<Backend> backend = make_cpu_backend(count, isa);
      const Stopwatch watch{seconds, count == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC};
      if (!json) {
        const double peak = 1e-9 * peak::flops_per_second(isa, count);
        std::printf("%s, %d thread%s, GFLOP/s of the direct method; peak %.0f\n%-34s %9s %9s %9s\n",
                    backend->description().c_str(), count, count == 1 ? "" : "s", peak, "",
                    "forward", "data", "weight");
      }
      for (const Layer& l : layers()) {
        if (l.name.find(match) == std::string::npos) continue;
        const Times t = measure(*backend, l, watch);
        if (json) {
          std::printf(
              "{\"layer\":\"%s\",\"linear\":%s,\"batch\":%lld,\"size\":%lld,\"in\":%lld,"
              "\"out\":%lld,\"kernel\":%lld,\"stride\":%lld,\"padding\":%lld,\"threads\":%d,"
              "\"forward\":%.9f,\"data\":%.9f,\"weight\":%.9f,\"flop\":%.0f}\n",
              l.name.c_str(), l.linear ? "true" : "false", static_cast<long long>(l.batch),
              static_cast<long long>(l.size), static_cast<long long>(l.in),
              static_cast<long long>(l.out), static_cast<long long>(l.kernel),
              static_cast<long long>(l.stride), static_cast<long long>(l.padding), count, t.forward,
              t.data, t.weight, 2 * multiplications(l));
        } else {
          const double giga = 2e-9 * multiplications(l);
          std::printf("%-34s %9.1f %9.1f %9.1f\n", l.name.c_str(), giga / t.forward,
                      t.data > 0 ? giga / t.data : 0.0, giga / t.weight);
        }
        std::fflush(stdout);
      }
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_ops: %s\n", error.what());
    return 1;
  }
  return 0;
}
