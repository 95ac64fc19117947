#include <algorithm>
#include <cmath>

#include "backend/op_cases.h"

namespace countenance::test {

namespace {

using Row = std::vector<double>;

Row row_of(const Row& matrix, int64_t row, int64_t width) {
  const auto begin = matrix.begin() + row * width;
  return {begin, begin + width};
}

double product(const Row& a, const Row& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

double norm(const Row& a) { return std::sqrt(product(a, a)); }

// The direction of a vector; a zero vector has none.
Row hat(Row a) {
  const double n = norm(a);
  for (double& v : a) v = n < 1e-12 ? 0 : v / n;
  return a;
}

Row minus(Row a, const Row& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return a;
}

double cosine(const Row& a, const Row& b) {
  return product(a, b) / (std::max(norm(a), 1e-8) * std::max(norm(b), 1e-8));
}

double cross_entropy(const Row& logits, const Row& targets) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (double z : logits) sum += std::exp(z - highest);
  double loss = 0;
  for (size_t k = 0; k < logits.size(); ++k) {
    loss -= targets[k] * (logits[k] - highest - std::log(sum));
  }
  return loss;
}

int64_t argmax(const Row& a) { return std::max_element(a.begin(), a.end()) - a.begin(); }

// One-hot rows, or soft ones that sum to 1.
std::vector<float> make_targets(const std::vector<int64_t>& labels, int64_t classes, bool soft) {
  std::vector<float> targets;
  for (int64_t label : labels) {
    for (int64_t k = 0; k < classes; ++k) {
      const float rest = soft ? 0.4f / static_cast<float>(classes) : 0.0f;
      targets.push_back(k == label ? (soft ? 0.6f + rest : 1.0f) : rest);
    }
  }
  return targets;
}

std::vector<int64_t> make_labels(int64_t batch, int64_t classes) {
  std::vector<int64_t> labels;
  for (int64_t b = 0; b < batch; ++b) labels.push_back((b * b + 3 * b + 1) % classes);
  return labels;
}

}  // namespace

OP_CASES(cosine_logits, "cosine_logits") {
  for (const auto& [batch, classes, width] :
       {std::array<int64_t, 3>{1, 1, 1}, {3, 7, 5}, {9, 8, 512}, {20, 3, 33}}) {
    OpCase c(text(batch, " x ", width, ", ", classes, " classes"));
    c.constant("features", {batch, width}, normal(batch * width, "features"));
    c.constant("text", {classes, width}, normal(classes * width, "text"));
    c.output("logits", {batch, classes});
    c.forward = [](Backend& b, OpTensors& t) {
      b.cosine_logits(t["logits"], t["features"], t["text"], 100.0f);
    };
    const int64_t d = width, k_count = classes;
    c.reference = [d, k_count](OpValues& v) {
      for (size_t i = 0; i < v["logits"].size(); ++i) {
        const int64_t b = static_cast<int64_t>(i) / k_count, k = static_cast<int64_t>(i) % k_count;
        v["logits"][i] =
            100 * product(hat(row_of(v["features"], b, d)), hat(row_of(v["text"], k, d)));
      }
    };
    // A cosine near 0 is a sum of terms as large as 1.
    c.forward_tolerance = 2e-6;
    run_case(c);
  }
}

OP_CASES(cosine_logits_of_zero, "cosine_logits") {
  OpCase c("zero vectors");
  std::vector<float> features = normal(3 * 20);
  std::fill(features.begin() + 20, features.begin() + 40, 0.0f);
  c.constant("features", {3, 20}, features);
  c.constant("text", {2, 20}, repeated(40, 0.5f));
  c.output("logits", {3, 2});
  c.forward = [](Backend& b, OpTensors& t) {
    b.cosine_logits(t["logits"], t["features"], t["text"], 10.0f);
  };
  c.reference = [](OpValues& v) {
    for (int64_t i = 0; i < 6; ++i) {
      v["logits"][static_cast<size_t>(i)] =
          10 * product(hat(row_of(v["features"], i / 2, 20)), hat(row_of(v["text"], i % 2, 20)));
    }
  };
  c.forward_tolerance = 2e-6;
  run_case(c);
}

namespace {

struct ObjectiveCase {
  int64_t width;
  int64_t classes;
  std::vector<int64_t> labels;
  bool soft = false;
  ObjectiveAttributes attributes{};
};

// The formulas of docs/METHOD.md as written, including the pairwise mean over all pairs.
void objective_reference(OpValues& v, const ObjectiveCase& p) {
  const auto& a = p.attributes;
  const int64_t batch = static_cast<int64_t>(p.labels.size());
  const auto text_row = [&](int64_t k) { return row_of(v["text"], k, p.width); };
  double supervised = 0;
  double correct = 0;
  std::vector<int64_t> members;
  for (int64_t b = 0; b < batch; ++b) {
    const Row targets = row_of(v["targets"], b, p.classes);
    const Row f = row_of(v["expression"], b, p.width);
    Row logits;
    for (int64_t k = 0; k < p.classes; ++k) {
      logits.push_back(a.logit_scale * product(hat(f), hat(text_row(k))));
      v["logits"][static_cast<size_t>(b * p.classes + k)] = logits.back();
    }
    Row smoothed;
    for (double target : targets) {
      smoothed.push_back((1.0 - a.label_smoothing) * target +
                         a.label_smoothing / static_cast<double>(p.classes));
    }
    supervised += cross_entropy(logits, smoothed) / static_cast<double>(batch);
    if (argmax(logits) == argmax(targets)) correct += 1;
    if (argmax(targets) != a.neutral) members.push_back(b);
  }
  double transformation = 0;
  double contrast = 0;
  const double n = static_cast<double>(members.size());
  for (int64_t i : members) {
    const Row expression = row_of(v["expression"], i, p.width);
    const Row neutral = row_of(v["neutral"], i, p.width);
    const Row text = text_row(p.labels[static_cast<size_t>(i)]);
    transformation +=
        (1 - cosine(minus(expression, neutral), minus(text, text_row(a.neutral)))) / n;
    if (a.contrast == Contrast::Diagonal) {
      contrast += (product(hat(text), hat(neutral)) - product(hat(text), hat(expression)) + 2) / n;
      continue;
    }
    for (int64_t j : members) {
      const Row e = row_of(v["expression"], j, p.width);
      const Row neutral_j = row_of(v["neutral"], j, p.width);
      contrast += (product(hat(text), hat(neutral_j)) - product(hat(text), hat(e)) + 2) / (n * n);
    }
  }
  v["losses"] = {a.weight(kSupervised) * supervised + a.weight(kTransformation) * transformation +
                     a.weight(kContrast) * contrast,
                 supervised, transformation, contrast, correct};
}

OpCase objective_case(const ObjectiveCase& p) {
  const auto& a = p.attributes;
  const int64_t batch = static_cast<int64_t>(p.labels.size());
  OpCase c(text(batch, " x ", p.width, ", ", p.classes, " classes, ",
                a.contrast == Contrast::Pairwise ? "pairwise" : "diagonal", p.soft ? ", soft" : "",
                ", weights ", a.weight(kSupervised), " ", a.weight(kTransformation), " ",
                a.weight(kContrast), ", smoothing ", a.label_smoothing));
  const Shape features{batch, p.width};
  c.input("expression", features, normal(features.elements(), "expression"));
  c.input("neutral", features, normal(features.elements(), "neutral"));
  c.constant("targets", {batch, p.classes}, make_targets(p.labels, p.classes, p.soft));
  c.constant("text", {p.classes, p.width}, normal(p.classes * p.width, "text"));
  c.output("losses", {kObjectiveValues}).cotangent = {1, 0, 0, 0, 0};
  c.side_output("logits", {batch, p.classes});
  const Shape texts{p.classes, p.width};
  c.workspace = [=](Backend& b) { return b.objective_workspace(features, texts); };
  const auto call = [=](Backend& b, OpTensors& t, Gradient expression, Gradient neutral) {
    b.objective({.losses = t["losses"],
                 .logits = t["logits"],
                 .dexpression = expression,
                 .dneutral = neutral,
                 .expression = t["expression"],
                 .neutral = t["neutral"],
                 .targets = t["targets"],
                 .text = t["text"],
                 .workspace = t.workspace},
                a);
  };
  c.forward = [=](Backend& b, OpTensors& t) { call(b, t, {}, {}); };
  c.backward = [=](Backend& b, OpTensors& t) {
    call(b, t, t.gradient("expression"), t.gradient("neutral"));
  };
  c.reference = [p](OpValues& v) { objective_reference(v, p); };
  // A cosine near 0 is a sum of terms as large as 1, and the logits are 100 cosines; softmax turns
  // their absolute error of 1e-5 into a relative one of the gradient.
  c.forward_tolerance = 2e-6;
  c.backward_tolerance = 2e-5;
  return c;
}

std::vector<ObjectiveCase> objective_cases() {
  std::vector<ObjectiveCase> all;
  for (Contrast contrast : {Contrast::Pairwise, Contrast::Diagonal}) {
    for (bool soft : {false, true}) {
      all.push_back({12, 7, make_labels(9, 7), soft, {.neutral = 6, .contrast = contrast}});
      all.push_back({3, 2, {1, 0, 1}, soft, {.logit_scale = 10, .contrast = contrast}});
      all.push_back({33, 5, {3}, soft, {.logit_scale = 30, .neutral = 1, .contrast = contrast}});
    }
    all.push_back({512, 8, make_labels(18, 8), false, {.neutral = 3, .contrast = contrast}});
    all.push_back({20, 4, make_labels(7, 4), false, {50, 2, 0.5f, 2, 3, contrast}});
    all.push_back({20, 4, make_labels(7, 4), false, {50, 2, 0, 1, 0, contrast}});
    all.push_back({20, 4, make_labels(7, 4), false, {50, 2, 0, 0, 1, contrast}});
    for (bool soft : {false, true}) {
      all.push_back(
          {20,
           5,
           make_labels(11, 5),
           soft,
           {.logit_scale = 20, .neutral = 2, .contrast = contrast, .label_smoothing = 0.1f}});
    }
  }
  return all;
}

}  // namespace

OP_CASES(objective, "objective") {
  for (const ObjectiveCase& p : objective_cases()) run_case(objective_case(p));
}

// Neutral samples only: L_t and L_c and their gradients are 0, not NaN.
OP_CASES(objective_without_members, "objective") {
  for (Contrast contrast : {Contrast::Pairwise, Contrast::Diagonal}) {
    run_case(objective_case({20, 4, {2, 2, 2}, false, {.neutral = 2, .contrast = contrast}}));
  }
}

// Zero vectors, equal vectors, a zero difference of texts: everything stays finite.
OP_CASES(objective_of_degenerate_vectors, "objective") {
  for (Contrast contrast : {Contrast::Pairwise, Contrast::Diagonal}) {
    OpCase c =
        objective_case({20, 4, {0, 1, 3, 2, 0}, false, {.neutral = 2, .contrast = contrast}});
    const auto row = [](OpInput& input, int64_t r) { return input.values.begin() + r * 20; };
    OpInput& expression = c.inputs[0];
    OpInput& neutral = c.inputs[1];
    OpInput& texts = c.inputs[3];
    std::fill_n(row(expression, 0), 20, 0.0f);             // f_e = 0
    std::fill_n(row(neutral, 1), 20, 0.0f);                // f_n = 0
    std::copy_n(row(expression, 2), 20, row(neutral, 2));  // f_e = f_n
    std::copy_n(row(texts, 2), 20, row(texts, 1));         // T_1 = T_n
    // The gradient at a zero vector is a convention, not a limit: finite differences cannot tell.
    c.backward = nullptr;
    run_case(c);
    for (const TestedBackend& tested : tested_backends()) {
      const std::unique_ptr<Backend> backend = tested.make(1);
      std::vector<std::unique_ptr<DeviceBlock>> blocks;
      const auto place = [&](Shape shape, const float* values) {
        blocks.push_back(backend->allocate(static_cast<size_t>(shape.elements()) * 4));
        const Tensor t = tensor_of(static_cast<float*>(blocks.back()->data()), shape);
        if (values) backend->copy_in(t, values);
        return t;
      };
      std::vector<Tensor> in;
      for (const OpInput& i : c.inputs) in.push_back(place(i.shape, i.values.data()));
      const Tensor losses = place({kObjectiveValues}, nullptr), logits = place({5, 4}, nullptr);
      const Tensor de = place({5, 20}, nullptr), dn = place({5, 20}, nullptr);
      const size_t bytes = backend->objective_workspace({5, 20}, {4, 20});
      const Tensor space = place({static_cast<int64_t>(bytes / 4)}, nullptr);
      backend->objective({.losses = losses,
                          .logits = logits,
                          .dexpression = overwrite(de),
                          .dneutral = overwrite(dn),
                          .expression = in[0],
                          .neutral = in[1],
                          .targets = in[2],
                          .text = in[3],
                          .workspace = space},
                         {.neutral = 2, .contrast = contrast});
      for (const Tensor& gradient : {de, dn}) {
        std::vector<float> got(100);
        backend->copy_out(got.data(), gradient);
        for (float g : got) CHECK(std::isfinite(g), tested.name, ": gradient ", g);
      }
    }
  }
}

// Equal logits and equal targets: the first index wins.
OP_CASES(objective_ties, "objective") {
  for (int64_t neutral : {0, 1, 2}) {
    OpCase c = objective_case({4, 3, {0, 0}, false, {.neutral = neutral}});
    for (OpInput& i : c.inputs) {
      if (i.name == "text") i.values = repeated(12, 1.0f);
      if (i.name == "targets") i.values = {0.5f, 0.5f, 0, 0, 0.5f, 0.5f};
    }
    c.reference = [neutral](OpValues& v) {
      objective_reference(v, {4, 3, {0, 1}, false, {.neutral = neutral}});
    };
    c.backward = nullptr;
    run_case(c);
  }
}

}  // namespace countenance::test
