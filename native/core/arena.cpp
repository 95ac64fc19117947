#include "core/arena.h"

#include <sys/mman.h>

#include <utility>

#include "core/error.h"
#include "core/system_memory.h"

namespace countenance {

namespace {
constexpr size_t kHugePage = size_t{2} << 20;
// mmap grants more memory than is available, and the system later kills the process; blocks of this
// size or larger are checked first.
constexpr size_t kCheckedBytes = size_t{64} << 20;
}  // namespace

HostBlock::HostBlock(size_t bytes) {
  if (bytes == 0) return;
  const size_t size = align_up(bytes, bytes >= kHugePage ? kHugePage : size_t{4096});
  if (size < bytes) fail(code::kOutOfMemory, "cannot allocate ", bytes, " bytes");
  if (size >= kCheckedBytes && size > available_memory()) {
    const size_t available = available_memory();
    std::ostringstream message;
    message << "cannot allocate " << size << " bytes (" << (size >> 20)
            << " MiB): " << (available >> 20) << " MiB are available";
    throw OutOfMemory(size, available, message.str());
  }
  void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    fail(code::kOutOfMemory, "cannot allocate ", bytes, " bytes (", bytes >> 20, " MiB)");
  }
#if defined(MADV_HUGEPAGE)
  if (size >= kHugePage) madvise(data, size, MADV_HUGEPAGE);
#endif
  data_ = data;
  bytes_ = size;
}

HostBlock::~HostBlock() {
  if (data_) munmap(data_, bytes_);
}

HostBlock::HostBlock(HostBlock&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

HostBlock& HostBlock::operator=(HostBlock&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

}  // namespace countenance
