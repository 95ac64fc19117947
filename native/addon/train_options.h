#pragma once

#include "addon/node.h"
#include "train/trainer.h"

namespace countenance::addon {

// NativeTrainerOptions of lib/native.ts, except `threads`. The Trainer checks the ranges.
TrainOptions read_train_options(Napi::Object options);

}  // namespace countenance::addon
