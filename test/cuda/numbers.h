#pragma once

#include <memory>
#include <vector>

#include "backend/backend.h"

namespace countenance::test {

// Floats in a backend's memory.
struct Numbers {
  Numbers(Backend& backend, std::vector<float> values)
      : block(backend.allocate(values.size() * sizeof(float))),
        tensor(
            tensor_of(static_cast<float*>(block->data()), {static_cast<int64_t>(values.size())})) {
    backend.copy_in(tensor, values.data());
  }

  std::vector<float> get(Backend& backend) const {
    std::vector<float> values(static_cast<size_t>(tensor.elements()));
    backend.copy_out(values.data(), tensor);
    return values;
  }

  std::unique_ptr<DeviceBlock> block;
  Tensor tensor;
};

// first, first + 1, ...
inline std::vector<float> counted(size_t n, float first = 0) {
  std::vector<float> values;
  for (size_t i = 0; i < n; ++i) values.push_back(first + static_cast<float>(i));
  return values;
}

}  // namespace countenance::test
