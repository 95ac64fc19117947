// resize_and_prepare_images on every backend, in every precision, against the host's resize
// followed by prepare_images: the same bits.

#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "backend/op_cases.h"
#include "core/resize.h"
#include "harness/harness.h"
#include "image/augment.h"

using namespace countenance;
using namespace countenance::test;

namespace {

constexpr int64_t kChannels = 3;

int64_t bytes_of(const ImageSize& image) { return image.width * image.height * kChannels; }

std::vector<uint8_t> noise(const std::vector<ImageSize>& sizes) {
  int64_t bytes = 0;
  for (const ImageSize& image : sizes) bytes += bytes_of(image);
  std::vector<uint8_t> pixels(static_cast<size_t>(bytes));
  uint32_t state = 29;
  for (uint8_t& pixel : pixels) {
    state = state * 1664525u + 1013904223u;
    pixel = static_cast<uint8_t>(state >> 24);
  }
  return pixels;
}

// A transform of every kind.
std::vector<ImageTransform> transforms_for(int64_t size, size_t count) {
  const auto s = static_cast<int32_t>(size);
  const ImageTransform kinds[] = {
      {},
      {.flip = true},
      {.shift_y = -1, .shift_x = s / 2, .flip = true},
      {.shift_y = s, .shift_x = 0},  // nothing is left
      {.shift_y = s / 3, .erase_top = s / 2, .erase_height = 1, .erase_width = s},
      {.erase_height = s, .erase_width = s},  // everything is erased
  };
  AugmentOptions options;
  options.crop_probability = 1.0f;
  options.erase_probability = 1.0f;
  std::vector<ImageTransform> transforms;
  for (size_t i = 0; i < count; ++i) {
    const size_t kind = i % (std::size(kinds) + 2);
    transforms.push_back(kind < std::size(kinds) ? kinds[kind]
                                                 : draw_transform(options, size, 5, 1, i));
  }
  return transforms;
}

// The images that a backend prepares, in its precision, as float32.
class Prepared {
 public:
  Prepared(Backend& backend, Precision precision, const Shape& shape)
      : backend_(backend),
        dtype_(precision == Precision::BF16 ? DType::BF16 : DType::F32),
        memory_(backend, static_cast<size_t>(shape.elements()) * size_of(dtype_)),
        shape_(shape) {}

  Tensor tensor() const { return {memory_.data(), shape_, dtype_}; }
  std::vector<float> values() const {
    CHECK(memory_.guards_intact(), "wrote outside its output");
    std::vector<float> values(static_cast<size_t>(shape_.elements()));
    const GuardedBuffer floats(backend_, values.size() * sizeof(float));
    const Tensor converted = tensor_of(static_cast<float*>(floats.data()), shape_);
    backend_.copy(converted, tensor());
    backend_.copy_out(values.data(), converted);
    return values;
  }

