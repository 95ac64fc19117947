#include "backend/cpu/attention/window_attention.h"

// One task per window and head; its queries, keys, values and scores stay in its core's caches.

namespace countenance::COUNTENANCE_CPU {

void ScoreTerms::fill(const WindowLayout& layout, const float* table, ThreadPool& pool) const {
  const int64_t n = layout.score_elements();
  const int64_t matrices = layout.heads + (layout.shift ? 4 : 0);
  pool.parallel_for(matrices, 1, [&](int64_t m, int64_t, int) {
    const bool is_bias = m < layout.heads;
    float* out = bias + m * n;
    for (int64_t i = 0; i < layout.tokens; ++i) {
      float* row = out + i * layout.padded_tokens;
      for (int64_t j = 0; j < layout.padded_tokens; ++j) {
        if (j >= layout.tokens) {
          row[j] = is_bias ? kNoKey : 0.0f;
        } else if (is_bias) {
          row[j] = table[layout.relative_position(i, j) * layout.heads + m];
        } else {
          const int64_t kind = m - layout.heads;
          row[j] = layout.part(kind, i) == layout.part(kind, j) ? 0.0f : kMasked;
        }
      }
    }
  });
}

void pack_rows(float* out, const float* data, int64_t stride, const WindowLayout& layout,
               const int64_t* offsets, float factor) {
  const Vec scale = Vec::all(factor);
  for (int64_t t = 0; t < layout.tokens; ++t) {
    const float* from = data + offsets[t] * stride;
    float* to = out + t * layout.padded_depth;
    // Whole vectors are stored: the lanes after the depth are zero.
    for_each_vector(0, layout.depth,
                    [&](auto lanes, int64_t d) { (lanes.load(from + d) * scale).store(to + d); });
  }
}

void pack_transposed(float* out, const float* data, int64_t stride, const WindowLayout& layout,
                     const int64_t* offsets) {
  for (int64_t t = 0; t < layout.padded_tokens; t += Vec::kWidth) {
    const int64_t rows = std::min<int64_t>(Vec::kWidth, layout.tokens - t);
    for_each_vector(0, layout.depth, [&](auto lanes, int64_t d) {
      Vec block[Vec::kWidth];
      if (rows == Vec::kWidth) {
        for (int r = 0; r < Vec::kWidth; ++r) {
          block[r] = lanes.load(data + offsets[t + r] * stride + d);
        }
      } else {
        for (int r = 0; r < Vec::kWidth; ++r) block[r] = Vec::zero();
        for (int r = 0; r < rows; ++r) block[r] = lanes.load(data + offsets[t + r] * stride + d);
      }
      transpose(block);
      for (int64_t l = 0; l < lanes.lanes(); ++l) {
        block[l].store(out + (d + l) * layout.padded_tokens + t);
      }
    });
  }
}

namespace {

// Adds the terms to the scores and replaces them with e^(s - max); tops receives the maxima, sums
// the sums.
void softmax_rows(float* scores, float* tops, float* sums, const RowTerms& terms,
                  const WindowLayout& layout) {
  const int64_t width = layout.padded_tokens;
  for (int64_t i = 0; i < layout.tokens; ++i) {
    float* row = scores + i * width;
    Vec highest = Vec::all(kNoKey);
    for (int64_t j = 0; j < width; j += Vec::kWidth) {
      const Vec s = terms.add(Vec::load(row + j), i * width + j);
      s.store(row + j);
      highest = max(highest, s);
    }
    const float top = max(highest);
    const Vec shift = Vec::all(top);
    Vec total = Vec::zero();
    for (int64_t j = 0; j < width; j += Vec::kWidth) {
      const Vec e = exp(Vec::load(row + j) - shift);
      total = total + e;
      e.store(row + j);
    }
    tops[i] = top;
    sums[i] = sum(total);
  }
}

}  // namespace

// In floats: the additive terms and, in the backward pass, each slice's share of the table.
size_t CpuBackend::window_attention_workspace(const Shape& qkv,
                                              const WindowAttentionAttributes& attributes) const {
  const WindowLayout layout(qkv, attributes);
  const Slices slices = attention_slices(layout);
  return static_cast<size_t>(ScoreTerms::elements(layout) +
                             slices.count * layout.heads * layout.table_rows) *
         sizeof(float);
}

void CpuBackend::window_attention_forward(Tensor y, Tensor log_sum_exp, Tensor qkv,
                                          Tensor bias_table,
                                          const WindowAttentionAttributes& attributes,
                                          Tensor workspace) {
  const WindowLayout layout(qkv.shape, attributes);
  const ScoreTerms terms(layout, workspace.f32());
  terms.fill(layout, bias_table.f32(), pool_);
  const float* in = qkv.f32();
  float* out = y.f32();
  float* saved = log_sum_exp ? log_sum_exp.f32() : nullptr;
  const int64_t rows_elements = layout.tokens * layout.padded_depth;
  const int64_t scratch_elements = 3 * rows_elements + layout.depth * layout.padded_tokens +
                                   layout.score_elements() + 2 * layout.padded_tokens +
                                   4 * layout.tokens;
  if (scratch_elements > kScratchFloats) {
    fail(code::kUnsupported, "a window of ", layout.window, " x ", layout.window,
         " tokens with heads of ", layout.depth, " channels is too large");
  }
  const float scale = 1.0f / std::sqrt(static_cast<float>(layout.depth));
  const int64_t stride = 3 * layout.channels;
  const int64_t pixels = layout.height * layout.width;

  // Consecutive tasks share a window and know what comes next; enough pieces for many threads.
  const int64_t tasks = layout.windows * layout.heads;
  const int64_t grain = std::clamp<int64_t>(tasks / 64, 1, 8 * layout.heads);
  pool_.parallel_for(tasks, grain, [&](int64_t begin, int64_t end, int worker) {
    float* queries = scratch(worker);
    float* values = queries + rows_elements;
    float* results = values + rows_elements;
    float* keys = results + rows_elements;
    float* scores = keys + layout.depth * layout.padded_tokens;
    float* tops = scores + layout.score_elements();
    float* sums = tops + layout.padded_tokens;
    int64_t* offsets = reinterpret_cast<int64_t*>(sums + layout.padded_tokens);
    int64_t* next_offsets = offsets + layout.tokens;
    layout.find_tokens(offsets, begin / layout.heads);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t w = task / layout.heads;
      const int64_t head = task % layout.heads;
      const int64_t image = w / (layout.rows * layout.columns);
      const float* q = in + head * layout.depth;
      pack_rows(queries, q, stride, layout, offsets, scale);
      pack_transposed(keys, q + layout.channels, stride, layout, offsets);
      pack_rows(values, q + 2 * layout.channels, stride, layout, offsets, 1.0f);
      const bool last_head = head + 1 == layout.heads;
      if (last_head) layout.find_tokens(next_offsets, std::min(w + 1, layout.windows - 1));
      const float* next = in + (last_head ? 0 : head + 1) * layout.depth;
      for (int64_t part = 0; part < 3; ++part) {
        prefetch_rows(next + part * layout.channels, stride, layout,
                      last_head ? next_offsets : offsets);
      }
      multiply(scores, layout.padded_tokens, {queries, layout.padded_depth, 1}, keys,
               layout.padded_tokens, layout.tokens, layout.padded_tokens, layout.depth);
      softmax_rows(scores, tops, sums, {terms, layout, head, layout.kind(w)}, layout);
      multiply(results, layout.padded_depth, {scores, layout.padded_tokens, 1}, values,
               layout.padded_depth, layout.tokens, layout.padded_depth, layout.tokens);
      for (int64_t t = 0; t < layout.tokens; ++t) {
        float* to = out + offsets[t] * layout.channels + head * layout.depth;
        const Vec inverse = Vec::all(1.0f / sums[t]);
        for_each_vector(0, layout.depth, [&](auto lanes, int64_t d) {
          lanes.store(to + d, Vec::load(results + t * layout.padded_depth + d) * inverse);
        });
      }
      if (saved) {
        for_each_vector(0, layout.tokens, [&](auto lanes, int64_t t) {
          lanes.store(tops + t, lanes.load(tops + t) + log(lanes.load(sums + t)));
        });
        // (B, H, W) to (B, heads, H, W)
        float* to = saved + (image * (layout.heads - 1) + head) * pixels;
        for (int64_t t = 0; t < layout.tokens; ++t) to[offsets[t]] = tops[t];
      }
      if (last_head) std::swap(offsets, next_offsets);
    }
  });
}

}  // namespace countenance::COUNTENANCE_CPU
