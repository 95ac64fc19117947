#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "backend/attributes.h"

// What the objective's kernels pass to each other, in the workspace.

namespace countenance::cuda {

// As in torch.nn.functional.cosine_similarity, each norm is clamped to at least this. The gradient
// is that of the clamped value: below the limit the norm is a constant.
inline constexpr double kCosineEps = 1e-8;

struct Sample {
  double inverse_e;  // 1 / |f_e|
  double inverse_n;
  double length;   // |f_e - f_n|
  double mass;     // sum of the targets
  double log_sum;  // log sum exp of the logits
  double supervised;
  int32_t label;
  int32_t correct;
};

struct Scratch {
  Scratch(void* memory, int64_t batch, int64_t classes_)
      : samples(static_cast<Sample*>(memory)),
        member_share(reinterpret_cast<double*>(samples + batch)),
        inverse_text(member_share + 1),
        inverse_difference(inverse_text + classes_),
        class_share(inverse_difference + classes_),
        cosines(class_share + classes_),
        classes(classes_) {}
  static size_t bytes(int64_t batch, int64_t classes) {
    const int64_t doubles = 1 + 3 * classes + 3 * batch * classes;
    return static_cast<size_t>(batch) * sizeof(Sample) +
           static_cast<size_t>(doubles) * sizeof(double);
  }

  // Of a sample, for each class: cos(f_e, T_k), cos(f_n, T_k), cos(f_e - f_n, T_k - T_n).
  __device__ double* cosine_e(int64_t b) const { return cosines + 3 * b * classes; }
  __device__ double* cosine_n(int64_t b) const { return cosine_e(b) + classes; }
  __device__ double* cosine_d(int64_t b) const { return cosine_n(b) + classes; }

  Sample* samples;
  double* member_share;        // 1 / |I|, 0 for an empty I
  double* inverse_text;        // (K) 1 / |T_k|
  double* inverse_difference;  // (K) 1 / |T_k - T_n|
  double* class_share;         // (K) of I
  double* cosines;
  int64_t classes;
};

// c_k of a sample in I with this label.
__device__ __forceinline__ double contrast_weight(const ObjectiveAttributes& attributes,
                                                  const Scratch& scratch, int label, int k) {
  if (attributes.contrast == Contrast::Pairwise) return scratch.class_share[k];
  return k == label ? 1.0 : 0.0;
}

// The contribution of L_t and L_c to a sample's gradients; none for a neutral sample.
class Pull {
 public:
  __device__ Pull(const ObjectiveAttributes& attributes, const Scratch& scratch,
                  const Sample& sample, int64_t b)
      : attributes_(attributes),
        scratch_(scratch),
        label_(sample.label),
        is_member_(sample.label != attributes.neutral) {
    if (!is_member_) return;
    const double inverse = 1.0 / fmax(sample.length, kCosineEps);
    const double turn = attributes.weight(kTransformation) * *scratch.member_share;
    along_ = turn * scratch.inverse_difference[label_] * inverse;
    if (sample.length > kCosineEps) {
      apart_ = turn * scratch.cosine_d(b)[label_] * inverse * inverse;
    }
  }

  // Coefficient of hat(T_k): -this in dhat(f_e), this in dhat(f_n).
  __device__ double contrast(int k) const {
    if (!is_member_) return 0.0;
    return attributes_.weight(kContrast) * *scratch_.member_share *
           contrast_weight(attributes_, scratch_, label_, k);
  }
  // Coefficient of T_k: -this in df_e, this in df_n.
  __device__ double along(int k) const {
    if (!is_member_) return 0.0;
    return k == label_ ? along_ : k == attributes_.neutral ? -along_ : 0.0;
  }
  // Coefficient of f_e - f_n: this in df_e, -this in df_n.
  __device__ double apart() const { return apart_; }

 private:
  const ObjectiveAttributes& attributes_;
  const Scratch& scratch_;
  int label_;
  bool is_member_;
  double along_ = 0;
  double apart_ = 0;
};

}  // namespace countenance::cuda
