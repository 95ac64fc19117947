#pragma once

#include <cstdint>

#include "addon/node.h"

namespace countenance::addon {

// Tells the garbage collector how much memory a small JavaScript object holds, so that objects
// dropped without close() are collected before they fill the machine or the GPU. Weights, gradients
// and optimizer state count, wherever they are stored; plans, which come and go with batch sizes,
// do not.
class ExternalMemory {
 public:
  ExternalMemory(Napi::Env env, int64_t bytes) : env_(env), bytes_(bytes) { adjust(bytes_); }
  ~ExternalMemory() { adjust(-bytes_); }
  ExternalMemory(const ExternalMemory&) = delete;
  ExternalMemory& operator=(const ExternalMemory&) = delete;

 private:
  void adjust(int64_t change) {
    int64_t total = 0;
    // Only a hint: it does not matter if an environment that is shutting down refuses it.
    static_cast<void>(napi_adjust_external_memory(env_, change, &total));
  }

  napi_env env_;
  int64_t bytes_;
};

}  // namespace countenance::addon
