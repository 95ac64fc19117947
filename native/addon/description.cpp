#include "addon/description.h"

#include "addon/convert.h"
#include "addon/errors.h"
#include "addon/options.h"
#include "backend/devices.h"
#include "losses/objective_options.h"
#include "models/encoders.h"
#include "optim/rules.h"

namespace countenance::addon {

namespace {

template <class Table, class Convert>
Napi::Array list(Napi::Env env, const Table& table, Convert convert) {
  auto array = Napi::Array::New(env, std::size(table));
  uint32_t i = 0;
  for (const auto& entry : table) array.Set(i++, convert(entry));
  return array;
}

template <class Table>
Napi::Array precisions(Napi::Env env, const Table& table) {
  return list(env, table,
              [&](Precision precision) { return Napi::String::New(env, name_of(precision)); });
}

Napi::Object device(Napi::Env env, const DeviceKind& kind) {
  auto object = Napi::Object::New(env);
  object.Set("name", text(env, kind.name));
  object.Set("precisions", precisions(env, kind.precisions));
  return object;
}

Napi::Object encoder(Napi::Env env, const Encoder& encoder) {
  auto object = Napi::Object::New(env);
  object.Set("name", text(env, encoder.name));
  object.Set("label", text(env, encoder.label));
  object.Set("leastInput", static_cast<double>(encoder.least_input));
  object.Set("mostInput", static_cast<double>(encoder.most_input));
  object.Set("patchSizes", list(env, encoder.patch_sizes, [&](int64_t side) {
               return Napi::Number::New(env, static_cast<double>(side));
             }));
  object.Set("grid", static_cast<double>(encoder.grid));
  object.Set("hasDropPath", encoder.has_drop_path);
  object.Set("head", encoder.head.empty() ? env.Null() : text(env, encoder.head));
  object.Set("optimizer", text(env, encoder.optimizer));
  return object;
}

Napi::Object optimizer(Napi::Env env, const OptimizerRule& rule) {
  auto object = Napi::Object::New(env);
  object.Set("name", text(env, rule.name));
  object.Set("label", text(env, rule.label));
  object.Set("options", to_js(env, rule.options));
  object.Set("slots", texts(env, rule.slots));
  object.Set("learningRate", number(env, rule.defaults.learning_rate));
  object.Set("steepLearningRate", number(env, rule.defaults.steep_learning_rate));
  object.Set("weightDecay", number(env, rule.defaults.weight_decay));
  object.Set("maxGradientNorm", number(env, rule.defaults.max_gradient_norm));
  return object;
}

Napi::Object term(Napi::Env env, const LossTerm& term) {
  auto object = Napi::Object::New(env);
  object.Set("name", text(env, term.name));
  object.Set("symbol", text(env, term.symbol));
  object.Set("help", text(env, term.help));
  return object;
}

}  // namespace

Napi::Value describe_core(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    auto result = Napi::Object::New(env);
    result.Set("devices", list(env, device_kinds(),
                               [&](const DeviceKind* kind) { return device(env, *kind); }));
    result.Set("precisions", precisions(env, kPrecisions));
    result.Set("encoders",
               list(env, encoders(), [&](const Encoder* entry) { return encoder(env, *entry); }));
    result.Set("optimizers", list(env, optimizer_rules(), [&](const OptimizerRule* rule) {
                 return optimizer(env, *rule);
               }));
    result.Set("lossTerms",
               list(env, loss_terms(), [&](const LossTerm& entry) { return term(env, entry); }));
    result.Set("objectiveOptions", to_js(env, objective_options()));
    return result;
  });
}

}  // namespace countenance::addon
