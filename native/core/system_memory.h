#pragma once

#include <cstddef>

namespace countenance {

// Bytes this process may still take before the system starts to kill: the lesser of what the
// machine has available and what the control group (a container's limit) leaves. The largest
// size_t where neither can be read.
size_t available_memory();

}  // namespace countenance
