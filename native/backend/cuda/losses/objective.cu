#include "backend/cuda/losses/objective.h"

#include "backend/cuda/backend_class.h"
#include "backend/cuda/frames/elementwise.h"
#include "backend/cuda/frames/reduce.h"

// The formulas are in the CPU's kernel (backend/cpu/losses/objective.cpp). Three launches:
// the products, logits and losses of each sample, one block per sample; what the samples share, in
// one block; the gradients, one block per sample, which are combinations of f_e, f_n and the rows
// of T. A lane sums its products in float, everything after that is in double.

namespace countenance::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
const char* const kName = "objective";

__device__ __forceinline__ int warp_index() { return static_cast<int>(threadIdx.x) / kWarp; }
__device__ __forceinline__ int lane_index() { return static_cast<int>(threadIdx.x) % kWarp; }

// A vector shorter than 1e-12 has no direction: hat(v) = 0 there instead of NaN.
__device__ __forceinline__ double inverse_norm(double square) {
  const double norm = sqrt(square);
  return norm < 1e-12 ? 0.0 : 1.0 / norm;
}

// Every lane gets the index of the first largest of n numbers, as std::max_element finds it.
template <class T>
__device__ __forceinline__ int first_maximum(const T* values, int n) {
  T best = values[0];
  int index = 0;
  for (int k = lane_index(); k < n; k += kWarp) {
    if (values[k] > best) {
      best = values[k];
      index = k;
    }
  }
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    const T other = __shfl_xor_sync(kAllLanes, best, offset);
    const int other_index = __shfl_xor_sync(kAllLanes, index, offset);
    if (other > best || (other == best && other_index < index)) {
      best = other;
      index = other_index;
    }
  }
  return index;
}

// ---- Samples ----

template <class T>
struct Inputs {
  const T* expression;
  const T* neutral;
  const float* targets;
  const float* text;
  int batch;
  int classes;
  int width;
};

// Products of a sample's features with a class text, summed over the warp.
struct Products {
  double expression;  // f_e . T_k
  double neutral;     // f_n . T_k
  double text;        // T_k . T_k
  double difference;  // |T_k - T_n|^2
  double along;       // (f_e - f_n) . (T_k - T_n)
};

template <class T>
__device__ __forceinline__ Products products(const T* e, const T* n, const float* text,
                                             const float* neutral_text, int width) {
  float sums[5] = {};
#pragma unroll 2
  for (int i = lane_index(); i < width; i += kWarp) {
    const float expression = load<1>(e + i)[0];
    const float neutral = load<1>(n + i)[0];
    const float t = text[i];
    const float d = t - neutral_text[i];
    sums[0] = fmaf(expression, t, sums[0]);
    sums[1] = fmaf(neutral, t, sums[1]);
    sums[2] = fmaf(t, t, sums[2]);
    sums[3] = fmaf(d, d, sums[3]);
    sums[4] = fmaf(expression - neutral, d, sums[4]);
  }
  return {warp_sum<double>(sums[0]), warp_sum<double>(sums[1]), warp_sum<double>(sums[2]),
          warp_sum<double>(sums[3]), warp_sum<double>(sums[4])};
}

// Squares of f_e, f_n and f_e - f_n, by one warp.
template <class T>
__device__ __forceinline__ void sample_norms(Sample& sample, const T* e, const T* n, int width) {
  float sums[3] = {};
#pragma unroll 2
  for (int i = lane_index(); i < width; i += kWarp) {
    const float expression = load<1>(e + i)[0];
    const float neutral = load<1>(n + i)[0];
    const float d = expression - neutral;
    sums[0] = fmaf(expression, expression, sums[0]);
    sums[1] = fmaf(neutral, neutral, sums[1]);
    sums[2] = fmaf(d, d, sums[2]);
  }
  const double square_e = warp_sum<double>(sums[0]);
  const double square_n = warp_sum<double>(sums[1]);
  const double square_d = warp_sum<double>(sums[2]);
  if (lane_index() != 0) return;
  sample.inverse_e = inverse_norm(square_e);
  sample.inverse_n = inverse_norm(square_n);
  sample.length = sqrt(square_d);
}

