#include <cstring>

#include "backend/cuda/backend_class.h"
#include "harness.h"
#include "numbers.h"

// What the op cases do not show of the backend itself: its memory, its streams, its recordings.

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

// Longer than the slots are many, in all sizes, with the source gone at once.
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
  // 1.00390625 lies between 1 and 1.0078125: a tie, to the even one.
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
  const Numbers x(backend, std::vector<float>(1000, 1.0f));
  const Numbers y(backend, counted(1000));
  const auto drop = [&](uint64_t step) {
    backend.dropout_forward(y.tensor, x.tensor, 0.5f, {7, (step << 16) + 3});
  };
  const auto recording = backend.record([&] { drop(10); });
  for (uint64_t step : {10, 11, 500}) {
    backend.replay(*recording, (step - 10) << 16);
    const std::vector<float> replayed = y.get(backend);
    drop(step);
    CHECK(y.get(backend) == replayed, "step ", step);
  }
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
  // And the backend goes on.
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
