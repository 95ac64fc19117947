#pragma once

#include "core/dtype.h"
#include "core/shape.h"

namespace countenance {

// A dense view of memory owned elsewhere (an arena, a typed array). Copying it copies no data. A
// default-constructed tensor is "absent": the way optional arguments are passed.
struct Tensor {
  void* data = nullptr;
  Shape shape;
  DType dtype = DType::F32;

  explicit operator bool() const { return data != nullptr; }
  int64_t elements() const { return shape.elements(); }
  size_t bytes() const { return static_cast<size_t>(elements()) * size_of(dtype); }

  float* f32() const {
    ensure(dtype == DType::F32, "expected a float32 tensor but it is ", name_of(dtype));
    return static_cast<float*>(data);
  }
  uint8_t* u8() const {
    ensure(dtype == DType::U8, "expected a uint8 tensor but it is ", name_of(dtype));
    return static_cast<uint8_t*>(data);
  }
  int32_t* i32() const {
    ensure(dtype == DType::I32, "expected an int32 tensor but it is ", name_of(dtype));
    return static_cast<int32_t*>(data);
  }
};

inline Tensor tensor_of(float* data, Shape shape) { return {data, shape, DType::F32}; }

// What a backward kernel does with the gradient it computes. Every backward call states it
// explicitly: the first consumer (in reverse order) of a value overwrites, the others accumulate,
// and a value that needs no gradient (an image) is ignored and may have no memory.
enum class GradientMode : uint8_t { Ignore, Overwrite, Accumulate };

struct Gradient {
  Tensor tensor;
  GradientMode mode = GradientMode::Ignore;

  bool wanted() const { return mode != GradientMode::Ignore; }
  bool accumulates() const { return mode == GradientMode::Accumulate; }
};

inline Gradient overwrite(Tensor tensor) { return {tensor, GradientMode::Overwrite}; }

}  // namespace countenance
