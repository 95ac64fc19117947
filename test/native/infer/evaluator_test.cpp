#include <cmath>

#include "core/arena.h"
#include "core/resize.h"
#include "harness/harness.h"
#include "train/train_fixture.h"

using namespace countenance;
using namespace countenance::test;

namespace {

struct Fixture {
  Fixture() : model(tiny_config(), fixture_text(), make_cpu_backend(2)), evaluator(model) {}
  Model model;
  Evaluator evaluator;
};

std::vector<float> normalised(const std::vector<uint8_t>& pixels) {
  const Normalization n;
  std::vector<float> values(pixels.size());
  for (size_t i = 0; i < pixels.size(); ++i) {
    values[i] = (static_cast<float>(pixels[i]) / 255.0f - n.mean[i % 3]) / n.std[i % 3];
  }
  return values;
}

double error_of(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() ? normalised_error(a.data(), b.data(), static_cast<int64_t>(a.size()))
                              : INFINITY;
}

}  // namespace

TEST(evaluator_gives_each_image_the_same_result_in_any_batch) {
  Fixture f;
  const BatchData data(6, 32, 1);
  const Prediction all = f.evaluator.run(data.images(), {});
  CHECK(all.logits.size() == 6 * kFixtureClasses && all.expression.size() == 6 * kEmbedding &&
        all.neutral.size() == 6 * kEmbedding);
  std::vector<float> logits;
  std::vector<float> neutral;
  const size_t image = 32 * 32 * 3;
  // More sizes than the evaluator keeps plans for.
  for (const auto& [first, size] :
       std::vector<std::pair<int64_t, int64_t>>{{0, 1}, {1, 2}, {3, 3}}) {
    const Prediction part = f.evaluator.run(
        {size,
         std::span(data.pixels)
             .subspan(static_cast<size_t>(first) * image, static_cast<size_t>(size) * image),
         {}},
        {});
    logits.insert(logits.end(), part.logits.begin(), part.logits.end());
    neutral.insert(neutral.end(), part.neutral.begin(), part.neutral.end());
  }
  // Sums of a matrix product may be split differently for a different number of rows.
  CHECK(error_of(logits, all.logits) < 1e-5, error_of(logits, all.logits));
  CHECK(error_of(neutral, all.neutral) < 1e-5, error_of(neutral, all.neutral));
  for (int64_t size : {4, 5}) f.evaluator.run(BatchData(size, 32, 2).images(), {});
  const Prediction again = f.evaluator.run(data.images(), {});
  CHECK(same_bits(again.logits, all.logits), "a plan that was dropped and made anew");
}

TEST(evaluator_takes_pixels_and_normalised_images_alike) {
  Fixture f;
  const BatchData data(3, 32, 1);
  const std::vector<float> floats = normalised(data.pixels);
  const Prediction of_pixels = f.evaluator.run(data.images(), {});
  const Prediction of_floats = f.evaluator.run({3, {}, floats}, {});
  // The normalisation may be one multiplication and addition: one float32 rounding per input.
  CHECK(error_of(of_pixels.logits, of_floats.logits) < 1e-5,
        error_of(of_pixels.logits, of_floats.logits));
}

TEST(evaluator_resizes_and_mirrors_images) {
  Fixture f;
  const std::vector<ImageSize> sizes = {{50, 41}, {7, 90}, {32, 32}};
  const size_t ready_bytes = 32 * 32 * 3;
  std::vector<uint8_t> pixels;
  std::vector<uint8_t> resized(sizes.size() * ready_bytes);
  for (size_t i = 0; i < sizes.size(); ++i) {
    const auto& [width, height] = sizes[i];
    std::vector<uint8_t> image = BatchData(5, 32, i).pixels;
    image.resize(static_cast<size_t>(width * height * 3));
    resize_bilinear(&resized[i * ready_bytes], 32, 32, image.data(), width, height, 3);
    pixels.insert(pixels.end(), image.begin(), image.end());
  }
  const ImageBatch raw{3, pixels, {}, sizes};
  const ImageBatch ready{3, resized, {}};
  const Prediction plain = f.evaluator.run(ready, {});
  CHECK(same_bits(f.evaluator.run(raw, {}).logits, plain.logits));

  std::vector<uint8_t> mirrored(resized.size());
  for (size_t i = 0; i < resized.size(); i += 3) {
    const size_t column = i / 3 % 32;
    std::copy_n(&resized[i], 3, &mirrored[i + 3 * (31 - column) - 3 * column]);
  }
  const Prediction flipped = f.evaluator.run({3, mirrored, {}}, {});
  CHECK(!same_bits(flipped.logits, plain.logits));
  for (const ImageBatch& batch : {raw, ready}) {
    const Prediction got = f.evaluator.run(batch, {}, nullptr, {.flip = true});
    CHECK(same_bits(got.logits, flipped.logits));
  }

  const Prediction mean = with_flip(plain, flipped);
  for (size_t i = 0; i < mean.logits.size(); ++i) {
    CHECK(mean.logits[i] == (plain.logits[i] + flipped.logits[i]) / 2);
  }
  CHECK(same_bits(mean.expression, plain.expression));
  CHECK(same_bits(mean.mirrored, flipped.expression));

  const auto code_of = [&](int64_t size, std::span<const ImageSize> of) {
    return error_code([&] { f.evaluator.run({size, pixels, {}, of}, {}); });
  };
  CHECK(code_of(2, sizes) == code::kShapeMismatch);
  CHECK(code_of(kMaxBatch + 1, sizes) == code::kBatchTooLarge);
  CHECK(code_of(2, std::span(sizes).first(2)) == code::kShapeMismatch, "more bytes");
  for (int64_t side : {int64_t{0}, int64_t{-1}, kMaxImageSide + 1, INT64_MAX}) {
    const std::vector<ImageSize> wrong = {sizes[0], {side, 90}, sizes[2]};
    CHECK(code_of(3, wrong) == code::kInvalidArgument, side);
  }
}