 private:
  Backend& backend_;
  DType dtype_;
  GuardedBuffer memory_;
  Shape shape_;
};

std::vector<float> prepare(Backend& backend, Precision precision,
                           const std::vector<ImageSize>& sizes, int64_t size,
                           const std::vector<uint8_t>& pixels,
                           const std::vector<ImageTransform>& transforms) {
  const Shape shape{static_cast<int64_t>(sizes.size()), size, size, kChannels};
  const Prepared out(backend, precision, shape);
  backend.resize_and_prepare_images(out.tensor(), pixels, sizes, transforms, {});
  return out.values();
}

// The same images from the host's resize and prepare_images.
std::vector<float> resize_and_prepare(Backend& backend, Precision precision,
                                      const std::vector<ImageSize>& sizes, int64_t size,
                                      const std::vector<uint8_t>& pixels,
                                      const std::vector<ImageTransform>& transforms) {
  const Shape shape{static_cast<int64_t>(sizes.size()), size, size, kChannels};
  std::vector<uint8_t> resized(static_cast<size_t>(shape.elements()));
  const uint8_t* from = pixels.data();
  uint8_t* to = resized.data();
  for (const ImageSize& image : sizes) {
    resize_bilinear(to, size, size, from, image.width, image.height, kChannels);
    from += bytes_of(image);
    to += size * size * kChannels;
  }
  const GuardedBuffer memory(backend, resized.size());
  const Tensor images{memory.data(), shape, DType::U8};
  backend.copy_in(images, resized.data());
  const Prepared out(backend, precision, shape);
  backend.prepare_images(out.tensor(), images, transforms, {});
  return out.values();
}

void check_same_bits(const std::vector<ImageSize>& sizes, int64_t size) {
  const std::vector<uint8_t> pixels = noise(sizes);
  const std::vector<ImageTransform> transforms = transforms_for(size, sizes.size());
  for (const TestedBackend& tested : all_tested_backends()) {
    for (int threads : {1, 3}) {
      if (threads > 1 && !tested.thorough) continue;
      const auto backend = tested.make(threads);
      const auto got = prepare(*backend, tested.precision, sizes, size, pixels, transforms);
      const auto expected =
          resize_and_prepare(*backend, tested.precision, sizes, size, pixels, transforms);
      for (size_t i = 0; i < sizes.size(); ++i) {
        const auto floats = static_cast<size_t>(size * size * kChannels);
        CHECK(std::memcmp(&got[i * floats], &expected[i * floats], floats * sizeof(float)) == 0,
              tested.name, ", ", threads, " threads, image ", i, " of ", sizes[i].width, " x ",
              sizes[i].height, " to ", size);
      }
    }
  }
}

COVERS(resize_and_prepare_images, "resize_and_prepare_images");

}  // namespace

TEST(resize_and_prepare_images_has_the_bits_of_resize_then_prepare) {
  for (int64_t size : {1, 7, 16, 33}) {
    // Larger and smaller, the same size in one axis and in both, a pixel, lines; then the same
    // sizes again, with other transforms.
    std::vector<ImageSize> sizes = {
        {1, 1},   {size, size},         {size, 5},     {3, size}, {50, 40}, {2, 90}, {301, 1},
        {1, 203}, {size + 1, 2 * size}, {size * 4, 13}};
    const std::vector<ImageSize> again(sizes.begin(), sizes.begin() + 5);
    sizes.insert(sizes.end(), again.begin(), again.end());
    check_same_bits(sizes, size);
  }
}

// More than one launch takes, by number and by bytes: one image alone fills the device's buffer.
TEST(resize_and_prepare_images_takes_any_number_of_any_size) {
  std::vector<ImageSize> many;
  for (int64_t i = 0; i < 131; ++i) many.push_back({1 + i % 9, 1 + i % 7});
  check_same_bits(many, 3);
  check_same_bits({{3, 2}, {kMaxImageSide, 700}, {2, 3}}, 1);
  check_same_bits({{2, kMaxImageSide}}, 2);
}

TEST(resize_and_prepare_images_refuses_bad_sizes) {
  const std::vector<uint8_t> pixels(12);
  const ImageTransform outside{.erase_top = 1, .erase_height = 2, .erase_width = 1};
  for (const TestedBackend& tested : all_tested_backends()) {
    const auto backend = tested.make(1);
    const auto code_of = [&](const std::vector<ImageSize>& sizes,
                             const std::vector<ImageTransform>& transforms) {
      return error_code([&] { prepare(*backend, tested.precision, sizes, 2, pixels, transforms); });
    };
    for (int64_t side :
         {int64_t{0}, int64_t{-1}, kMaxImageSide + 1, std::numeric_limits<int64_t>::max()}) {
      CHECK(code_of({{side, 2}}, {{}}) == code::kInvalidArgument, tested.name, " ", side);
      CHECK(code_of({{2, side}}, {{}}) == code::kInvalidArgument, tested.name, " ", side);
    }
    CHECK(code_of({{2, 3}}, {{}}) == code::kInternal, tested.name, ": more bytes than there are");
    CHECK(code_of({{2, 1}}, {{}}) == code::kInternal, tested.name, ": fewer");
    CHECK(code_of({{2, 2}}, {{}, {}}) == code::kInternal, tested.name);
    CHECK(code_of({{2, 2}}, {outside}) == code::kInternal, tested.name);
    CHECK(code_of({{2, 2}}, {{}}) == "", tested.name);
  }
}
