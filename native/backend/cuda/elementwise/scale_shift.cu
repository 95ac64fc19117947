#include "backend/cuda/backend_class.h"
#include "backend/cuda/frames/channels.h"

namespace countenance::cuda {

namespace {

template <class T>
struct ScaleShift {
  T* y;
  const T* x;
  const float* scale;
  const float* shift;
  const T* residual;
  bool has_relu;

  template <int N>
  struct Constants {
    Floats<N> scale;
    Floats<N> shift;
  };

  template <int N>
  __device__ Constants<N> constants(int channel) const {
    return {scale ? load<N>(scale + channel) : all<N>(1.0f),
            shift ? load<N>(shift + channel) : all<N>(0.0f)};
  }

  template <int N>
  __device__ void run(int64_t i, const Constants<N>& constants) const {
    Floats<N> v = load<N>(x + i);
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] = fmaf(v[k], constants.scale[k], constants.shift[k]);
    if (residual) {
      const Floats<N> added = load<N>(residual + i);
#pragma unroll
      for (int k = 0; k < N; ++k) v[k] += added[k];
    }
    if (has_relu) {
#pragma unroll
      for (int k = 0; k < N; ++k) v[k] = relu(v[k]);
    }
    store(y + i, v);
  }
};

}  // namespace

void CudaBackend::scale_shift_forward(Tensor y, Tensor x, const Epilogue& epilogue) {
  with_activation(x.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    run_channels("scale_shift_forward", queue(), x.shape.rows(), x.shape.channels(),
                 ScaleShift<T>{data<T>(y), data<T>(x), data<float>(epilogue.scale),
                               data<float>(epilogue.shift), data<T>(epilogue.residual),
                               epilogue.activation == Activation::Relu});
  });
}

}  // namespace countenance::cuda
