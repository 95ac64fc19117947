#pragma once

#include <cstddef>

namespace countenance {

// Bytes this process may still take before the system starts killing processes: the smaller of what
// the machine has available and what the control group (a container's limit) leaves. The largest
// size_t if neither can be read.
size_t available_memory();

}  // namespace countenance
