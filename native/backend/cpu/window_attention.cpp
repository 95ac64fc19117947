#include "backend/cpu/window_attention.h"

// One task a window and head; queries, keys, values and scores of it stay in the caches of its
// core.

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
               int64_t w, float factor) {
  const Vec scale = Vec::all(factor);
  for (int64_t t = 0; t < layout.tokens; ++t) {
    const float* from = data + layout.token(w, t) * stride;
    float* to = out + t * layout.padded_depth;
    // Whole vectors are stored: the lanes behind the depth are zero.
    for_each_vector(0, layout.depth,
                    [&](auto lanes, int64_t d) { (lanes.load(from + d) * scale).store(to + d); });
  }
}

void pack_transposed(float* out, const float* data, int64_t stride, const WindowLayout& layout,
                     int64_t w) {
  for (int64_t t = 0; t < layout.padded_tokens; ++t) {
    const float* from = t < layout.tokens ? data + layout.token(w, t) * stride : nullptr;
    for (int64_t d = 0; d < layout.depth; ++d) {
      out[d * layout.padded_tokens + t] = from ? from[d] : 0.0f;
    }
  }
}

namespace {

// Rows become e^(s - max); log_sums gets max + log sum, inverses 1 / sum.
void softmax_rows(float* scores, float* log_sums, float* inverses, const WindowLayout& layout) {
  for (int64_t i = 0; i < layout.tokens; ++i) {
    float* row = scores + i * layout.padded_tokens;
    Vec highest = Vec::load(row);
    for (int64_t j = Vec::kWidth; j < layout.padded_tokens; j += Vec::kWidth) {
      highest = max(highest, Vec::load(row + j));
    }
    const float top = max(highest);
    const Vec shift = Vec::all(top);
    Vec total = Vec::zero();
    for (int64_t j = 0; j < layout.padded_tokens; j += Vec::kWidth) {
      const Vec e = exp(Vec::load(row + j) - shift);
      total = total + e;
      e.store(row + j);
    }
    const float all = sum(total);
    log_sums[i] = top + std::log(all);
    inverses[i] = 1.0f / all;
  }
}

}  // namespace

// Floats: the additive terms; in the backward pass also each slice's share of the table.
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
                                   layout.score_elements() + 2 * layout.tokens;
  if (scratch_elements > kScratchFloats) {
    fail(code::kUnsupported, "a window of ", layout.window, " x ", layout.window,
         " tokens with heads of ", layout.depth, " channels is too large");
  }
  const float scale = 1.0f / std::sqrt(static_cast<float>(layout.depth));
  const int64_t pixels = layout.height * layout.width;

  pool_.parallel_for(layout.windows * layout.heads, layout.heads, [&](int64_t begin, int64_t end,
                                                                      int worker) {
    float* queries = scratch(worker);
    float* values = queries + rows_elements;
    float* results = values + rows_elements;
    float* keys = results + rows_elements;
    float* scores = keys + layout.depth * layout.padded_tokens;
    float* log_sums = scores + layout.score_elements();
    float* inverses = log_sums + layout.tokens;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t w = task / layout.heads;
      const int64_t head = task % layout.heads;
      const float* q = in + head * layout.depth;
      pack_rows(queries, q, 3 * layout.channels, layout, w, scale);
      pack_transposed(keys, q + layout.channels, 3 * layout.channels, layout, w);
      pack_rows(values, q + 2 * layout.channels, 3 * layout.channels, layout, w, 1.0f);
      multiply(scores, layout.padded_tokens, {queries, layout.padded_depth, 1}, keys,
               layout.padded_tokens, layout.tokens, layout.padded_tokens, layout.depth);
      add_terms(scores, terms, layout, head, layout.kind(w));
      softmax_rows(scores, log_sums, inverses, layout);
      multiply(results, layout.padded_depth, {scores, layout.padded_tokens, 1}, values,
               layout.padded_depth, layout.tokens, layout.padded_depth, layout.tokens);
      for (int64_t t = 0; t < layout.tokens; ++t) {
        const int64_t at = layout.token(w, t);
        float* to = out + at * layout.channels + head * layout.depth;
        const Vec inverse = Vec::all(inverses[t]);
        for_each_vector(0, layout.depth, [&](auto lanes, int64_t d) {
          lanes.store(to + d, Vec::load(results + t * layout.padded_depth + d) * inverse);
        });
        if (saved) {
          saved[(at / pixels * layout.heads + head) * pixels + at % pixels] = log_sums[t];
        }
      }
    }
  });
}

}  // namespace countenance::COUNTENANCE_CPU
