#include "backend/cuda/backend_class.h"
#include "backend/cuda/products/gemm_conv2d.h"

namespace countenance::cuda {

namespace {

// One direction of dx. Its offsets are iy = oy stride - padding + ky for the offsets oy of dy and
// the taps ky. Those of one phase, iy = stride u + phase, meet only the taps ky = first_tap +
// stride t, all of them in a convolution with stride 1: oy = u + offset - t.
struct PhaseAxis {
  int size;  // of dx
  int y_size;
  int kernel, stride, padding;
  // The grid size and the number of taps of a phase: the larger value, and one less.
  Divisor grids[2];
  Divisor taps[2];

  PhaseAxis(int64_t x, int64_t y, int64_t kernel_size, const Conv2dAttributes& conv)
      : size(to_int(x)),
        y_size(to_int(y)),
        kernel(to_int(kernel_size)),
        stride(to_int(conv.stride)),
        padding(to_int(conv.padding)) {
    for (int less : {0, 1}) {
      grids[less] = Divisor(std::max(divide_up(size, stride) - less, 1));
      taps[less] = Divisor(std::max(divide_up(kernel, stride) - less, 1));
    }
  }

  struct Phase {
    ConvAxis axis;
    int grid, taps;  // 0: none
    int first_tap;
  };
  __device__ __forceinline__ Phase phase(int i) const {
    const int first_tap = (i + padding) % stride;
    const int grid = (size - i + stride - 1) / stride;
    const int count = (kernel - first_tap + stride - 1) / stride;
    const Divisor by_grid = grid == static_cast<int>(grids[0].value) ? grids[0] : grids[1];
    const Divisor by_taps = count == static_cast<int>(taps[0].value) ? taps[0] : taps[1];
    return {{y_size, 1, (i + padding) / stride, -1, by_grid, by_taps}, grid, count, first_tap};
  }
};

// dx (pixels of a phase, in) = dy (pixels, taps x out) weight (taps x out, in).
template <class T, bool Whole>
struct DataProduct {
  using A = ConvRows<T, Whole>;
  using B = TapRows<T, Whole>;
  static constexpr Major kMajorA = Major::Depth;
  static constexpr Major kMajorB = Major::Width;

  A a;
  B b;
  int rows, columns, depth;
  PhaseAxis y, x;
  int batch;
  int phase_y, phase_x;

  __device__ __forceinline__ void enter(int phase) {
    phase_y = phase / y.stride;
    phase_x = phase % y.stride;
    const PhaseAxis::Phase down = y.phase(phase_y);
    const PhaseAxis::Phase across = x.phase(phase_x);
    rows = batch * down.grid * across.grid;
    depth = down.taps * across.taps * static_cast<int>(a.channels.value);
    a.y = down.axis;
    a.x = across.axis;
    a.rows = rows;
    a.columns = depth;
    b.first_y = down.first_tap;
    b.first_x = across.first_tap;
    b.taps_x = across.axis.taps;
    b.rows = depth;
  }

  __device__ __forceinline__ int64_t place(int row) const {
    if (y.stride == 1) return row;
    const Division by_width(row, a.x.grid);
    const Division by_height(by_width.quotient, a.y.grid);
    const int64_t line =
        static_cast<int64_t>(by_height.quotient) * y.size + by_height.rest * y.stride + phase_y;
    return line * x.size + by_width.rest * x.stride + phase_x;
  }
};

template <class T, bool Whole>
DataProduct<T, Whole> data_product(const ConvSizes& sizes, const T* dy, const T* weights) {
  const PhaseAxis y(sizes.height, sizes.y_height, sizes.packed.height, sizes.conv);
  const PhaseAxis x(sizes.width, sizes.y_width, sizes.packed.width, sizes.conv);
  // What enter() does not set.
  ConvRows<T, Whole> a{};
  a.images = dy;
  a.channels = Divisor(sizes.out);
  TapRows<T, Whole> b{};
  b.packed = weights;
  b.pitch = sizes.packed.pitch;
  b.out = Divisor(sizes.out);
  b.in = to_int(sizes.in);
  b.kernel_width = to_int(sizes.packed.width);
  b.stride = to_int(sizes.conv.stride);
  // The rows of phase (0, 0), which has the most; all depths are at most the kernel's.
  const int64_t rows = sizes.batch * y.grids[0].value * x.grids[0].value;
  return {a, b, to_int(rows), to_int(sizes.in), 0, y, x, to_int(sizes.batch), 0, 0};
}

}  // namespace

void CudaBackend::conv2d_backward_data(Gradient dx, Tensor dy, Tensor weight,
                                       const Conv2dAttributes& attributes, Tensor workspace) {
  if (!dx.wanted()) return;
  const ConvSizes sizes(dx.tensor.shape, weight.shape, attributes);
  if (sizes.is_linear()) return linear_backward_data(dx, dy, weight, workspace);
  const GemmSize size = sizes.data(dy.dtype);
  const GemmPlan plan = plan_gemm(dy.dtype, size, gemm_machine());
  const int phases = to_int(attributes.stride * attributes.stride);
  with_activation(dy.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    const T* weights = weights_as<T>(weight);
    const auto target = target_of<T>(dx, size.rows, size.columns, workspace, plan.slices);
    with_whole(size.whole, [&](auto whole) {
      run_gemm("conv2d_backward_data", queue(), plan, phases,
               data_product<T, whole>(sizes, data<T>(dy), weights), target);
    });
  });
}

}  // namespace countenance::cuda
