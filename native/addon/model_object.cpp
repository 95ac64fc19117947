#include "addon/model_object.h"

#include <cmath>
#include <utility>

#include "addon/async_task.h"
#include "addon/convert.h"
#include "addon/device.h"
#include "addon/instance.h"
#include "backend/prepared_images.h"
#include "core/thread_pool.h"
#include "models/encoders.h"

namespace countenance::addon {

namespace {

// Distinguishes our objects from others that wrap something, whatever their prototype.
constexpr napi_type_tag kModelTag = {0x8a1d5cf3e07b4e21, 0x9c4f1b6d2a7385e0};

using Payload = Napi::External<std::shared_ptr<ModelState>>;

Normalization read_normalization(const Napi::CallbackInfo& info) {
  const std::vector<float> mean = read_floats(info[0], "mean");
  const std::vector<float> std = read_floats(info[1], "std");
  require(mean.size() == 3, "Expected 3 numbers for mean but received ", mean.size());
  require(std.size() == 3, "Expected 3 numbers for std but received ", std.size());
  Normalization normalization;
  for (size_t c = 0; c < 3; ++c) {
    if (!std::isfinite(mean[c]) || !std::isfinite(std[c])) {
      fail(code::kNotFinite, "mean or std of the normalisation is not finite");
    }
    require(std[c] > 0, "Expected positive numbers for std but received ", std[c]);
    normalization.mean[c] = mean[c];
    normalization.std[c] = std[c];
  }
  return normalization;
}

// Images, and the width and height of each.
CopiedImages read_sized_images(Napi::Value value, Napi::Value sides) {
  JoinedBytes joined = read_byte_arrays(value, "images", kMaxBatch);
  const std::vector<uint32_t> numbers = read_indices(sides, "sides");
  const size_t count = joined.lengths.size();
  if (numbers.size() != 2 * count) {
    fail(code::kShapeMismatch, "Expected ", 2 * count, " sides for ", count,
         " images but received ", numbers.size());
  }
  require(count > 0, "Expected at least 1 image but received none");
  CopiedImages copied{std::move(joined.bytes), {}};
  for (size_t i = 0; i < count; ++i) {
    const ImageSize image{numbers[2 * i], numbers[2 * i + 1]};
    const int64_t bytes = image_bytes(image);
    if (joined.lengths[i] != static_cast<size_t>(bytes)) {
      fail(code::kShapeMismatch, "Expected ", bytes, " bytes for image ", i, " of ", image.width,
           " x ", image.height, " but received ", joined.lengths[i]);
    }
    copied.sizes.push_back(image);
  }
  return copied;
}

}  // namespace

ModelConfig read_config(Napi::Object options) {
  ModelConfig config;
  config.backbone = find_encoder(read_text(options.Get("backbone"), "backbone")).name;
  config.input_size = read_integer(options.Get("inputSize"), "inputSize", 1, 1 << 20);
  config.patch_size = read_integer(options.Get("patchSize"), "patchSize", 1, 1 << 20);
  config.drop_path = read_float(options.Get("dropPath"), "dropPath");
  config.classes = read_integer(options.Get("classes"), "classes", 1, 1 << 20);
  config.neutral = read_integer(options.Get("neutral"), "neutral", 0, 1 << 20);
  config.logit_scale = read_float(options.Get("logitScale"), "logitScale");
  return config;
}

CopiedImages read_images(Napi::Value value) {
  if (!value.IsTypedArray()) reject_argument("a Uint8Array or a Float32Array", "images", value);
  if (value.As<Napi::TypedArray>().TypedArrayType() == napi_float32_array) {
    return {{}, read_floats(value, "images")};
  }
  return {read_bytes(value, "images"), {}};
}

Napi::Function ModelObject::define(Napi::Env env) {
  return DefineClass(env, "NativeModel",
                     {InstanceAccessor<&ModelObject::device>("device"),
                      InstanceAccessor<&ModelObject::fallback>("fallback"),
                      InstanceMethod<&ModelObject::tensors>("tensors"),
                      InstanceMethod<&ModelObject::read_tensor>("readTensor"),
                      InstanceMethod<&ModelObject::write_tensor>("writeTensor"),
                      InstanceMethod<&ModelObject::forward>("forward"),
                      InstanceMethod<&ModelObject::forward_images>("forwardImages"),
                      InstanceMethod<&ModelObject::set_normalization>("setNormalization"),
                      InstanceMethod<&ModelObject::close>("close")});
}

Napi::Value ModelObject::create(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return promised(env, [&]() -> Napi::Value {
    const Napi::Object options = read_object(info[0], "options");
    ModelConfig config = read_config(options);
    config.seed = read_seed(options.Get("seed"), "seed");
    const int threads = static_cast<int>(
        read_integer(options.Get("threads"), "threads", 0, ThreadPool::kMaxThreads));
    const Device device = read_device(options.Get("device"));
    const Precision precision = read_precision(options.Get("precision"));
    const Isa isa = detect_isa();
    auto text = read_floats(options.Get("text"), "text");
    struct Made {
      std::unique_ptr<Model> model;
      ModelState::Settings settings;
    };
    auto made = std::make_shared<Made>();
    return run_async(
        env,
        [=, text = std::move(text)] {
          ModelBackend chosen = make_backend(device, threads, isa);
          require_precision(*chosen.backend, precision);
          made->model = std::make_unique<Model>(config, text, chosen.backend);
          made->settings = {threads, isa, chosen.is_cpu, precision, chosen.fallback};
        },
        [=](Napi::Env job_env) -> Napi::Value {
          auto state = std::make_shared<ModelState>(job_env, std::move(made->model),
                                                    std::move(made->settings));
          return instance_of(job_env).model_class.New({Payload::New(job_env, &state)});
        });
  });
}

std::shared_ptr<ModelState> ModelObject::state_of(Napi::Value value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kModelTag)) {
    reject_argument("a model of this addon", "model", value);
  }
  return Unwrap(value.As<Napi::Object>())->state_;
}

