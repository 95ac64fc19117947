#include "backend/cpu/products/gemm_outer.h"

namespace countenance::COUNTENANCE_CPU {

void add_slices(const Workers& workers, float* out, const float* partial, int64_t n, int64_t slices,
                int64_t stride, bool accumulates) {
  constexpr int64_t kGrain = 1 << 13;
  workers.pool.parallel_for(n, kGrain, [&](int64_t begin, int64_t end, int) {
    int64_t i = begin;
    for (; i + Vec::kWidth <= end; i += Vec::kWidth) {
      Vec sum = Vec::load(partial + i);
      for (int64_t s = 1; s < slices; ++s) sum = sum + Vec::load(partial + s * stride + i);
      if (accumulates) sum = sum + Vec::load(out + i);
      sum.store(out + i);
    }
    for (; i < end; ++i) {
      float sum = partial[i];
      for (int64_t s = 1; s < slices; ++s) sum += partial[s * stride + i];
      out[i] = accumulates ? sum + out[i] : sum;
    }
  });
}

void add_rows(float* sums, const float* b, int64_t b_stride, int64_t rows, int64_t panels,
              bool add) {
  for (int64_t c = 0; c < panels * kPanel; c += kPanel) {
    constexpr int kVecs = static_cast<int>(kPanel) / Vec::kWidth;
    Vec total[kVecs];
    for (Vec& v : total) v = Vec::zero();
    for (int64_t r = 0; r < rows; ++r) {
      for (int v = 0; v < kVecs; ++v) {
        total[v] = total[v] + Vec::load(b + r * b_stride + c + v * Vec::kWidth);
      }
    }
    for (int v = 0; v < kVecs; ++v) {
      float* out = sums + c + v * Vec::kWidth;
      (add ? Vec::load(out) + total[v] : total[v]).store(out);
    }
  }
}

void clear_rows(const Workers& workers, float* y, const ConvRows& rows) {
  workers.pool.parallel_for(rows.blocks(), 1, [&](int64_t begin, int64_t end, int worker) {
    for (int64_t b = begin; b < end; ++b) {
      const ConvRows::Block block(rows, b, workers.scratch_of(worker));
      for (int64_t r = 0; r < block.rows; ++r) {
        std::memset(y + block.offsets[r], 0, static_cast<size_t>(rows.y_channels) * sizeof(float));
      }
    }
  });
}

}  // namespace countenance::COUNTENANCE_CPU
