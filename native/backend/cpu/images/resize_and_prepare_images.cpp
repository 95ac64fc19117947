#include <memory>

#include "backend/cpu/backend_class.h"
#include "backend/prepared_images.h"
#include "core/resize.h"

namespace countenance::COUNTENANCE_CPU {

void CpuBackend::resize_and_prepare_images(Tensor out, std::span<const uint8_t> pixels,
                                           std::span<const ImageSize> sizes,
                                           std::span<const ImageTransform> transforms,
                                           const Normalization& normalization) {
  const auto count = static_cast<int64_t>(sizes.size());
  ensure_prepares(out, count, transforms);
  const std::vector<size_t> offsets = image_offsets(pixels, sizes);
  const int64_t size = out.shape[1];
  const int64_t image = size * size * kImageChannels;
  const auto resized =
      std::make_unique_for_overwrite<uint8_t[]>(static_cast<size_t>(count * image));
  pool_.parallel_for(count, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const ImageSize& image_size = sizes[static_cast<size_t>(i)];
      resize_bilinear(resized.get() + i * image, size, size,
                      pixels.data() + offsets[static_cast<size_t>(i)], image_size.width,
                      image_size.height, kImageChannels);
    }
  });
  prepare_images(out, {resized.get(), out.shape, DType::U8}, transforms, normalization);
}

}  // namespace countenance::COUNTENANCE_CPU
