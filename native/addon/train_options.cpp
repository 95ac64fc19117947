#include "addon/train_options.h"

#include "addon/convert.h"
#include "addon/options.h"
#include "optim/rules.h"

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
  OptimizerOptions optimizer;
  const OptimizerRule& rule = find_optimizer(read_text(options.Get("optimizer"), "optimizer"));
  optimizer.name = rule.name;
  optimizer.settings = read_options(options.Get("settings"), "settings", rule.options);
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
  result.loss_weights =
      read_options(options.Get("lossWeights"), "lossWeights", loss_weight_options());
  result.objective = read_options(options.Get("objective"), "objective", objective_options());
  result.precision = read_precision(options.Get("precision"));
  result.seed = read_seed(options.Get("seed"), "seed");
  result.augmentation = read_augmentation(read_object(options.Get("augmentation"), "augmentation"));
  result.guard = read_boolean(options.Get("guard"), "guard");
  return result;
}

}  // namespace countenance::addon