ModelObject::ModelObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ModelObject>(info) {
  guarded(info.Env(), [&] {
    if (!info[0].IsExternal()) {
      fail(code::kInvalidArgument, "a NativeModel is made by createModel, not by new");
    }
    state_ = *info[0].As<Payload>().Data();
    info.This().As<Napi::Object>().TypeTag(&kModelTag);
  });
}

Model& ModelObject::idle_model() const {
  state_->require_open("the model");
  state_->require_idle("the model");
  return *state_->model;
}

Napi::Value ModelObject::device(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    state_->require_open("the model");
    return Napi::String::New(info.Env(), state_->model->backend().description());
  });
}

Napi::Value ModelObject::fallback(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), state_->settings.fallback);
}

Napi::Value ModelObject::tensors(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    state_->require_open("the model");
    const auto& specs = state_->model->table().specs();  // fixed since construction
    auto list = Napi::Array::New(env, specs.size());
    for (uint32_t i = 0; i < specs.size(); ++i) {
      const ParameterSpec& spec = specs[i];
      auto shape = Napi::Array::New(env, static_cast<size_t>(spec.shape.rank()));
      for (int d = 0; d < spec.shape.rank(); ++d) {
        shape.Set(static_cast<uint32_t>(d),
                  Napi::Number::New(env, static_cast<double>(spec.shape[d])));
      }
      auto item = Napi::Object::New(env);
      item.Set("name", Napi::String::New(env, spec.name));
      item.Set("shape", shape);
      item.Set("trainable", Napi::Boolean::New(env, spec.trainable()));
      list.Set(i, item);
    }
    return list;
  });
}

Napi::Value ModelObject::read_tensor(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    Model& model = idle_model();
    const ParameterSpec& spec = model.table()[model.table().find(read_text(info[0], "name"))];
    std::vector<float> values(static_cast<size_t>(spec.shape.elements()));
    model.read(spec, values);
    return to_js(info.Env(), values);
  });
}

void ModelObject::write_tensor(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    Model& model = idle_model();
    const ParameterSpec& spec = model.table()[model.table().find(read_text(info[0], "name"))];
    model.write(spec, read_floats(info[1], "data"));
  });
}

Napi::Value ModelObject::forward(const Napi::CallbackInfo& info) {
  return promised(info.Env(), [&] {
    state_->require_open("the model");
    const int64_t size = read_integer(info[1], "batch", 1, 1 << 30);
    return post_forward(read_images(info[0]), size, false);
  });
}

Napi::Value ModelObject::forward_images(const Napi::CallbackInfo& info) {
  return promised(info.Env(), [&] {
    state_->require_open("the model");
    CopiedImages images = read_sized_images(info[0], info[1]);
    const auto size = static_cast<int64_t>(images.sizes.size());
    const bool flip = read_boolean(info[2], "flip");
    state_->require_open("the model");  // a getter of the array could have closed it
    return post_forward(std::move(images), size, flip);
  });
}

Napi::Value ModelObject::post_forward(CopiedImages images, int64_t size, bool flip) {
  struct Forward {
    CopiedImages images;
    Prediction prediction;
  };
  auto job = std::make_shared<Forward>(Forward{std::move(images), {}});
  auto state = state_;
  const Normalization normalization = state_->normalization;
  return state_->queue.post(
      state.get(),
      [=](const std::atomic<bool>& cancelled) {
        const auto begin = [&](const ImageTransform& transform) {
          return state->evaluator->begin(job->images.batch(size), normalization, &cancelled,
                                         transform);
        };
        const Evaluator::InFlight run = begin({});
        std::optional<Evaluator::InFlight> mirrored;
        if (flip) mirrored = begin({.flip = true});
        return now_or_later(state->model->backend(), [=] {
          job->prediction = mirrored
                                ? with_flip(Evaluator::finish(run), Evaluator::finish(*mirrored))
                                : Evaluator::finish(run);
        });
      },
      [=](Napi::Env job_env) {
        auto outputs = Napi::Object::New(job_env);
        outputs.Set("logits", to_js(job_env, job->prediction.logits));
        outputs.Set("expression", to_js(job_env, job->prediction.expression));
        outputs.Set("neutral", to_js(job_env, job->prediction.neutral));
        if (flip) outputs.Set("mirrored", to_js(job_env, job->prediction.mirrored));
        return outputs;
      });
}

void ModelObject::set_normalization(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    state_->require_open("the model");
    state_->normalization = read_normalization(info);
  });
}

void ModelObject::close(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { state_->close(); });
}

}  // namespace countenance::addon
