#include "addon/train_options.h"

#include "addon/convert.h"

namespace countenance::addon {

namespace {

void read_groups(OptimizerOptions& optimizer, Napi::Object groups) {
  const auto scales = read_floats(groups.Get("learningRateScales"), "learningRateScales");
  const auto decays = read_floats(groups.Get("weightDecays"), "weightDecays");
  if (scales.size() != decays.size()) {
    fail(code::kShapeMismatch, "Expected ", scales.size(),
         " weightDecays, one a group, but received ", decays.size());
  }
  for (size_t i = 0; i < scales.size(); ++i) {
    optimizer.groups.push_back({.learning_rate_scale = scales[i], .weight_decay = decays[i]});
  }
  optimizer.group_of = read_bytes(groups.Get("of"), "of");
}

OptimizerOptions read_optimizer(Napi::Object options) {
  using Kind = OptimizerOptions::Kind;
  OptimizerOptions optimizer;
  optimizer.kind = read_choice<Kind>(options.Get("optimizer"), "optimizer",
                                     {{"sgd", Kind::Sgd}, {"adamw", Kind::AdamW}});
  optimizer.momentum = read_float(options.Get("momentum"), "momentum");
  optimizer.nesterov = read_boolean(options.Get("nesterov"), "nesterov");
  optimizer.beta1 = read_float(options.Get("beta1"), "beta1");
  optimizer.beta2 = read_float(options.Get("beta2"), "beta2");
  optimizer.eps = read_float(options.Get("eps"), "eps");
  optimizer.weight_decay = read_float(options.Get("weightDecay"), "weightDecay");
  optimizer.max_gradient_norm = read_float(options.Get("maxGradientNorm"), "maxGradientNorm");
  const Napi::Value groups = options.Get("groups");
  if (!groups.IsNull()) read_groups(optimizer, read_object(groups, "groups"));
  return optimizer;
}

AugmentOptions read_augmentation(Napi::Object options) {
  AugmentOptions augmentation;
  augmentation.crop_probability = read_float(options.Get("cropProbability"), "cropProbability");
  augmentation.crop_padding =
      read_integer(options.Get("cropPadding"), "cropPadding", 0, AugmentOptions::kMaxCropPadding);
  augmentation.flip_probability = read_float(options.Get("flipProbability"), "flipProbability");
  augmentation.erase_probability = read_float(options.Get("eraseProbability"), "eraseProbability");
  const auto area = read_pair(options.Get("eraseArea"), "eraseArea");
  augmentation.erase_area[0] = area.first;
  augmentation.erase_area[1] = area.second;
  const auto aspect = read_pair(options.Get("eraseAspect"), "eraseAspect");
  augmentation.erase_aspect[0] = aspect.first;
  augmentation.erase_aspect[1] = aspect.second;
  return augmentation;
}

}  // namespace

TrainOptions read_train_options(Napi::Object options) {
  TrainOptions result;
  result.optimizer = read_optimizer(options);
  result.ema_decay = read_float(options.Get("emaDecay"), "emaDecay");
  result.supervised_weight = read_float(options.Get("supervisedWeight"), "supervisedWeight");
  result.transformation_weight =
      read_float(options.Get("transformationWeight"), "transformationWeight");
  result.contrast_weight = read_float(options.Get("contrastWeight"), "contrastWeight");
  result.contrast =
      read_choice<Contrast>(options.Get("contrast"), "contrast",
                            {{"pairwise", Contrast::Pairwise}, {"diagonal", Contrast::Diagonal}});
  result.precision = read_precision(options.Get("precision"));
  result.seed = read_seed(options.Get("seed"), "seed");
  result.augmentation = read_augmentation(read_object(options.Get("augmentation"), "augmentation"));
  result.guard = read_boolean(options.Get("guard"), "guard");
  return result;
}

}  // namespace countenance::addon
