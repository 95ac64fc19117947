#pragma once

#include <functional>
#include <string>

namespace countenance::test {

// What f writes to standard error in its own process, followed by how the process ended: "exit 0",
// "exit 66" or "signal 6". For errors that a sanitizer must report.
std::string death_of(const std::function<void()>& f);

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif
#if defined(__SANITIZE_THREAD__)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif

}  // namespace countenance::test
