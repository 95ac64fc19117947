#include "models/encoders.h"

#include <array>

namespace countenance {

std::span<const Encoder* const> encoders() {
  static const std::array table = {&resnet18(), &resnet34(), &resnet50(), &swin_t(), &swin_s()};
  return table;
}

const Encoder& find_encoder(std::string_view name) {
  return find_named(encoders(), name, "backbone");
}

}  // namespace countenance