// Softmax and loss of a sample's logits z = scale cosine_e, by one warp.
__device__ __forceinline__ void supervise(Sample& sample, float* logits, const double* cosine_e,
                                          const float* targets, int classes,
                                          const ObjectiveAttributes& attributes) {
  const double scale = attributes.logit_scale;
  double highest = -INFINITY;
  for (int k = lane_index(); k < classes; k += kWarp) {
    logits[k] = static_cast<float>(scale * cosine_e[k]);
    highest = fmax(highest, scale * cosine_e[k]);
  }
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    highest = fmax(highest, __shfl_xor_sync(kAllLanes, highest, offset));
  }
  double exponentials = 0;
  double mass = 0;
  for (int k = lane_index(); k < classes; k += kWarp) {
    exponentials += exp(scale * cosine_e[k] - highest);
    mass += attributes.smoothed(targets[k], classes);
  }
  mass = warp_sum(mass);
  const double log_sum = highest + log(warp_sum(exponentials));
  double loss = 0;
  for (int k = lane_index(); k < classes; k += kWarp) {
    // A class without a target adds nothing even if its logit is minus infinity.
    const double goal = attributes.smoothed(targets[k], classes);
    if (goal != 0.0) loss += goal * (log_sum - scale * cosine_e[k]);
  }
  loss = warp_sum(loss);
  const int label = first_maximum(targets, classes);
  __syncwarp();
  const int answer = first_maximum(logits, classes);
  if (lane_index() != 0) return;
  sample.mass = mass;
  sample.log_sum = log_sum;
  sample.supervised = loss;
  sample.label = label;
  sample.correct = answer == label;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    sample_kernel(float* logits, Inputs<T> in, ObjectiveAttributes attributes, Scratch scratch) {
  COUNTENANCE_SHARED(Sample, sample, [1]);
  const int b = static_cast<int>(blockIdx.x);
  const int64_t row = static_cast<int64_t>(b) * in.width;
  const T* e = in.expression + row;
  const T* n = in.neutral + row;
  const float* neutral_text = in.text + attributes.neutral * in.width;
  double* cosine_e = scratch.cosine_e(b);
  double* cosine_n = scratch.cosine_n(b);
  double* cosine_d = scratch.cosine_d(b);
  if (warp_index() == 0) sample_norms(sample[0], e, n, in.width);
  __syncthreads();
  for (int k = warp_index(); k < in.classes; k += kWarps) {
    const float* text = in.text + static_cast<int64_t>(k) * in.width;
    const Products p = products(e, n, text, neutral_text, in.width);
    if (lane_index() != 0) continue;
    const double inverse_text = inverse_norm(p.text);
    const double inverse_difference = 1.0 / fmax(sqrt(p.difference), kCosineEps);
    cosine_e[k] = p.expression * inverse_text * sample[0].inverse_e;
    cosine_n[k] = p.neutral * inverse_text * sample[0].inverse_n;
    cosine_d[k] = p.along * inverse_difference / fmax(sample[0].length, kCosineEps);
    if (b == 0) scratch.inverse_text[k] = inverse_text;
    if (b == 0) scratch.inverse_difference[k] = inverse_difference;
  }
  __syncthreads();
  if (warp_index() != 0) return;
  const int64_t at = static_cast<int64_t>(b) * in.classes;
  supervise(sample[0], logits + at, cosine_e, in.targets + at, in.classes, attributes);
  if (lane_index() == 0) scratch.samples[b] = sample[0];
}

// ---- What the samples share ----

__global__ void __launch_bounds__(kThreads)
    batch_kernel(float* losses, int batch, int classes, ObjectiveAttributes attributes,
                 Scratch scratch) {
  COUNTENANCE_SHARED(double, warps, [kWarp]);
  const int neutral = static_cast<int>(attributes.neutral);
  double members = 0;
  double supervised = 0;
  double correct = 0;
  double transformation = 0;
  for (int b = static_cast<int>(threadIdx.x); b < batch; b += kThreads) {
    const Sample& sample = scratch.samples[b];
    supervised += sample.supervised;
    correct += sample.correct;
    if (sample.label == neutral) continue;
    members += 1;
    transformation += 1 - scratch.cosine_d(b)[sample.label];
  }
  members = block_sum(members, warps);
  supervised = block_sum(supervised, warps);
  correct = block_sum(correct, warps);
  transformation = block_sum(transformation, warps);
  // Empty I: no sample uses these, L_t = L_c = 0.
  const double member_share = members > 0 ? 1 / members : 0;
  for (int k = static_cast<int>(threadIdx.x); k < classes; k += kThreads) {
    int count = 0;
    for (int b = 0; b < batch; ++b) count += scratch.samples[b].label == k;
    scratch.class_share[k] = k == neutral ? 0 : count * member_share;
  }
  __syncthreads();
  double contrast = 0;
  for (int b = warp_index(); b < batch; b += kWarps) {
    const int label = scratch.samples[b].label;
    if (label == neutral) continue;
    if (lane_index() == 0) contrast += 2;
    for (int k = lane_index(); k < classes; k += kWarp) {
      const double c = contrast_weight(attributes, scratch, label, k);
      if (c != 0) contrast += c * (scratch.cosine_n(b)[k] - scratch.cosine_e(b)[k]);
    }
  }
  contrast = block_sum(contrast, warps) * member_share;
  if (threadIdx.x != 0) return;
  *scratch.member_share = member_share;
  supervised /= batch > 1 ? batch : 1;
  transformation *= member_share;
  losses[kTotal] = static_cast<float>(attributes.weight(kSupervised) * supervised +
                                      attributes.weight(kTransformation) * transformation +
                                      attributes.weight(kContrast) * contrast);
  losses[kSupervised] = static_cast<float>(supervised);
  losses[kTransformation] = static_cast<float>(transformation);
  losses[kContrast] = static_cast<float>(contrast);
  losses[kCorrect] = static_cast<float>(correct);
}

// ---- Gradients ----

template <class G>
struct Gradients {
  G* expression;  // null: not wanted
  G* neutral;
  bool expression_accumulates;
  bool neutral_accumulates;
};