TEST(evaluator_keeps_four_runs_in_flight) {
  Fixture f;
  const BatchData a(3, 32, 1);
  const BatchData b(3, 32, 2);
  const Prediction of_a = f.evaluator.run(a.images(), {});
  const Prediction of_b = f.evaluator.run(b.images(), {});
  const auto first = f.evaluator.begin(a.images(), {});
  const auto second = f.evaluator.begin(b.images(), {});
  const auto third = f.evaluator.begin(a.images(), {}, nullptr, {.flip = true});
  const auto fourth = f.evaluator.begin(b.images(), {});
  CHECK(same_bits(Evaluator::finish(first).logits, of_a.logits));
  CHECK(same_bits(Evaluator::finish(second).logits, of_b.logits));
  CHECK(same_bits(Evaluator::finish(fourth).logits, of_b.logits));
  const Prediction mirrored = f.evaluator.run(a.images(), {}, nullptr, {.flip = true});
  CHECK(same_bits(Evaluator::finish(third).logits, mirrored.logits));
  for (int64_t other : {1, 2, 4, 5}) f.evaluator.run(BatchData(other, 32, 3).images(), {});
  CHECK(same_bits(Evaluator::finish(second).neutral, of_b.neutral), "its plan is gone");
}

TEST(evaluator_refuses_bad_batches) {
  Fixture f;
  CHECK(error_code([&] { Evaluator(f.model, Precision::BF16); }) == code::kUnsupported);
  const BatchData data(3, 32, 1);
  std::vector<float> floats = normalised(data.pixels);
  floats[40] = INFINITY;
  const auto code_of = [&](const ImageBatch& batch) {
    return error_code([&] { f.evaluator.run(batch, {}); });
  };
  CHECK(code_of({3, {}, floats}) == code::kNotFinite);
  CHECK(code_of({3, {}, {}}) == code::kShapeMismatch);
  CHECK(code_of({4, data.pixels, {}}) == code::kShapeMismatch);
  CHECK(code_of({0, {}, {}}) == code::kInvalidArgument);
  CHECK(code_of({kMaxBatch + 1, data.pixels, {}}) == code::kBatchTooLarge);
  CHECK(code_of({INT64_MAX, data.pixels, {}}) == code::kBatchTooLarge);
  const std::atomic<bool> cancel{true};
  CHECK(error_code([&] { f.evaluator.run(data.images(), {}, &cancel); }) == code::kAborted);
}

TEST(plan_cache_makes_room_and_explains_what_does_not_fit) {
  struct Entry {
    explicit Entry(int64_t batch, int& alive) : batch(batch), alive(alive) { ++alive; }
    ~Entry() { --alive; }
    int64_t batch;
    int& alive;
  };
  int alive = 0;
  int made = 0;
  PlanCache<Entry> cache(2);
  // 100 bytes for any batch, plus 10 per image.
  const auto bytes_of = [](int64_t batch) { return static_cast<size_t>(100 + 10 * batch); };
  const auto make = [&](int64_t batch) {
    if (batch >= 100 || (batch == 50 && alive > 0)) {
      throw OutOfMemory(bytes_of(batch), 800, "no memory");
    }
    CHECK(alive < 2, "made room before it allocated");
    ++made;
    return std::make_unique<Entry>(batch, alive);
  };
  for (int64_t batch : {1, 2, 1, 3, 1}) CHECK(cache.get(batch, make, bytes_of).batch == batch);
  CHECK(made == 3 && alive == 2, made, " ", alive);
  cache.get(2, make, bytes_of);  // 3 was used less recently than 1
  CHECK(made == 4, made);
  CHECK(cache.get(50, make, bytes_of).batch == 50 && alive == 1, "the other plans make room");
  const auto message_of = [&](auto&& bytes) -> std::string {
    try {
      cache.get(100, make, bytes);
    } catch (const OutOfMemory& error) {
      CHECK(error.code() == code::kOutOfMemory && error.wanted() == 1100 && error.free() == 800);
      return error.what();
    }
    return "nothing was thrown";
  };
  CHECK(message_of(bytes_of) ==
            "a batch of 100 does not fit into memory (no memory); a batch of 70 would fit",
        message_of(bytes_of));
  CHECK(message_of([](int64_t) { return size_t{900}; }).find("not even a single image") !=
        std::string::npos);
  CHECK(alive == 0);
  CHECK(error_code([&] {
          cache.get(
              7, [](int64_t) -> std::unique_ptr<Entry> { fail(code::kInternal, "broken"); },
              bytes_of);
        }) == code::kInternal);
}

TEST(host_blocks_larger_than_the_memory_are_refused) {
  CHECK(error_code([] { HostBlock(size_t{1} << 45); }) == code::kOutOfMemory);
  CHECK(error_code([] { HostBlock(SIZE_MAX - 100); }) == code::kOutOfMemory);
}
