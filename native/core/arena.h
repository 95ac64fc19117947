#pragma once

#include <cstddef>
#include <cstdint>

namespace countenance {

inline constexpr size_t kAlignment = 64;  // one cache line, one AVX-512 register

constexpr size_t align_up(size_t bytes, size_t alignment = kAlignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

// One aligned block of host memory, zeroed, freed with its owner. Blocks of 2 MiB and more ask for
// huge pages: a convolution's rows are far apart and would miss the TLB otherwise.
class HostBlock {
 public:
  HostBlock() = default;
  // Throws ERR_OUT_OF_MEMORY with the size when the system refuses.
  explicit HostBlock(size_t bytes);
  ~HostBlock();
  HostBlock(HostBlock&& other) noexcept;
  HostBlock& operator=(HostBlock&& other) noexcept;

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace countenance
