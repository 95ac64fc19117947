#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace countenance {

// Stable codes; the same strings are in lib/errors.ts, where JavaScript users see them.
namespace code {
inline constexpr const char* kInvalidArgument = "ERR_INVALID_ARGUMENT";
inline constexpr const char* kShapeMismatch = "ERR_SHAPE_MISMATCH";
inline constexpr const char* kNotFinite = "ERR_NOT_FINITE";
inline constexpr const char* kZeroNorm = "ERR_ZERO_NORM";
inline constexpr const char* kLabelRange = "ERR_LABEL_RANGE";
inline constexpr const char* kBatchTooLarge = "ERR_BATCH_TOO_LARGE";
inline constexpr const char* kImageChannels = "ERR_IMAGE_CHANNELS";
inline constexpr const char* kClosed = "ERR_CLOSED";
inline constexpr const char* kBusy = "ERR_BUSY";
inline constexpr const char* kAborted = "ERR_ABORTED";
inline constexpr const char* kUnsupported = "ERR_UNSUPPORTED";
inline constexpr const char* kOutOfMemory = "ERR_OUT_OF_MEMORY";
inline constexpr const char* kDeviceUnavailable = "ERR_DEVICE_UNAVAILABLE";
inline constexpr const char* kInternal = "ERR_INTERNAL";
}  // namespace code

// The only exception type the native code throws on purpose.
class Error : public std::runtime_error {
 public:
  Error(const char* code, const std::string& message) : std::runtime_error(message), code_(code) {}
  const char* code() const { return code_; }

 private:
  const char* code_;  // one of countenance::code, so it lives forever
};

// A failed allocation: ERR_OUT_OF_MEMORY with numbers that a caller can act on.
class OutOfMemory : public Error {
 public:
  OutOfMemory(size_t wanted, size_t free, const std::string& message)
      : Error(code::kOutOfMemory, message), wanted_(wanted), free_(free) {}
  size_t wanted() const { return wanted_; }  // bytes of the requested block
  size_t free() const { return free_; }      // bytes that were available

 private:
  size_t wanted_;
  size_t free_;
};

// Throws Error(code) with the parts streamed into one message.
template <class... Parts>
[[noreturn]] void fail(const char* code, const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw Error(code, message.str());
}

// Guards an argument: `require(x > 0, "Expected ... but received ", x)`.
template <class... Parts>
void require(bool condition, const Parts&... parts) {
  if (!condition) fail(code::kInvalidArgument, parts...);
}

// Guards an invariant of our own code; a failure is a bug in countenance.
template <class... Parts>
void ensure(bool condition, const Parts&... parts) {
  if (!condition) fail(code::kInternal, "internal error: ", parts...);
}

}  // namespace countenance
