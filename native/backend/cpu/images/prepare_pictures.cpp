#include <memory>

#include "backend/cpu/backend_class.h"
#include "backend/prepared_images.h"
#include "core/resize.h"

namespace countenance::COUNTENANCE_CPU {

void CpuBackend::prepare_pictures(Tensor out, std::span<const uint8_t> pixels,
                                  std::span<const Picture> pictures,
                                  std::span<const ImageTransform> transforms,
                                  const Normalization& normalization) {
  const auto count = static_cast<int64_t>(pictures.size());
  ensure_prepares(out, count, transforms);
  const std::vector<size_t> places = picture_places(pixels, pictures);
  const int64_t size = out.shape[1];
  const int64_t image = size * size * kImageChannels;
  const auto resized =
      std::make_unique_for_overwrite<uint8_t[]>(static_cast<size_t>(count * image));
  pool_.parallel_for(count, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const Picture& picture = pictures[static_cast<size_t>(i)];
      resize_bilinear(resized.get() + i * image, size, size,
                      pixels.data() + places[static_cast<size_t>(i)], picture.width, picture.height,
                      kImageChannels);
    }
  });
  prepare_images(out, {resized.get(), out.shape, DType::U8}, transforms, normalization);
}

}  // namespace countenance::COUNTENANCE_CPU
