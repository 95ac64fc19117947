#include "backend/cpu/vectors/vector_math.h"

// With I the samples that are not neutral, z = s hat(f_e) hat(T)^T, and for a sample i the weights
//   c_k = (samples of I with class k) / |I|   pairwise (the same for all i)
//   c_k = [k == y_i]                          diagonal
// the objective is
//   L_s = mean_i  -sum_k smoothed(targets_ik) log_softmax(z_i)_k
//   L_t = mean_{i in I}  1 - cos(f_e - f_n, T_y - T_n)
//   L_c = mean_{i in I}  2 + sum_k c_k hat(T_k) . (hat(f_n) - hat(f_e))
// since the mean over all pairs (i, j) of hat(T_{y_i}) . hat(f_j) is that of sum_k c_k hat(T_k) .
// hat(f_j) over j. So a sample's gradient is a combination of f_e, f_n and the rows of T: one pass
// for the products, one for the gradient, O(B K D) for both reductions. Products and coefficients
// are in double.

namespace countenance::COUNTENANCE_CPU {

namespace {

// As in torch.nn.functional.cosine_similarity, each norm is clamped to at least this. The gradient
// is that of the clamped value: below the limit the norm is a constant.
constexpr double kCosineEps = 1e-8;

// Index of the first largest value.
template <class T>
int64_t first_maximum(const T* values, int64_t n) {
  return std::max_element(values, values + n) - values;
}

// Stored for each sample: its shares of the four losses, then K coefficients of T in df_e, K in
// df_n, and K logits.
enum Share : int64_t {
  kSampleSupervised,
  kSampleTransformation,
  kSampleContrast,
  kSampleCorrect,
  kShares
};
constexpr int64_t sample_doubles(int64_t classes) { return kShares + 3 * classes; }

// Per class: 1 / |T_k|, 1 / |T_k - T_n|, the share of the class in I.
constexpr int64_t kClassDoubles = 3;

// (a - b) . (c - d), without the cancellation of four separate products.
double difference_dot(const float* a, const float* b, const float* c, const float* d, int64_t n) {
  constexpr int64_t kStretch = 512;
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += kStretch) {
    Vec s = Vec::zero();
    for_each_vector(begin, std::min(begin + kStretch, n), [&](auto lanes, int64_t i) {
      s = fma(lanes.load(a + i) - lanes.load(b + i), lanes.load(c + i) - lanes.load(d + i), s);
    });
    total += sum(s);
  }
  return total;
}

// out = sum_k coefficients_k T_k + own f + apart (f_e - f_n)
void combine(Gradient out, int64_t row, const double* coefficients, const float* text,
             int64_t classes, int64_t width, double own, const float* f, double apart,
             const float* f_e, const float* f_n) {
  if (!out.wanted()) return;
  float* place = out.tensor.f32() + row * width;
  const Vec own_factor = Vec::all(static_cast<float>(own));
  const Vec apart_factor = Vec::all(static_cast<float>(apart));
  for_each_vector(0, width, [&](auto lanes, int64_t i) {
    Vec v = own_factor * lanes.load(f + i);
    if (apart != 0) v = fma(apart_factor, lanes.load(f_e + i) - lanes.load(f_n + i), v);
    for (int64_t k = 0; k < classes; ++k) {
      if (coefficients[k] == 0) continue;
      v = fma(Vec::all(static_cast<float>(coefficients[k])), lanes.load(text + k * width + i), v);
    }
    lanes.store(place + i, out.accumulates() ? lanes.load(place + i) + v : v);
  });
}

}  // namespace

size_t CpuBackend::objective_workspace(const Shape& expression, const Shape& text) const {
  const int64_t classes = text[0];
  return static_cast<size_t>(kClassDoubles * classes + expression[0] * sample_doubles(classes)) *
         sizeof(double);
}

