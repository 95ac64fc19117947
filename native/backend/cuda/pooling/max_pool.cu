#include "backend/cuda/backend_class.h"
#include "backend/cuda/frames/pixels.h"

namespace countenance::cuda {

namespace {

// Kernel positions, one byte each.
template <int N>
struct Positions {
  uint8_t v[N];
};
template <int N>
__device__ __forceinline__ Positions<N> load_positions(const uint8_t* p) {
  Positions<N> r;
  if constexpr (N == 8) {
    check_aligned(p, 8);
    const uint2 words = *reinterpret_cast<const uint2*>(p);
#pragma unroll
    for (int k = 0; k < 8; ++k) {
      r.v[k] = static_cast<uint8_t>((k < 4 ? words.x : words.y) >> (8 * (k % 4)));
    }
  } else {
    static_assert(N == 1);
    r.v[0] = *p;
  }
  return r;
}
template <int N>
__device__ __forceinline__ void store_positions(uint8_t* p, const int (&positions)[N]) {
  if constexpr (N == 8) {
    check_aligned(p, 8);
    uint32_t words[2] = {};
#pragma unroll
    for (int k = 0; k < 8; ++k)
      words[k / 4] |= static_cast<uint32_t>(positions[k]) << (8 * (k % 4));
    *reinterpret_cast<uint2*>(p) = make_uint2(words[0], words[1]);
  } else {
    static_assert(N == 1);
    *p = static_cast<uint8_t>(positions[0]);
  }
}

struct Geometry {
  Geometry(const Shape& x, const Shape& y, const MaxPoolAttributes& attributes)
      : height(static_cast<int>(x[1])),
        width(static_cast<int>(x[2])),
        channels(static_cast<int>(x[3])),
        out_height(static_cast<int>(y[1])),
        out_width(static_cast<int>(y[2])),
        kernel(static_cast<int>(attributes.kernel)),
        stride(static_cast<int>(attributes.stride)),
        padding(static_cast<int>(attributes.padding)) {}

  int height, width, channels;
  int out_height, out_width;
  int kernel, stride, padding;
};

// The coordinates of a pixel numbered across images of this size.
struct Place {
  __device__ Place(uint32_t pixel, int height, int width)
      : x(static_cast<int>(pixel % static_cast<uint32_t>(width))),
        y(static_cast<int>(pixel / static_cast<uint32_t>(width) % static_cast<uint32_t>(height))),
        image(pixel / static_cast<uint32_t>(width) / static_cast<uint32_t>(height)) {}
  int x, y;
  int64_t image;
};

// Of the output pixels. x replaces the best when it is greater, or NaN, as in PyTorch: the first
// maximum wins.
template <class T>
struct MaxPoolForward {
  T* y;
  uint8_t* argmax;  // null in evaluation mode
  const T* x;
  Geometry g;

  template <int N>
  __device__ void run(uint32_t pixel, int channel) const {
    const Place out(pixel, g.out_height, g.out_width);
    const int top = out.y * g.stride - g.padding;
    const int left = out.x * g.stride - g.padding;
    const int first_ky = max(0, -top);
    const int first_kx = max(0, -left);
    const int end_ky = min(g.kernel, g.height - top);
    const int end_kx = min(g.kernel, g.width - left);
    Floats<N> best = all<N>(-INFINITY);
    int positions[N];
#pragma unroll
    for (int k = 0; k < N; ++k) positions[k] = first_ky * g.kernel + first_kx;
    for (int ky = first_ky; ky < end_ky; ++ky) {
      const T* row =
          x + ((out.image * g.height + top + ky) * g.width + left) * g.channels + channel;
      for (int kx = first_kx; kx < end_kx; ++kx) {
        const Floats<N> v = load<N>(row + static_cast<int64_t>(kx) * g.channels);
#pragma unroll
        for (int k = 0; k < N; ++k) {
          if (!(v[k] > best[k]) && v[k] == v[k]) continue;
          best[k] = v[k];
          positions[k] = ky * g.kernel + kx;
        }
      }
    }
    const int64_t at = static_cast<int64_t>(pixel) * g.channels + channel;
    store(y + at, best);
    if (argmax) store_positions(argmax + at, positions);
  }
};

// Of the input pixels: each gathers from the outputs that may have chosen it.
template <class T>
struct MaxPoolBackward {
  T* dx;
  bool accumulates;
  const T* dy;
  const uint8_t* argmax;
  Geometry g;

  // The first output whose kernel covers the input index i.
  __device__ int first_output(int i) const {
    const int before = i + g.padding - g.kernel;
    return before < 0 ? 0 : before / g.stride + 1;
  }
  __device__ int end_output(int i, int outputs) const {
    return min(outputs, (i + g.padding) / g.stride + 1);
  }

  template <int N>
  __device__ void run(uint32_t pixel, int channel) const {
    const Place in(pixel, g.height, g.width);
    const int end_y = end_output(in.y, g.out_height);
    const int end_x = end_output(in.x, g.out_width);
    Floats<N> sum = all<N>(0.0f);
    for (int oy = first_output(in.y); oy < end_y; ++oy) {
      const int ky = in.y + g.padding - oy * g.stride;
      for (int ox = first_output(in.x); ox < end_x; ++ox) {
        const int here = ky * g.kernel + in.x + g.padding - ox * g.stride;
        const int64_t at =
            ((in.image * g.out_height + oy) * g.out_width + ox) * g.channels + channel;
        const Positions<N> chosen = load_positions<N>(argmax + at);
        const Floats<N> gradient = load<N>(dy + at);
#pragma unroll
        for (int k = 0; k < N; ++k) sum[k] += chosen.v[k] == here ? gradient[k] : 0.0f;
      }
    }
    store_gradient(dx + static_cast<int64_t>(pixel) * g.channels + channel, sum, accumulates);
  }
};

}  // namespace

void CudaBackend::max_pool_forward(Tensor y, Tensor argmax, Tensor x,
                                   const MaxPoolAttributes& attributes) {
  with_activation(x.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    run_pixels("max_pool_forward", queue(), y.shape,
               MaxPoolForward<T>{data<T>(y), data<uint8_t>(argmax), data<T>(x),
                                 Geometry(x.shape, y.shape, attributes)});
  });
}

void CudaBackend::max_pool_backward(Gradient dx, Tensor dy, Tensor argmax,
                                    const MaxPoolAttributes& attributes) {
  if (!dx.wanted()) return;
  const Shape& shape = dx.tensor.shape;
  with_activation(dy.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    run_pixels("max_pool_backward", queue(), shape,
               MaxPoolBackward<T>{data<T>(dx), dx.accumulates(), data<T>(dy), data<uint8_t>(argmax),
                                  Geometry(shape, dy.shape, attributes)});
  });
}

}  // namespace countenance::cuda
