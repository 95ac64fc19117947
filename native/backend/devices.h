#pragma once

#include <string_view>
#include <vector>

#include "core/dtype.h"

namespace countenance {

// A kind of device and what it can do.
struct DeviceKind {
  std::string_view name;  // value of the option `device`
  std::vector<Precision> precisions;
};

inline const DeviceKind& cpu_device() {
  static const DeviceKind kind{"cpu", {Precision::FP32}};
  return kind;
}

inline const DeviceKind& cuda_device() {
  static const DeviceKind kind{"cuda", {Precision::FP32, Precision::BF16}};
  return kind;
}

inline const std::vector<const DeviceKind*>& device_kinds() {
  static const std::vector<const DeviceKind*> kinds{&cpu_device(), &cuda_device()};
  return kinds;
}

}  // namespace countenance