// df_e = sum_k alpha_e[k] T_k + own_e f_e + apart (f_e - f_n), df_n likewise with -apart.
template <class T, class G>
__global__ void __launch_bounds__(kThreads)
    gradient_kernel(Gradients<G> out, Inputs<T> in, ObjectiveAttributes attributes,
                    Scratch scratch) {
  COUNTENANCE_DYNAMIC_SHARED(float, alpha);
  COUNTENANCE_SHARED(double, warps, [kWarp]);
  float* alpha_e = alpha;
  float* alpha_n = alpha + in.classes;
  const int b = static_cast<int>(blockIdx.x);
  const Sample sample = scratch.samples[b];
  const double batch_share = 1.0 / in.batch;
  const float* targets = in.targets + static_cast<int64_t>(b) * in.classes;
  const Pull pull(attributes, scratch, sample, b);
  double radial_e = 0;  // hat(f_e) . d hat(f_e)
  double radial_n = 0;
  for (int k = static_cast<int>(threadIdx.x); k < in.classes; k += kThreads) {
    const double cosine = scratch.cosine_e(b)[k];
    const double z = attributes.logit_scale * cosine;
    const double dz =
        attributes.weight(kSupervised) * batch_share *
        (sample.mass * exp(z - sample.log_sum) - attributes.smoothed(targets[k], in.classes));
    const double towards = pull.contrast(k);
    const double along = pull.along(k);
    const double inverse_text = scratch.inverse_text[k];
    alpha_e[k] = static_cast<float>(
        (dz * attributes.logit_scale - towards) * inverse_text * sample.inverse_e - along);
    alpha_n[k] = static_cast<float>(towards * inverse_text * sample.inverse_n + along);
    radial_e += dz * z;
    if (towards == 0) continue;
    radial_e -= towards * cosine;
    radial_n += towards * scratch.cosine_n(b)[k];
  }
  radial_e = block_sum(radial_e, warps);
  radial_n = block_sum(radial_n, warps);
  const float own_e = static_cast<float>(-radial_e * sample.inverse_e * sample.inverse_e);
  const float own_n = static_cast<float>(-radial_n * sample.inverse_n * sample.inverse_n);
  const float apart = static_cast<float>(pull.apart());
  const int64_t row = static_cast<int64_t>(b) * in.width;
  for (int i = static_cast<int>(threadIdx.x); i < in.width; i += kThreads) {
    const float e = load<1>(in.expression + row + i)[0];
    const float n = load<1>(in.neutral + row + i)[0];
    const float shift = apart == 0.0f ? 0.0f : apart * (e - n);
    Floats<1> de{fmaf(own_e, e, shift)};
    Floats<1> dn{fmaf(own_n, n, -shift)};
    for (int k = 0; k < in.classes; ++k) {
      const float t = in.text[static_cast<int64_t>(k) * in.width + i];
      de[0] = fmaf(alpha_e[k], t, de[0]);
      dn[0] = fmaf(alpha_n[k], t, dn[0]);
    }
    if (out.expression) store_gradient(out.expression + row + i, de, out.expression_accumulates);
    if (out.neutral) store_gradient(out.neutral + row + i, dn, out.neutral_accumulates);
  }
}

}  // namespace

size_t CudaBackend::objective_workspace(const Shape& expression, const Shape& text) const {
  return Scratch::bytes(expression[0], text[0]);
}

void CudaBackend::objective(const ObjectiveOperands& t, const ObjectiveAttributes& attributes) {
  const auto batch = static_cast<unsigned>(t.expression.shape[0]);
  const int classes = static_cast<int>(t.text.shape[0]);
  const Scratch scratch(data<float>(t.workspace), t.expression.shape[0], classes);
  with_activation(t.expression.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    const Inputs<T> in{data<T>(t.expression),
                       data<T>(t.neutral),
                       data<float>(t.targets),
                       data<float>(t.text),
                       static_cast<int>(batch),
                       classes,
                       static_cast<int>(t.expression.shape[1])};
    launch(kName, queue(), {dim3(batch), dim3(kThreads)}, sample_kernel<T>, data<float>(t.logits),
           in, attributes, scratch);
    launch(kName, queue(), {dim3(1), dim3(kThreads)}, batch_kernel, data<float>(t.losses), in.batch,
           classes, attributes, scratch);
    if (!t.dexpression.wanted() && !t.dneutral.wanted()) return;
    const Gradient& one = t.dexpression.wanted() ? t.dexpression : t.dneutral;
    with_activation(one.tensor.dtype, [&](auto gradient_type) {
      using G = typename decltype(gradient_type)::type;
      const Gradients<G> out{data<G>(t.dexpression), data<G>(t.dneutral),
                             t.dexpression.accumulates(), t.dneutral.accumulates()};
      launch(kName, queue(),
             {dim3(batch), dim3(kThreads), 2 * sizeof(float) * static_cast<size_t>(classes)},
             gradient_kernel<T, G>, out, in, attributes, scratch);
    });
  });
}

}  // namespace countenance::cuda
