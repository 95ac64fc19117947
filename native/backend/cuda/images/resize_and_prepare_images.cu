#include <map>
#include <vector>

#include "backend/cuda/backend_class.h"
#include "backend/cuda/device/launch.h"
#include "backend/cuda/device/vector.h"
#include "backend/cuda/images/image_transform.h"

// Each thread computes one pixel of an output: it finds the pixel of the resized image that lands
// there and applies its vertical window, each tap of which is a horizontal window, rounded to 8
// bits as in Pillow's first pass. All sums are of integers, so that the bits are Pillow's.
//
// Nothing is kept between the passes, in device or in shared memory: where an image shrinks,
// windows overlap by half, so that each of its rows is filtered for two output rows and each of its
// pixels is read four times, whatever the sizes, from a cache all but the first time. The image
// arrived over PCI Express, which is many times slower than any of these memories: keeping rows in
// shared memory would save little overall.

namespace countenance::cuda {

namespace {

constexpr int kChannels = kImageChannels;
constexpr int kThreads = 128;
// Images per launch. What the kernel must know about each is passed as a kernel parameter, limited
// to 4 KiB.
constexpr size_t kImagesOfLaunch = 64;
// Image bytes per launch of more than one image: bounds the device's memory.
constexpr size_t kLaunchBytes = size_t{64} << 20;

// The windows of all axes of a launch and their weights, for the device. A window is three numbers:
// its first input coordinate, its number of taps, the offset of their weights in this table.
constexpr int kWindowNumbers = 3;
class WindowTable {
 public:
  explicit WindowTable(int64_t out_size) : out_size_(out_size) {}

  // The offset of the windows for an axis of this size.
  int add(int64_t size) {
    const auto [place, is_new] = offsets_.try_emplace(size, to_int(static_cast<int64_t>(n())));
    if (!is_new) return place->second;
    const ResizeAxis axis = make_resize_axis(out_size_, size);
    const int weights = to_int(static_cast<int64_t>(n() + axis.windows.size() * kWindowNumbers));
    for (const ResizeWindow& window : axis.windows) {
      numbers_.insert(numbers_.end(), {window.first, window.taps, weights + window.weights});
    }
    numbers_.insert(numbers_.end(), axis.weights.begin(), axis.weights.end());
    return place->second;
  }
  const int32_t* data() const { return numbers_.data(); }
  size_t bytes() const { return n() * sizeof(int32_t); }

 private:
  size_t n() const { return numbers_.size(); }

  int64_t out_size_;
  std::map<int64_t, int> offsets_;
  std::vector<int32_t> numbers_;
};

struct SourceImage {
  int64_t offset;  // of its pixels (height, width, 3)
  int row_bytes;
  int columns;  // offset in the table of its columns' windows
  int rows;
  ImageTransform transform;
};

template <class T>
struct ResizeAndPrepareImages {
  T* out;
  const uint8_t* pixels;
  const int32_t* table;
  int size;
  Normalization normalization;
  SourceImage sources[kImagesOfLaunch];

  // The pixel (y, x) of the resized source.
  __device__ __forceinline__ void resize(int (&pixel)[kChannels], const SourceImage& source,
                                         int64_t y, int64_t x) const {
    const int32_t* across = table + source.columns + x * kWindowNumbers;
    const int32_t* down = table + source.rows + y * kWindowNumbers;
    const int taps = across[1];
    const int32_t* weights = table + across[2];
    const uint8_t* row =
        pixels + source.offset + int64_t{down[0]} * source.row_bytes + across[0] * kChannels;
    const int rows = down[1];
    const int32_t* row_weights = table + down[2];
    int32_t sums[kChannels] = {kResizeHalf, kResizeHalf, kResizeHalf};
    for (int i = 0; i < rows; ++i, row += source.row_bytes) {
      int32_t row_sums[kChannels] = {kResizeHalf, kResizeHalf, kResizeHalf};
      for (int k = 0; k < taps; ++k) {
#pragma unroll
        for (int c = 0; c < kChannels; ++c) row_sums[c] += row[k * kChannels + c] * weights[k];
      }
#pragma unroll
      for (int c = 0; c < kChannels; ++c) sums[c] += resize_pixel(row_sums[c]) * row_weights[i];
    }
#pragma unroll
    for (int c = 0; c < kChannels; ++c) pixel[c] = resize_pixel(sums[c]);
  }

