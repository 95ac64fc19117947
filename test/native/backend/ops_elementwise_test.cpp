#include <cmath>

#include "backend/op_cases.h"
#include "core/philox.h"

namespace countenance::test {

namespace {

// One element, less than a vector, around a vector, around two pieces of a parallel loop.
const std::vector<int64_t> kSizes = {1, 3, 15, 16, 17, 33, 1000, 70003};

}  // namespace

OP_CASES(relu, "relu_forward", "relu_backward") {
  for (int64_t n : kSizes) {
    OpCase c(text("n=", n));
    c.input("x", {n}, normal(n, c.name));
    c.output("y", {n});
    c.forward = [](Backend& b, OpTensors& t) { b.relu_forward(t["y"], t["x"]); };
    c.backward = [](Backend& b, OpTensors& t) {
      b.relu_backward(t.gradient("x"), t.cotangent("y"), t["y"]);
    };
    c.reference = [](OpValues& v) {
      const std::vector<double>& x = v["x"];
      std::vector<double>& y = v["y"];
      for (size_t i = 0; i < x.size(); ++i) y[i] = std::max(0.0, x[i]);
    };
    run_case(c);
  }
}

OP_CASES(gelu, "gelu_forward", "gelu_backward") {
  for (int64_t n : kSizes) {
    OpCase c(text("n=", n));
    // Both tails: beyond 5 the result is exactly x or 0.
    c.input("x", {n}, normal(n, c.name, 0, 2));
    c.output("y", {n});
    c.forward = [](Backend& b, OpTensors& t) { b.gelu_forward(t["y"], t["x"]); };
    c.backward = [](Backend& b, OpTensors& t) {
      b.gelu_backward(t.gradient("x"), t.cotangent("y"), t["x"]);
    };
    c.reference = [](OpValues& v) {
      const std::vector<double>& x = v["x"];
      std::vector<double>& y = v["y"];
      for (size_t i = 0; i < x.size(); ++i) y[i] = 0.5 * x[i] * std::erfc(-x[i] / std::sqrt(2.0));
    };
    run_case(c);
  }
}

// The whole range on a fine grid, the lower tail by its relative error: 2e-7 (a few roundings)
// near 0, and x^2 / 2 roundings in e^(-x^2 / 2).
TEST(gelu_is_accurate_in_its_tails) {
  std::vector<float> x;
  for (double v = -9; v <= 9; v += 1.0 / 512) x.push_back(static_cast<float>(v));
  for (float v : {-200.0f, -30.0f, 30.0f, 1e30f, 1e-30f, 0.0f}) x.push_back(v);
  const int64_t n = static_cast<int64_t>(x.size());
  for (const TestedBackend& tested : tested_backends()) {
    const std::unique_ptr<Backend> backend = tested.make(1);
    const auto in = backend->allocate(x.size() * 4), out = backend->allocate(x.size() * 4);
    const Tensor input = tensor_of(static_cast<float*>(in->data()), {n});
    const Tensor output = tensor_of(static_cast<float*>(out->data()), {n});
    backend->copy_in(input, x.data());
    backend->gelu_forward(output, input);
    std::vector<float> y(x.size());
    backend->copy_out(y.data(), output);
    for (size_t i = 0; i < x.size(); ++i) {
      const double v = x[i];
      const double want = 0.5 * v * std::erfc(-v / std::sqrt(2.0));
      const double allowed = (3e-7 + 6e-8 * std::min(v * v, 100.0)) * std::fabs(want) + 1e-35;
      CHECK(std::fabs(y[i] - want) <= allowed, tested.name, ": gelu(", v, ") = ", y[i],
            " instead of ", want);
    }
  }
}

OP_CASES(add, "add_forward", "add_backward") {
  for (const Shape& shape : {Shape{1}, Shape{3, 5}, Shape{4, 3, 3, 7}, Shape{2, 40000}}) {
    for (bool scaled : {false, true}) {
      const int64_t n = shape.elements();
      OpCase c(text(shape, scaled ? " scaled" : ""));
      c.input("a", shape, normal(n, "a"));
      c.input("b", shape, normal(n, "b"));
      c.constant("row_scale", {shape[0]}, uniform(shape[0], 0, 2, "row_scale"));
      c.output("y", shape);
      c.forward = [=](Backend& b, OpTensors& t) {
        b.add_forward(t["y"], t["a"], t["b"], scaled ? t["row_scale"] : Tensor{});
      };
      c.backward = [=](Backend& b, OpTensors& t) {
        b.add_backward(t.gradient("a"), t.gradient("b"), t.cotangent("y"),
                       scaled ? t["row_scale"] : Tensor{});
      };
      c.reference = [=](OpValues& v) {
        const std::vector<double>&first = v["a"], &second = v["b"], &scale = v["row_scale"];
        std::vector<double>& y = v["y"];
        for (size_t i = 0; i < y.size(); ++i) {
          const size_t row = i / (y.size() / static_cast<size_t>(shape[0]));
          y[i] = first[i] + (scaled ? scale[row] : 1) * second[i];
        }
      };
      run_case(c);
    }
  }
}

OP_CASES(drop_path_scale, "drop_path_scale") {
  for (int64_t batch : {1, 7, 64, 1000}) {
    for (float probability : {0.0f, 0.1f, 0.75f}) {
      OpCase c(text("batch ", batch, " probability ", probability));
      c.output("row_scale", {batch});
      // A key with both halves of both words set.
      const RandomKey key{0x123456789abcdefull,
                          0xfedcba987654321ull + static_cast<uint64_t>(batch)};
      c.forward = [=](Backend& b, OpTensors& t) {
        b.drop_path_scale(t["row_scale"], probability, key);
      };
      c.reference = [=](OpValues& v) {
        const RandomStream random(key.seed, key.stream);
        for (size_t i = 0; i < v["row_scale"].size(); ++i) {
          v["row_scale"][i] = random.uniform(i) < probability ? 0 : 1 / (1.0 - probability);
        }
      };
      run_case(c);
    }
  }
}

// What the generic test relies on.
COVERS(memory, "copy_in", "copy_out", "copy", "fill", "synchronize", "replay");

TEST(memory_is_read_back_later) {
  for (const TestedBackend& tested : tested_backends()) {
    const std::unique_ptr<Backend> backend = tested.make(1);
    const auto block = backend->allocate(1000 * sizeof(float));
    const Tensor x = tensor_of(static_cast<float*>(block->data()), {1000});
    const std::vector<float> values = normal(1000);
    const auto readback = backend->make_readback(x.bytes());
    backend->copy_in(x, values.data());
    readback->start(x);
    backend->fill(x, 7);  // queued after the copy
    const float* read = static_cast<const float*>(readback->wait());
    CHECK(std::vector<float>(read, read + 1000) == values, tested.name);
    readback->start(tensor_of(x.f32(), {3}));
    CHECK(static_cast<const float*>(readback->wait())[2] == 7, tested.name);
    CHECK(error_code([&] { backend->make_readback(8)->start(x); }) == code::kInternal, tested.name);
  }
}

TEST(memory_is_changed_by_replays) {
  for (const TestedBackend& tested : tested_backends()) {
    const std::unique_ptr<Backend> backend = tested.make(1);
    const auto block = backend->allocate(200 * sizeof(float));
    const Tensor x = tensor_of(static_cast<float*>(block->data()), {100});
    const Tensor y = tensor_of(x.f32() + 100, {100});
    const auto recording = backend->record([&] { backend->copy(y, x); });
    CHECK((recording != nullptr) == backend->asynchronous(), tested.name);
    if (!recording) continue;
    for (float value : {1.0f, 2.0f}) {
      backend->fill(x, value);
      backend->replay(*recording, 0);
      std::vector<float> read(100);
      backend->copy_out(read.data(), y);
      CHECK(read == repeated(100, value), tested.name);
    }
  }
}

TEST(memory_moves_and_fills) {
  for (const TestedBackend& tested : tested_backends()) {
    for (int threads : {1, 3}) {
      const std::unique_ptr<Backend> backend = tested.make(threads);
      for (int64_t n : {1, 17, 100003}) {
        const GuardedBuffer a(*backend, static_cast<size_t>(n) * 4);
        const GuardedBuffer b(*backend, static_cast<size_t>(n) * 4);
        const Tensor x = tensor_of(static_cast<float*>(a.data()), {n});
        const Tensor y = tensor_of(static_cast<float*>(b.data()), {n});
        const std::vector<float> values = normal(n);
        backend->copy_in(x, values.data());
        backend->copy(y, x);
        backend->fill(x, 2.5f);
        backend->synchronize();
        std::vector<float> copied(values.size()), filled(values.size());
        backend->copy_out(copied.data(), y);
        backend->copy_out(filled.data(), x);
        CHECK(copied == values, tested.name, " n=", n);
        CHECK(filled == repeated(n, 2.5f), tested.name, " n=", n);
        CHECK(a.guards_intact() && b.guards_intact(), tested.name, " n=", n);
      }
    }
  }
}

}  // namespace countenance::test
