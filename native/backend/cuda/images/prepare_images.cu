#include "backend/cuda/backend_class.h"
#include "backend/cuda/frames/elementwise.h"
#include "backend/cuda/images/image_transform.h"

namespace countenance::cuda {

namespace {

constexpr int kChannels = kImageChannels;
// Images per launch. Their transforms are passed as a kernel parameter, limited to 4 KiB.
constexpr int kImages = 64;

struct Transforms {
  ImageTransform image[kImages];
};

template <class T>
struct PrepareImages {
  T* out;
  const uint8_t* images;
  int size;
  Transforms transforms;
  Normalization normalization;

  __device__ __forceinline__ float value(const ImageTransform& t, const uint8_t* image, int row,
                                         int column, int channel) const {
    if (erased(t, row, column)) return 0.0f;
    const Source from = source_of(t, size, row, column);
    const int pixel = from.inside ? image[(from.y * size + from.x) * kChannels + channel] : 0;
    return normalised(pixel, normalization, channel);
  }

  template <int N>
  __device__ void run(int64_t i) const {
    const int in_rows = size * kChannels;
    const int numbers = size * in_rows;  // of one image
    int image = static_cast<int>(i) / numbers;
    const int in_image = static_cast<int>(i) % numbers;
    int row = in_image / in_rows;
    const int in_row = in_image % in_rows;
    int column = in_row / kChannels;
    int channel = in_row % kChannels;
    Floats<N> v;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      v[k] =
          value(transforms.image[image], images + int64_t{image} * numbers, row, column, channel);
      if (++channel == kChannels) {
        channel = 0;
        if (++column == size) {
          column = 0;
          if (++row == size) {
            row = 0;
            ++image;
          }
        }
      }
    }
    store(out + i, v);
  }
};

}  // namespace

void CudaBackend::prepare_images(Tensor out, Tensor images,
                                 std::span<const ImageTransform> transforms,
                                 const Normalization& normalization) {
  const int64_t batch = images.shape[0];
  const int64_t size = images.shape[1];
  ensure(images.shape == Shape({batch, size, size, kChannels}), "images of shape ", images.shape);
  ensure_prepares(out, batch, transforms);
  const int64_t numbers = size * size * kChannels;
  ensure(kImages * numbers <= INT32_MAX, "images of ", size, " pixels a side are too large");
  with_activation(out.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    for (int64_t first = 0; first < batch; first += kImages) {
      const int64_t count = std::min<int64_t>(kImages, batch - first);
      PrepareImages<T> op{data<T>(out) + first * numbers,
                          data<uint8_t>(images) + first * numbers,
                          static_cast<int>(size),
                          {},
                          normalization};
      std::copy_n(transforms.begin() + first, count, op.transforms.image);
      run_elementwise("prepare_images", queue(), count * numbers, op);
    }
  });
}

}  // namespace countenance::cuda