  __device__ __forceinline__ void run(int64_t image, int row, int column) const {
    const SourceImage& source = sources[image];
    Floats<kChannels> v = {};
    if (!erased(source.transform, row, column)) {
      int pixel[kChannels] = {};
      const Source from = source_of(source.transform, size, row, column);
      if (from.inside) resize(pixel, source, from.y, from.x);
#pragma unroll
      for (int c = 0; c < kChannels; ++c) v[c] = normalised(pixel[c], normalization, c);
    }
    T* to = out + ((image * size + row) * size + column) * kChannels;
#pragma unroll
    for (int c = 0; c < kChannels; ++c) store(to + c, Floats<1>{v[c]});
  }
};

template <class T>
__global__ void __launch_bounds__(kThreads)
    resize_and_prepare_kernel(const __grid_constant__ ResizeAndPrepareImages<T> op) {
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (i < op.size * op.size) op.run(blockIdx.y, i / op.size, i % op.size);
}

// One past the last image of the launch that begins with `first`.
size_t end_of_launch(const std::vector<size_t>& offsets, size_t first) {
  const size_t most = std::min(first + kImagesOfLaunch, offsets.size() - 1);
  size_t end = first + 1;
  while (end < most && offsets[end + 1] - offsets[first] <= kLaunchBytes) ++end;
  return end;
}

}  // namespace

std::byte* CudaBackend::room_for_images(size_t bytes) {
  constexpr size_t kStep = size_t{8} << 20;  // so that it grows a few times at most
  if (images_.bytes() < bytes) {
    synchronize();  // kernels may still read the old one
    images_ = {};
    images_ = make_device_memory(divide_up(bytes, kStep) * kStep);
  }
  return static_cast<std::byte*>(images_.data());
}

void CudaBackend::resize_and_prepare_images(Tensor out, std::span<const uint8_t> pixels,
                                            std::span<const ImageSize> sizes,
                                            std::span<const ImageTransform> transforms,
                                            const Normalization& normalization) {
  const Queue to = queue();
  ensure(!recording_, "a copy from the host cannot be recorded");
  ensure_prepares(out, static_cast<int64_t>(sizes.size()), transforms);
  const std::vector<size_t> offsets = image_offsets(pixels, sizes);
  const int64_t size = out.shape[1];
  check_image_side("new width", size);
  with_activation(out.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    for (size_t first = 0, end = 0; first < sizes.size(); first = end) {
      end = end_of_launch(offsets, first);
      ResizeAndPrepareImages<T> op{};
      WindowTable table(size);
      for (size_t i = first; i < end; ++i) {
        const auto& [width, height] = sizes[i];
        op.sources[i - first] = {static_cast<int64_t>(offsets[i] - offsets[first]),
                                 to_int(width * kChannels), table.add(width), table.add(height),
                                 transforms[i]};
      }
      const std::span<const uint8_t> given =
          pixels.subspan(offsets[first], offsets[end] - offsets[first]);
      std::byte* const room = room_for_images(table.bytes() + given.size());
      staging_->copy_in(room, table.data(), table.bytes());
      staging_->copy_in(room + table.bytes(), given.data(), given.size());
      op.out = data<T>(out) + static_cast<int64_t>(first) * size * size * kChannels;
      op.table = reinterpret_cast<const int32_t*>(room);
      op.pixels = reinterpret_cast<const uint8_t*>(room + table.bytes());
      op.size = static_cast<int>(size);
      op.normalization = normalization;
      const dim3 grid(static_cast<unsigned>(divide_up<int64_t>(size * size, kThreads)),
                      static_cast<unsigned>(end - first));
      launch("resize_and_prepare_images", to, {grid, dim3(kThreads)}, resize_and_prepare_kernel<T>,
             op);
    }
  });
}

}  // namespace countenance::cuda
