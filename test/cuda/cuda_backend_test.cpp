#include <cmath>
#include <cstring>

#include "backend/cuda/backend_class.h"
#include "harness/harness.h"
#include "numbers.h"

// What the op cases do not cover of the backend itself: its memory, its streams, its recordings.

namespace countenance::test {

using cuda::CudaBackend;

TEST(memory_may_outlive_its_backend) {
  auto backend = std::make_unique<CudaBackend>(0);
  const auto block = backend->allocate(1000);
  backend.reset();
  CHECK(block->bytes() == 1000);
}

TEST(fresh_memory_is_zero) {
  CudaBackend backend(0);
  const auto block = backend.allocate(40);
  std::vector<float> values(10, 1.0f);
  backend.copy_out(values.data(), tensor_of(static_cast<float*>(block->data()), {10}));
  CHECK(values == std::vector<float>(10, 0.0f));
}

// More copies than there are slots, of all sizes, with the source overwritten at once.
TEST(copies_in_do_not_need_their_source_any_more) {
  CudaBackend backend(0);
  for (size_t n : {size_t{3}, size_t{100000}, size_t{5000000}}) {
    const auto block = backend.allocate(n * sizeof(float));
    const Tensor whole = tensor_of(static_cast<float*>(block->data()), {static_cast<int64_t>(n)});
    std::vector<std::unique_ptr<Numbers>> copies;
    for (int i = 0; i < 9; ++i) {
      std::vector<float> source = counted(n, static_cast<float>(i));
      backend.copy_in(whole, source.data());
      std::fill(source.begin(), source.end(), -1.0f);
      if (n > 1000000 && i < 7) continue;
      copies.push_back(std::make_unique<Numbers>(backend, std::vector<float>(n)));
      backend.copy(copies.back()->tensor, whole);
    }
    const int first = 9 - static_cast<int>(copies.size());
    for (size_t i = 0; i < copies.size(); ++i) {
      CHECK(
          copies[i]->get(backend) == counted(n, static_cast<float>(first) + static_cast<float>(i)),
          n, " numbers, copy ", i);
    }
  }
}

TEST(copies_convert_between_float32_and_bfloat16) {
  CudaBackend backend(0);
  const Numbers x(backend, {1.0f, 1.00390625f, -3.1415927f, 1e30f, 0.0f});
  const auto block = backend.allocate(10);
  const Tensor half{block->data(), Shape{5}, DType::BF16};
  backend.copy(half, x.tensor);
  uint16_t bits[5];
  backend.copy_out(bits, half);
  // 1.00390625 lies between 1 and 1.0078125: a tie, rounded to even.
  const uint16_t want[5] = {0x3F80, 0x3F80, 0xC049, 0x714A, 0};
  CHECK(std::memcmp(bits, want, sizeof bits) == 0, bits[0], " ", bits[1], " ", bits[2], " ",
        bits[3]);
  const Numbers back(backend, counted(5));
  backend.copy(back.tensor, half);
  CHECK(back.get(backend) == std::vector<float>({1.0f, 1.0f, -3.140625f, 1.00026e30f, 0.0f}) ||
        back.get(backend)[2] == -3.140625f);
}

// ---- Recordings ----

TEST(a_recording_does_the_same_again) {
  CudaBackend backend(0);
  const Numbers x(backend, counted(1000, -500));
  const Numbers y(backend, counted(1000));
  const Numbers z(backend, counted(1000));
  const auto operations = [&] {
    backend.relu_forward(y.tensor, x.tensor);
    backend.add_forward(z.tensor, z.tensor, y.tensor, {});
  };
  const auto recording = backend.record(operations);
  CHECK(z.get(backend) == counted(1000), "a recording runs nothing");
  for (int i = 0; i < 3; ++i) backend.replay(*recording, 0);
  std::vector<float> want = counted(1000);
  for (size_t i = 0; i < want.size(); ++i) {
    want[i] += 3 * std::max(0.0f, static_cast<float>(i) - 500);
  }
  CHECK(z.get(backend) == want);
}

TEST(a_replay_draws_the_random_numbers_of_its_step) {
  CudaBackend backend(0);
  const Numbers y(backend, counted(1000));
  const auto drop = [&](uint64_t step) {
    backend.drop_path_scale(y.tensor, 0.5f, {7, (step << 16) + 3});
  };
  const auto recording = backend.record([&] { drop(10); });
  for (uint64_t step : {10, 11, 500}) {
    backend.replay(*recording, (step - 10) << 16);
    const std::vector<float> replayed = y.get(backend);
    drop(step);
    CHECK(y.get(backend) == replayed, "step ", step);
  }
}

// y = x weight^T in bfloat16; its weight is read through the bfloat16 copy.
class Product {
 public:
  explicit Product(CudaBackend& backend)
      : backend_(backend),
        weights_(backend.allocate(kSide * kSide * sizeof(float))),
        x_(backend.allocate(kSide * kSide * 2)),
        y_(backend.allocate(kSide * kSide * 2)),
        workspace_(backend.allocate(backend.linear_workspace(kShape, kShape) + 4)) {
    std::vector<uint16_t> ones(kSide * kSide, to_bf16(1.0f));
    backend.copy_in(bf16(x_), ones.data());
    set(0);
  }
  Tensor weight() const { return {weights_->data(), kShape, DType::F32}; }
  Tensor flat() const { return {weights_->data(), Shape{kSide * kSide}, DType::F32}; }
  // Sets every weight to this value.
  void set(float value) {
    backend_.pack_parameter(weight(), std::vector<float>(kSide * kSide, value).data());
  }
  void run() {
    const int64_t floats =
        static_cast<int64_t>(backend_.linear_workspace(kShape, kShape) / sizeof(float));
    backend_.linear_forward(bf16(y_), bf16(x_), weight(), {},
                            tensor_of(static_cast<float*>(workspace_->data()), {floats}));
  }
  // The value of a weight that gave the current product.
  float seen_weight() {
    std::vector<float> y(kSide * kSide);
    const auto block = backend_.allocate(y.size() * sizeof(float));
    const Tensor floats = tensor_of(static_cast<float*>(block->data()), kShape);
    backend_.copy(floats, bf16(y_));
    backend_.copy_out(y.data(), floats);
    return y[7] / kSide;
  }

