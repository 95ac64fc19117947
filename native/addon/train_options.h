#pragma once

#include "addon/node.h"
#include "train/trainer.h"

namespace countenance::addon {

// NativeTrainerOptions of lib/native.ts, but for `threads`. Ranges are checked by the Trainer.
TrainOptions read_train_options(Napi::Object options);

}  // namespace countenance::addon
