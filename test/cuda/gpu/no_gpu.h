#pragma once

#include <string>

namespace countenance::test {

// The exit status of a program that needs a GPU and finds none: what automake calls "skipped".
inline constexpr int kNoGpuStatus = 77;

// Why CUDA cannot be used here; empty if it can.
std::string why_no_gpu();

}  // namespace countenance::test
