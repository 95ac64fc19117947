#include "backend/cpu/attention/window_attention.h"

// With S = scale Q K^T + terms, P = softmax(S) = e^(S - log_sum_exp), O = P V:
//   dV = P^T dO,  dP = dO V^T,  dS = P (dP - rowsum(P dP)),
//   dQ = scale dS K,  dK = scale dS^T Q,  dbias = sum over windows of dS, gathered by position.
// rowsum(P dP) equals rowsum(dO O); with the whole row available, O is not needed.

namespace countenance::COUNTENANCE_CPU {

namespace {

// Replaces the scores with P and dP with dS; also adds dS to `sums`.
void score_gradient(float* probabilities, float* gradient, float* sums, const float* log_sums,
                    const RowTerms& terms, const WindowLayout& layout) {
  const int64_t width = layout.padded_tokens;
  for (int64_t i = 0; i < layout.tokens; ++i) {
    float* p_row = probabilities + i * width;
    float* g_row = gradient + i * width;
    float* sum_row = sums + i * width;
    const Vec shift = Vec::all(log_sums[i]);
    Vec total = Vec::zero();
    for (int64_t j = 0; j < width; j += Vec::kWidth) {
      const Vec p = exp(terms.add(Vec::load(p_row + j), i * width + j) - shift);
      p.store(p_row + j);
      total = fma(p, Vec::load(g_row + j), total);
    }
    const Vec delta = Vec::all(sum(total));
    for (int64_t j = 0; j < width; j += Vec::kWidth) {
      const Vec g = Vec::load(p_row + j) * (Vec::load(g_row + j) - delta);
      g.store(g_row + j);
      (Vec::load(sum_row + j) + g).store(sum_row + j);
    }
  }
}

// out = factor * rows (tokens x padded_depth), to the head's slice of (B, H, W, stride).
void unpack_rows(float* out, int64_t stride, bool accumulates, const float* rows,
                 const WindowLayout& layout, const int64_t* offsets, float factor) {
  const Vec scale = Vec::all(factor);
  for (int64_t t = 0; t < layout.tokens; ++t) {
    float* to = out + offsets[t] * stride;
    for_each_vector(0, layout.depth, [&](auto lanes, int64_t d) {
      const Vec v = Vec::load(rows + t * layout.padded_depth + d) * scale;
      lanes.store(to + d, accumulates ? lanes.load(to + d) + v : v);
    });
  }
}

}  // namespace

// One task per slice of windows, all heads: it sums a head's dS in scratch, then gathers it.
void CpuBackend::window_attention_backward(const WindowAttentionBackward& t,
                                           const WindowAttentionAttributes& attributes) {
  const WindowLayout layout(t.qkv.shape, attributes);
  const Slices slices = attention_slices(layout);
  const ScoreTerms terms(layout, t.workspace.f32());
  terms.fill(layout, t.bias_table.f32(), pool_);
  float* tables = t.workspace.f32() + ScoreTerms::elements(layout);
  const float* in = t.qkv.f32();
  const float* gradient = t.dy.f32();
  const float* saved = t.log_sum_exp.f32();
  float* din = t.dqkv.wanted() ? t.dqkv.tensor.f32() : nullptr;
  const int64_t rows_elements = layout.tokens * layout.padded_depth;
  const int64_t transposed_elements = layout.depth * layout.padded_tokens;
  const int64_t n = layout.score_elements();
  const int64_t fixed = 4 * rows_elements + 2 * transposed_elements + 2 * n + 6 * layout.tokens;
  // Heads whose sums of dS fit in the scratch together.
  const int64_t group = std::min(layout.heads, (kScratchFloats - fixed) / n);
  if (group < 1) {
    fail(code::kUnsupported, "a window of ", layout.window, " x ", layout.window,
         " tokens with heads of ", layout.depth, " channels is too large");
  }
  const float scale = 1.0f / std::sqrt(static_cast<float>(layout.depth));
  const int64_t stride = 3 * layout.channels;
  const int64_t pixels = layout.height * layout.width;

  pool_.parallel_for(slices.count, 1, [&](int64_t slice, int64_t, int worker) {
    float* queries = scratch(worker);
    float* keys = queries + rows_elements;
    float* outputs = keys + rows_elements;  // dO
    float* results = outputs + rows_elements;
    float* keys_transposed = results + rows_elements;
    float* values_transposed = keys_transposed + transposed_elements;
    float* probabilities = values_transposed + transposed_elements;
    float* score_gradients = probabilities + n;
    float* log_sums = score_gradients + n;
    int64_t* offsets = reinterpret_cast<int64_t*>(log_sums + layout.tokens + layout.tokens % 2);
    int64_t* next_offsets = offsets + layout.tokens;
    float* sums = reinterpret_cast<float*>(next_offsets + layout.tokens);
    for (int64_t first = 0; first < layout.heads; first += group) {
      const int64_t last = std::min(layout.heads, first + group);
      std::fill(sums, sums + (last - first) * n, 0.0f);
      layout.find_tokens(offsets, slices.begin(slice));
      for (int64_t w = slices.begin(slice); w < slices.end(slice); ++w) {
        const int64_t image = w / (layout.rows * layout.columns);
        for (int64_t head = first; head < last; ++head) {
          const float* q = in + head * layout.depth;
          pack_rows(queries, q, stride, layout, offsets, scale);
          pack_rows(keys, q + layout.channels, stride, layout, offsets, 1.0f);
          pack_transposed(keys_transposed, q + layout.channels, stride, layout, offsets);
          pack_transposed(values_transposed, q + 2 * layout.channels, stride, layout, offsets);
          pack_rows(outputs, gradient + head * layout.depth, layout.channels, layout, offsets,
                    1.0f);
          for (int64_t t = 0; t < layout.tokens; ++t) {
            // (B, H, W) to (B, heads, H, W)
            log_sums[t] = saved[offsets[t] + (image * (layout.heads - 1) + head) * pixels];
          }
          const bool last_head = head + 1 == last;
          if (last_head) layout.find_tokens(next_offsets, std::min(w + 1, layout.windows - 1));
          const int64_t* ahead = last_head ? next_offsets : offsets;
          const int64_t next = (last_head ? first : head + 1) * layout.depth;
          for (int64_t part = 0; part < 3; ++part) {
            prefetch_rows(in + next + part * layout.channels, stride, layout, ahead);
          }
          prefetch_rows(gradient + next, layout.channels, layout, ahead);
          multiply(probabilities, layout.padded_tokens, {queries, layout.padded_depth, 1},
                   keys_transposed, layout.padded_tokens, layout.tokens, layout.padded_tokens,
                   layout.depth);
          multiply(score_gradients, layout.padded_tokens, {outputs, layout.padded_depth, 1},
                   values_transposed, layout.padded_tokens, layout.tokens, layout.padded_tokens,
                   layout.depth);
          score_gradient(probabilities, score_gradients, sums + (head - first) * n, log_sums,
                         {terms, layout, head, layout.kind(w)}, layout);
          if (!din) continue;
          float* dq = din + head * layout.depth;
          const bool accumulates = t.dqkv.accumulates();
          multiply(results, layout.padded_depth, {score_gradients, layout.padded_tokens, 1}, keys,
                   layout.padded_depth, layout.tokens, layout.padded_depth, layout.tokens);
          unpack_rows(dq, stride, accumulates, results, layout, offsets, scale);
          // The queries already include the scale.
          multiply(results, layout.padded_depth, {score_gradients, 1, layout.padded_tokens},
                   queries, layout.padded_depth, layout.tokens, layout.padded_depth, layout.tokens);
          unpack_rows(dq + layout.channels, stride, accumulates, results, layout, offsets, 1.0f);
          multiply(results, layout.padded_depth, {probabilities, 1, layout.padded_tokens}, outputs,
                   layout.padded_depth, layout.tokens, layout.padded_depth, layout.tokens);
          unpack_rows(dq + 2 * layout.channels, stride, accumulates, results, layout, offsets,
                      1.0f);
        }
        std::swap(offsets, next_offsets);
      }
      for (int64_t head = first; head < last; ++head) {
        float* table = tables + (slice * layout.heads + head) * layout.table_rows;
        const float* head_sums = sums + (head - first) * n;
        std::fill(table, table + layout.table_rows, 0.0f);
        for (int64_t i = 0; i < layout.tokens; ++i) {
          for (int64_t j = 0; j < layout.tokens; ++j) {
            table[layout.relative_position(i, j)] += head_sums[i * layout.padded_tokens + j];
          }
        }
      }
    }
  });

  if (!t.dbias_table.wanted()) return;
  float* dtable = t.dbias_table.tensor.f32();
  pool_.parallel_for(layout.heads, 1, [&](int64_t head, int64_t, int) {
    for (int64_t row = 0; row < layout.table_rows; ++row) {
      double total = 0;
      for (int64_t s = 0; s < slices.count; ++s) {
        total += tables[(s * layout.heads + head) * layout.table_rows + row];
      }
      float& place = dtable[row * layout.heads + head];
      place = static_cast<float>(total + (t.dbias_table.accumulates() ? place : 0));
    }
  });
}

}  // namespace countenance::COUNTENANCE_CPU
