#pragma once

#include <type_traits>

#include "backend/cuda/attention/window_attention_large.h"
#include "backend/cuda/attention/window_attention_rows.h"
#include "backend/cuda/attention/window_attention_tiles.h"

namespace countenance::cuda {

// Launches the kernel that suits the windows: tensor cores for bfloat16 tiles; one thread per row
// where its scores fit into shared memory; elsewhere `large`, which never holds all scores at once.
template <class T, template <class> class Tensors, class Tiles, class Rows, class Large>
void run_attention(const char* name, const Queue& queue, const Tensors<T>& tensors,
                   const AttentionLayout& layout, const AttentionSlices& slices,
                   const RowsLayout& shape, Tiles tiles, Rows rows, Large large) {
  if constexpr (std::is_same_v<T, Bf16>) {
    if (fits_tiles(layout)) {
      return launch(name, queue, {slices.grid(layout), dim3(kTileThreads)}, tiles, tensors, layout,
                    slices);
    }
  }
  if (!shape.fits()) return large(name, queue, tensors, layout, slices);
  launch(name, queue, {slices.grid(layout), dim3(kRowThreads), shape.bytes}, rows, tensors, layout,
         slices, shape);
}

}  // namespace countenance::cuda
