#include <cstring>

#include "backend/cuda/backend_class.h"
#include "harness/harness.h"

// The op cases save the objective's gradients in float; in bfloat16 they are the same numbers,
// rounded.

namespace countenance::test {

namespace {

constexpr int64_t kBatch = 5;
constexpr int64_t kWidth = 37;
constexpr int64_t kClasses = 4;
const Shape kFeatures{kBatch, kWidth};

// Numbers in -1..1 whose float32 bits end in zeros.
std::vector<float> numbers(int64_t n, int64_t factor) {
  std::vector<float> values;
  for (int64_t i = 0; i < n; ++i) {
    values.push_back(static_cast<float>((i * factor + i * i) % 129 - 64) / 64.0f);
  }
  return values;
}

uint16_t to_bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

class Device {
 public:
  Tensor place(const Shape& shape, DType dtype, const void* values = nullptr) {
    const size_t bytes = static_cast<size_t>(shape.elements()) * size_of(dtype);
    blocks_.push_back(backend.allocate(bytes));
    const Tensor tensor{blocks_.back()->data(), shape, dtype};
    if (values) backend.copy_in(tensor, values);
    return tensor;
  }
  Tensor floats(const Shape& shape, const std::vector<float>& values) {
    return place(shape, DType::F32, values.data());
  }
  Tensor halves(const Shape& shape, const std::vector<float>& values) {
    std::vector<uint16_t> rounded;
    for (float v : values) rounded.push_back(to_bf16(v));
    return place(shape, DType::BF16, rounded.data());
  }

  cuda::CudaBackend backend{0};

 private:
  std::vector<std::unique_ptr<DeviceBlock>> blocks_;
};

}  // namespace

TEST(objective_gradients_in_bf16_are_the_rounded_ones) {
  Device device;
  std::vector<float> targets(kBatch * kClasses, 0.0f);
  for (int64_t b = 0; b < kBatch; ++b) targets[static_cast<size_t>(b * kClasses + b % 3)] = 1.0f;
  const Tensor expression = device.halves(kFeatures, numbers(kFeatures.elements(), 5));
  const Tensor neutral = device.halves(kFeatures, numbers(kFeatures.elements(), 11));
  const Tensor labels = device.floats({kBatch, kClasses}, targets);
  const Tensor text = device.floats({kClasses, kWidth}, numbers(kClasses * kWidth, 3));
  const Tensor losses = device.place({kObjectiveValues}, DType::F32);
  const Tensor logits = device.place({kBatch, kClasses}, DType::F32);
  const size_t bytes = device.backend.objective_workspace(kFeatures, text.shape);
  const Tensor space = device.place({static_cast<int64_t>(bytes / 4)}, DType::F32);
  const auto run = [&](Tensor dexpression, Tensor dneutral) {
    device.backend.objective({.losses = losses,
                              .logits = logits,
                              .dexpression = overwrite(dexpression),
                              .dneutral = overwrite(dneutral),
                              .expression = expression,
                              .neutral = neutral,
                              .targets = labels,
                              .text = text,
                              .workspace = space},
                             {.neutral = 2});
  };
  const Tensor exact[2] = {device.place(kFeatures, DType::F32),
                           device.place(kFeatures, DType::F32)};
  const Tensor rounded[2] = {device.place(kFeatures, DType::BF16),
                             device.place(kFeatures, DType::BF16)};
  run(exact[0], exact[1]);
  run(rounded[0], rounded[1]);
  for (int which : {0, 1}) {
    std::vector<float> wanted(static_cast<size_t>(kFeatures.elements()));
    std::vector<uint16_t> got(wanted.size());
    device.backend.copy_out(wanted.data(), exact[which]);
    device.backend.copy_out(got.data(), rounded[which]);
    bool nonzero = false;
    for (size_t i = 0; i < got.size(); ++i) {
      nonzero = nonzero || wanted[i] != 0.0f;
      CHECK(got[i] == to_bf16(wanted[i]), "gradient ", which, " at ", i);
    }
    CHECK(nonzero);
  }
}

}  // namespace countenance::test