void CpuBackend::objective(const ObjectiveOperands& t, const ObjectiveAttributes& attributes) {
  const int64_t batch = t.expression.shape[0];
  const int64_t width = t.expression.shape[1];
  const int64_t classes = t.text.shape[0];
  const float* texts = t.text.f32();
  const float* neutral_text = texts + attributes.neutral * width;
  const float* labels = t.targets.f32();
  double* inverse_text = static_cast<double*>(t.workspace.data);
  double* inverse_difference = inverse_text + classes;
  double* class_share = inverse_difference + classes;
  double* samples = class_share + classes;

  for (int64_t k = 0; k < classes; ++k) {
    const float* t = texts + k * width;
    inverse_text[k] = inverse_norm(t, width);
    const double length = std::sqrt(difference_dot(t, neutral_text, t, neutral_text, width));
    inverse_difference[k] = 1.0 / std::max(length, kCosineEps);
    class_share[k] = 0;
  }
  int64_t members = 0;  // |I|
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t label = first_maximum(labels + b * classes, classes);
    if (label == attributes.neutral) continue;
    ++members;
    class_share[label] += 1;
  }
  // Empty I: no sample uses these, L_t = L_c = 0.
  const double member_share = members ? 1.0 / static_cast<double>(members) : 0.0;
  for (int64_t k = 0; k < classes; ++k) class_share[k] *= member_share;
  const double batch_share = 1.0 / static_cast<double>(std::max<int64_t>(batch, 1));

  pool_.parallel_for(batch, 4, [&](int64_t begin, int64_t end, int) {
    for (int64_t b = begin; b < end; ++b) {
      const float* f_e = t.expression.f32() + b * width;
      const float* f_n = t.neutral.f32() + b * width;
      const float* target = labels + b * classes;
      double* sample = samples + b * sample_doubles(classes);
      double* alpha_e = sample + kShares;  // coefficients of T in df_e
      double* alpha_n = alpha_e + classes;
      double* z = alpha_n + classes;
      float* out = t.logits.f32() + b * classes;
      const int64_t label = first_maximum(target, classes);
      const double inverse_e = inverse_norm(f_e, width);

      for (int64_t k = 0; k < classes; ++k) {
        z[k] = attributes.logit_scale * dot(f_e, texts + k * width, width) * inverse_text[k] *
               inverse_e;
        out[k] = static_cast<float>(z[k]);
        alpha_n[k] = 0;
      }
      const double highest = z[first_maximum(z, classes)];
      double exponentials = 0;
      double mass = 0;
      for (int64_t k = 0; k < classes; ++k) {
        exponentials += std::exp(z[k] - highest);
        mass += attributes.smoothed(target[k], classes);
      }
      const double log_sum = highest + std::log(exponentials);
      double supervised = 0;
      double radial_e = 0;  // hat(f_e) . d hat(f_e)
      for (int64_t k = 0; k < classes; ++k) {
        const double goal = attributes.smoothed(target[k], classes);
        if (goal != 0) supervised += goal * (log_sum - z[k]);
        const double dz =
            attributes.weight(kSupervised) * batch_share * (mass * std::exp(z[k] - log_sum) - goal);
        alpha_e[k] = dz * attributes.logit_scale * inverse_text[k] * inverse_e;
        radial_e += dz * z[k];
      }

      double transformation = 0;
      double contrast = 0;
      double radial_n = 0;
      double inverse_n = 0;
      double apart = 0;  // coefficient of f_e - f_n in df_e
      if (label != attributes.neutral) {
        inverse_n = inverse_norm(f_n, width);
        const double pull = attributes.weight(kContrast) * member_share;
        contrast = 2;
        for (int64_t k = 0; k < classes; ++k) {
          const double c = attributes.contrast == Contrast::Pairwise ? class_share[k]
                           : k == label                              ? 1.0
                                                                     : 0.0;
          if (c == 0) continue;
          const double cosine_e = dot(f_e, texts + k * width, width) * inverse_text[k] * inverse_e;
          const double cosine_n = dot(f_n, texts + k * width, width) * inverse_text[k] * inverse_n;
          contrast += c * (cosine_n - cosine_e);
          alpha_e[k] -= pull * c * inverse_text[k] * inverse_e;
          alpha_n[k] += pull * c * inverse_text[k] * inverse_n;
          radial_e -= pull * c * cosine_e;
          radial_n += pull * c * cosine_n;
        }
        const float* label_text = texts + label * width;
        const double length = std::sqrt(difference_dot(f_e, f_n, f_e, f_n, width));
        const double inverse = 1.0 / std::max(length, kCosineEps);
        const double cosine = difference_dot(f_e, f_n, label_text, neutral_text, width) * inverse *
                              inverse_difference[label];
        transformation = 1 - cosine;
        const double turn = attributes.weight(kTransformation) * member_share;
        const double along = turn * inverse_difference[label] * inverse;
        if (length > kCosineEps) apart = turn * cosine * inverse * inverse;
        alpha_e[label] -= along;
        alpha_e[attributes.neutral] += along;
        alpha_n[label] += along;
        alpha_n[attributes.neutral] -= along;
      }
      sample[kSampleSupervised] = supervised;
      sample[kSampleTransformation] = transformation;
      sample[kSampleContrast] = contrast;
      sample[kSampleCorrect] = first_maximum(out, classes) == label ? 1 : 0;
      combine(t.dexpression, b, alpha_e, texts, classes, width, -radial_e * inverse_e * inverse_e,
              f_e, apart, f_e, f_n);
      combine(t.dneutral, b, alpha_n, texts, classes, width, -radial_n * inverse_n * inverse_n, f_n,
              -apart, f_e, f_n);
    }
  });

  double total[kShares] = {};
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t i = 0; i < kShares; ++i) total[i] += samples[b * sample_doubles(classes) + i];
  }
  const double supervised = total[kSampleSupervised] * batch_share;
  const double transformation = total[kSampleTransformation] * member_share;
  const double contrast = total[kSampleContrast] * member_share;
  float* values = t.losses.f32();
  values[kTotal] = static_cast<float>(attributes.weight(kSupervised) * supervised +
                                      attributes.weight(kTransformation) * transformation +
                                      attributes.weight(kContrast) * contrast);
  values[kSupervised] = static_cast<float>(supervised);
  values[kTransformation] = static_cast<float>(transformation);
  values[kContrast] = static_cast<float>(contrast);
  values[kCorrect] = static_cast<float>(total[kSampleCorrect]);
}

}  // namespace countenance::COUNTENANCE_CPU
