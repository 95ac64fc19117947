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

// threads: 1..ThreadPool::kMaxThreads, 0 for every core this process may use.
std::unique_ptr<Backend> make_cpu_backend(int threads, Isa isa = detect_isa());

}  // namespace countenance