 private:
  static constexpr int64_t kSide = 32;
  inline static const Shape kShape{kSide, kSide};
  static Tensor bf16(const std::unique_ptr<DeviceBlock>& block) {
    return {block->data(), kShape, DType::BF16};
  }

  CudaBackend& backend_;
  std::unique_ptr<DeviceBlock> weights_, x_, y_, workspace_;
};

TEST(a_replay_reads_the_weights_as_they_are_then) {
  CudaBackend backend(0);
  Product product(backend);
  const Numbers gradient(backend, std::vector<float>(1024, -1.0f));
  const Numbers rate(backend, {1.0f, 0.0f});
  const auto update = [&] {  // adds 1
    backend.sgd_step(
        {.weights = product.flat(), .gradients = gradient.tensor, .rates = rate.tensor}, {}, {});
  };
  product.run();
  const auto forward = backend.record([&] { product.run(); });
  const auto both = backend.record([&] {
    product.run();
    update();
  });
  const auto seen = [&](const Recording& recording) {
    backend.replay(recording, 0);
    return product.seen_weight();
  };
  product.set(2);
  CHECK(seen(*forward) == 2, "weights written after the recording");
  CHECK(seen(*both) == 2 && seen(*both) == 3 && seen(*both) == 4, "kept up to date by the update");
  CHECK(seen(*forward) == 5);
  update();
  CHECK(seen(*forward) == 6, "an update beside the recording");
  product.set(1);
  update();  // leaves the copy out of date
  CHECK(seen(*both) == 2 && seen(*both) == 3);
}

TEST(a_copy_made_after_a_recorded_update_is_not_taken_for_fresh) {
  CudaBackend backend(0);
  Product product(backend);
  const Numbers gradient(backend, std::vector<float>(1024, -1.0f));
  const Numbers rate(backend, {1.0f, 0.0f});
  const auto update = backend.record([&] {
    backend.sgd_step(
        {.weights = product.flat(), .gradients = gradient.tensor, .rates = rate.tensor}, {}, {});
  });
  product.set(1);
  product.run();
  CHECK(product.seen_weight() == 1);
  backend.replay(*update, 0);
  product.run();
  CHECK(product.seen_weight() == 2);
}

TEST(a_replayed_update_takes_its_rate_from_memory_and_may_be_skipped) {
  CudaBackend backend(0);
  const Numbers weights(backend, {10.0f});
  const Numbers gradient(backend, {1.0f});
  const Numbers rate(backend, {1.0f, 0.0f});
  const Numbers loss(backend, {1.0f});
  const Numbers scale(backend, {1.0f});
  const Numbers norm(backend, {0.0f});
  const auto workspace = backend.allocate(backend.clip_workspace(1));
  const auto step = backend.record([&] {
    backend.clip_gradient(scale.tensor, norm.tensor, gradient.tensor, loss.tensor, 0,
                          tensor_of(static_cast<float*>(workspace->data()), {2}));
    backend.sgd_step({.weights = weights.tensor,
                      .gradients = gradient.tensor,
                      .gradient_scale = scale.tensor,
                      .rates = rate.tensor},
                     {}, {});
  });
  const auto after = [&](float new_rate, float new_loss) {
    const float rates[kSgdRates] = {new_rate, 0};
    backend.copy_in(rate.tensor, rates);
    backend.fill(loss.tensor, new_loss);
    backend.replay(*step, 0);
    return weights.get(backend)[0];
  };
  CHECK(after(1, 1) == 9 && after(3, 1) == 6);
  CHECK(after(1, NAN) == 6 && after(1, 1) == 6, "skipped, and the step after it");
  backend.fill(scale.tensor, 1);
  CHECK(after(1, 1) == 5);
}

TEST(what_cannot_be_recorded_is_an_error) {
  CudaBackend backend(0);
  const Numbers x(backend, counted(10));
  float values[10];
  const auto code_of = [&](const std::function<void()>& f) {
    return error_code([&] { backend.record(f); });
  };
  CHECK(code_of([&] { backend.copy_in(x.tensor, values); }) == code::kInternal);
  CHECK(code_of([&] { backend.copy_out(values, x.tensor); }) == code::kInternal);
  CHECK(code_of([&] { backend.allocate(10); }) == code::kInternal);
  CHECK(code_of([&] { fail(code::kAborted, "stop"); }) == code::kAborted);
  // And the backend still works.
  CHECK(x.get(backend) == counted(10));
  const auto recording = backend.record([&] { backend.fill(x.tensor, 2); });
  backend.replay(*recording, 0);
  CHECK(x.get(backend) == std::vector<float>(10, 2.0f));
}

TEST(misaligned_tensors_are_an_error) {
  CudaBackend backend(0);
  const Numbers x(backend, counted(12));
  const Tensor shifted = tensor_of(x.tensor.f32() + 1, {8});
  CHECK(error_code([&] { backend.relu_forward(shifted, shifted); }) == code::kInternal);
}

TEST(packed_weights_have_rows_of_taps) {
  CudaBackend backend(0);
  const Shape shape{2, 3, 1, 2};  // depth 6, pitch 8
  CHECK(backend.packed_elements(shape) == 16);
  const auto block = backend.allocate(16 * sizeof(float));
  const Tensor packed{block->data(), shape, DType::F32};
  backend.pack_parameter(packed, counted(12, 1).data());
  std::vector<float> memory(16);
  backend.copy_out(memory.data(), {block->data(), Shape{16}, DType::F32});
  CHECK(memory == std::vector<float>({1, 3, 5, 2, 4, 6, 0, 0, 7, 9, 11, 8, 10, 12, 0, 0}));
  std::vector<float> torch(12);
  backend.unpack_parameter(torch.data(), packed);
  CHECK(torch == counted(12, 1));
}

}  // namespace countenance::test
