// The affine warp of the image pipeline.

#include <cmath>
#include <vector>

#include "harness/harness.h"
#include "image/warp.h"

using namespace countenance;
using namespace countenance::test;

namespace {

constexpr AffineMap kIdentity{1, 0, 0, 0, 1, 0};

// (height, width, 3), pseudo-random bytes.
std::vector<uint8_t> pattern(int64_t width, int64_t height) {
  std::vector<uint8_t> image(static_cast<size_t>(width * height * 3));
  uint32_t state = 29;
  for (uint8_t& byte : image) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<uint8_t>(state >> 24);
  }
  return image;
}

std::vector<uint8_t> warp(int64_t size, const std::vector<uint8_t>& in, int64_t width,
                          int64_t height, const AffineMap& map) {
  std::vector<uint8_t> out(static_cast<size_t>(size * size * 3), 77);
  warp_affine(out.data(), size, in.data(), width, height, map);
  return out;
}

}  // namespace

TEST(warp_by_whole_pixels_copies) {
  const std::vector<uint8_t> in = pattern(7, 5);
  for (const auto& [dx, dy] : {std::pair{0, 0}, {2, 1}, {-3, 0}, {0, 4}, {100, 0}, {0, -100}}) {
    const std::vector<uint8_t> out =
        warp(6, in, 7, 5, {1, 0, static_cast<double>(dx), 0, 1, static_cast<double>(dy)});
    for (int y = 0; y < 6; ++y) {
      for (int x = 0; x < 6; ++x) {
        for (int c = 0; c < 3; ++c) {
          const int from_x = x + dx, from_y = y + dy;
          const bool inside = from_x >= 0 && from_x < 7 && from_y >= 0 && from_y < 5;
          const int want = inside ? in[static_cast<size_t>((from_y * 7 + from_x) * 3 + c)] : 0;
          CHECK(out[static_cast<size_t>((y * 6 + x) * 3 + c)] == want, dx, ", ", dy, ": ", x, " ",
                y);
        }
      }
    }
  }
}

TEST(warp_turns_by_a_quarter) {
  const int64_t n = 8;
  const std::vector<uint8_t> in = pattern(n, n);
  const std::vector<uint8_t> out = warp(n, in, n, n, {0, 1, 0, -1, 0, static_cast<double>(n)});
  for (int64_t y = 0; y < n; ++y) {
    for (int64_t x = 0; x < n; ++x) {
      const size_t to = static_cast<size_t>((y * n + x) * 3);
      const size_t from = static_cast<size_t>(((n - 1 - x) * n + y) * 3);
      CHECK(out[to] == in[from], x, " ", y);
    }
  }
}

TEST(warp_between_pixels_is_bilinear) {
  const std::vector<uint8_t> in = {0, 10, 20, 100, 50, 200, 40, 80, 0, 255, 255, 255};  // 2 x 2
  const std::vector<uint8_t> out = warp(1, in, 2, 2, {1, 0, 0.25, 0, 1, 0.5});
  const double weights[4] = {0.75 * 0.5, 0.25 * 0.5, 0.75 * 0.5, 0.25 * 0.5};
  for (size_t c = 0; c < 3; ++c) {
    double sum = 0;
    for (size_t i = 0; i < 4; ++i) sum += weights[i] * in[3 * i + c];
    CHECK(std::fabs(out[c] - sum) <= 0.5 + 1e-9, int{out[c]}, " instead of ", sum);
  }
}

// Stripes of one pixel become gray, not the stripes of whatever pixel is hit.
TEST(warp_that_shrinks_does_not_alias) {
  const int64_t n = 96;
  std::vector<uint8_t> in;
  for (int64_t i = 0; i < n * n; ++i) in.insert(in.end(), 3, (i % n) % 2 ? 255 : 0);
  for (const double step : {2.0, 4.0, 6.0}) {
    const int64_t size = n / static_cast<int64_t>(step);
    const std::vector<uint8_t> out = warp(size, in, n, n, {step, 0, 0, 0, step, 0});
    for (int64_t y = 1; y + 1 < size; ++y) {
      for (int64_t x = 1; x + 1 < size; ++x) {
        const int value = out[static_cast<size_t>((y * size + x) * 3)];
        CHECK(std::abs(value - 128) <= 1, "step ", step, ": ", value);
      }
    }
  }
}

TEST(warp_refuses_what_is_no_map) {
  const std::vector<uint8_t> in = pattern(2, 2);
  std::vector<uint8_t> out(12);
  CHECK(error_code([&] { warp_affine(out.data(), 0, in.data(), 2, 2, kIdentity); }) ==
        code::kInvalidArgument);
  CHECK(error_code([&] { warp_affine(out.data(), 2, in.data(), 0, 2, kIdentity); }) ==
        code::kInvalidArgument);
  CHECK(error_code([&] {
          warp_affine(out.data(), 2, in.data(), 2, 2, {NAN, 0, 0, 0, 1, 0});
        }) == code::kInvalidArgument);
  // Enormous but finite: everything is outside the image.
  warp_affine(out.data(), 2, in.data(), 2, 2, {1e300, 0, 0, 0, 1e300, 0});
  for (uint8_t byte : out) CHECK(byte == 0);
}
