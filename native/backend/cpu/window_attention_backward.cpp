#include "backend/cpu/window_attention.h"

// With S = scale Q K^T + terms, P = softmax(S) = e^(S - log_sum_exp), O = P V:
//   dV = P^T dO,  dP = dO V^T,  dS = P (dP - rowsum(P dP)),
//   dQ = scale dS K,  dK = scale dS^T Q,  dbias = sum over windows of dS, gathered by position.
// rowsum(P dP) equals rowsum(dO O); with the whole row at hand it needs no O.

namespace countenance::COUNTENANCE_CPU {

namespace {

// P from the scores, then dS in place of dP.
void score_gradient(float* probabilities, float* gradient, const float* log_sums,
                    const WindowLayout& layout) {
  for (int64_t i = 0; i < layout.tokens; ++i) {
    float* p_row = probabilities + i * layout.padded_tokens;
    float* g_row = gradient + i * layout.padded_tokens;
    const Vec shift = Vec::all(log_sums[i]);
    Vec total = Vec::zero();
    for (int64_t j = 0; j < layout.padded_tokens; j += Vec::kWidth) {
      const Vec p = exp(Vec::load(p_row + j) - shift);
      p.store(p_row + j);
      total = fma(p, Vec::load(g_row + j), total);
    }
    const Vec delta = Vec::all(sum(total));
    for (int64_t j = 0; j < layout.padded_tokens; j += Vec::kWidth) {
      (Vec::load(p_row + j) * (Vec::load(g_row + j) - delta)).store(g_row + j);
    }
  }
}

// out = factor * rows (tokens x padded_depth), to the head's slice of (B, H, W, stride).
void unpack_rows(float* out, int64_t stride, bool accumulates, const float* rows,
                 const WindowLayout& layout, int64_t w, float factor) {
  const Vec scale = Vec::all(factor);
  for (int64_t t = 0; t < layout.tokens; ++t) {
    float* to = out + layout.token(w, t) * stride;
    for_each_vector(0, layout.depth, [&](auto lanes, int64_t d) {
      const Vec v = Vec::load(rows + t * layout.padded_depth + d) * scale;
      lanes.store(to + d, accumulates ? lanes.load(to + d) + v : v);
    });
  }
}

}  // namespace

// One task a slice of windows, all heads: a slice sums dS of a head in scratch, then gathers it.
void CpuBackend::window_attention_backward(Gradient dqkv, Gradient dbias_table, Tensor dy,
                                           Tensor qkv, Tensor, Tensor log_sum_exp,
                                           Tensor bias_table,
                                           const WindowAttentionAttributes& attributes,
                                           Tensor workspace) {
  const WindowLayout layout(qkv.shape, attributes);
  const Slices slices = attention_slices(layout);
  const ScoreTerms terms(layout, workspace.f32());
  terms.fill(layout, bias_table.f32(), pool_);
  float* tables = workspace.f32() + ScoreTerms::elements(layout);
  const float* in = qkv.f32();
  const float* gradient = dy.f32();
  const float* saved = log_sum_exp.f32();
  float* din = dqkv.wanted() ? dqkv.tensor.f32() : nullptr;
  const int64_t rows_elements = layout.tokens * layout.padded_depth;
  const int64_t transposed_elements = layout.depth * layout.padded_tokens;
  const int64_t n = layout.score_elements();
  const int64_t fixed = 4 * rows_elements + 2 * transposed_elements + 2 * n + layout.tokens;
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
    float* sums = log_sums + layout.tokens;
    for (int64_t first = 0; first < layout.heads; first += group) {
      const int64_t last = std::min(layout.heads, first + group);
      std::fill(sums, sums + (last - first) * n, 0.0f);
      for (int64_t w = slices.begin(slice); w < slices.end(slice); ++w) {
        for (int64_t head = first; head < last; ++head) {
          const float* q = in + head * layout.depth;
          pack_rows(queries, q, stride, layout, w, scale);
          pack_rows(keys, q + layout.channels, stride, layout, w, 1.0f);
          pack_transposed(keys_transposed, q + layout.channels, stride, layout, w);
          pack_transposed(values_transposed, q + 2 * layout.channels, stride, layout, w);
          pack_rows(outputs, gradient + head * layout.depth, layout.channels, layout, w, 1.0f);
          for (int64_t t = 0; t < layout.tokens; ++t) {
            const int64_t at = layout.token(w, t);
            log_sums[t] = saved[(at / pixels * layout.heads + head) * pixels + at % pixels];
          }
          multiply(probabilities, layout.padded_tokens, {queries, layout.padded_depth, 1},
                   keys_transposed, layout.padded_tokens, layout.tokens, layout.padded_tokens,
                   layout.depth);
          add_terms(probabilities, terms, layout, head, layout.kind(w));
          multiply(score_gradients, layout.padded_tokens, {outputs, layout.padded_depth, 1},
                   values_transposed, layout.padded_tokens, layout.tokens, layout.padded_tokens,
                   layout.depth);
          score_gradient(probabilities, score_gradients, log_sums, layout);
          float* head_sums = sums + (head - first) * n;
          for (int64_t i = 0; i < n; i += Vec::kWidth) {
            (Vec::load(head_sums + i) + Vec::load(score_gradients + i)).store(head_sums + i);
          }
          if (!din) continue;
          float* dq = din + head * layout.depth;
          const bool accumulates = dqkv.accumulates();
          multiply(results, layout.padded_depth, {score_gradients, layout.padded_tokens, 1}, keys,
                   layout.padded_depth, layout.tokens, layout.padded_depth, layout.tokens);
          unpack_rows(dq, stride, accumulates, results, layout, w, scale);
          // The queries carry the scale already.
          multiply(results, layout.padded_depth, {score_gradients, 1, layout.padded_tokens},
                   queries, layout.padded_depth, layout.tokens, layout.padded_depth,
                   layout.tokens);
          unpack_rows(dq + layout.channels, stride, accumulates, results, layout, w, 1.0f);
          multiply(results, layout.padded_depth, {probabilities, 1, layout.padded_tokens}, outputs,
                   layout.padded_depth, layout.tokens, layout.padded_depth, layout.tokens);
          unpack_rows(dq + 2 * layout.channels, stride, accumulates, results, layout, w, 1.0f);
        }
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

  if (!dbias_table.wanted()) return;
  float* dtable = dbias_table.tensor.f32();
  pool_.parallel_for(layout.heads, 1, [&](int64_t head, int64_t, int) {
    for (int64_t row = 0; row < layout.table_rows; ++row) {
      double total = 0;
      for (int64_t s = 0; s < slices.count; ++s) {
        total += tables[(s * layout.heads + head) * layout.table_rows + row];
      }
      float& place = dtable[row * layout.heads + head];
      place = static_cast<float>(total + (dbias_table.accumulates() ? place : 0));
    }
  });
}

}  // namespace countenance::COUNTENANCE_CPU
