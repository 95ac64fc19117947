#pragma once

#include <memory>

#include "backend/backend.h"

namespace countenance {

enum class Isa : uint8_t { Portable, Avx2, Avx512 };

// The best instruction set of this processor; COUNTENANCE_ISA=portable|avx2|avx512 in the
// environment selects a lower one (an unknown or unsupported name is ERR_INVALID_ARGUMENT).
Isa detect_isa();
const char* name_of(Isa isa);
bool supported(Isa isa);

// Winograd's method needs fewer multiplications than the direct one; its rounding errors are two to
// five times as large (docs/decisions/winograd.md).
enum class ConvolutionMethod : uint8_t { Winograd, Direct };

// Winograd where it pays; COUNTENANCE_CONVOLUTION=direct in the environment selects the direct
// method everywhere (another name than winograd or direct is ERR_INVALID_ARGUMENT).
ConvolutionMethod detect_convolution();

// threads: 1..ThreadPool::kMaxThreads, 0 for every core this process may use.
std::unique_ptr<Backend> make_cpu_backend(int threads, Isa isa = detect_isa(),
                                          ConvolutionMethod convolution = detect_convolution());

}  // namespace countenance
