#pragma once

// The emulator's twin of native/backend/cuda/device/ptx.h.

#include <cuda_bf16.h>

#include <cstdint>
#include <cstring>

namespace countenance::cuda {

using Site = ::emulator::Site;

inline void check_aligned(const void* p, unsigned bytes, Site site = Site::current()) {
  if (reinterpret_cast<uintptr_t>(p) % bytes != 0) {
    ::emulator::fail("an access of " + std::to_string(bytes) + " bytes is misaligned", site);
  }
}

inline void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                     Site site = Site::current()) {
  ::emulator::mma_bf16_m16n8k16(d, a, b, site);
}

template <int Count, bool Transpose>
void load_matrix(uint32_t (&fragment)[Count], const __nv_bfloat16* row, Site site) {
  // Each lane reads its own row, so that a race is attributed to that lane.
  uint16_t values[8];
  const bool brings_row = ::emulator::current.lane < 8 * Count;
  if (brings_row) {
    check_aligned(row, 16, site);
    for (int i = 0; i < 8; ++i) values[i] = row[i].bits;
  }
  ::emulator::load_matrix(fragment, brings_row ? values : nullptr, Count, Transpose, site);
}

inline void ldmatrix_x1(uint32_t (&fragment)[1], const __nv_bfloat16* row,
                        Site site = Site::current()) {
  load_matrix<1, false>(fragment, row, site);
}
inline void ldmatrix_x2(uint32_t (&fragment)[2], const __nv_bfloat16* row,
                        Site site = Site::current()) {
  load_matrix<2, false>(fragment, row, site);
}
inline void ldmatrix_x4(uint32_t (&fragment)[4], const __nv_bfloat16* row,
                        Site site = Site::current()) {
  load_matrix<4, false>(fragment, row, site);
}
inline void ldmatrix_x1_trans(uint32_t (&fragment)[1], const __nv_bfloat16* row,
                              Site site = Site::current()) {
  load_matrix<1, true>(fragment, row, site);
}
inline void ldmatrix_x2_trans(uint32_t (&fragment)[2], const __nv_bfloat16* row,
                              Site site = Site::current()) {
  load_matrix<2, true>(fragment, row, site);
}
inline void ldmatrix_x4_trans(uint32_t (&fragment)[4], const __nv_bfloat16* row,
                              Site site = Site::current()) {
  load_matrix<4, true>(fragment, row, site);
}

namespace emulated {

// Byte by byte and in the calling thread, where the sanitizers see it.
inline void copy(void* to, const void* from, unsigned bytes) {
  char* target = static_cast<char*>(to);
  const char* source = static_cast<const char*>(from);
  for (unsigned i = 0; i < bytes; ++i) target[i] = source ? source[i] : 0;
}

// Between issue and wait the destination is undefined.
inline void issue(void* shared, const void* global, unsigned bytes, bool valid, Site site) {
  check_aligned(shared, bytes, site);
  if (valid) check_aligned(global, bytes, site);
  for (unsigned i = 0; i < bytes; ++i) static_cast<unsigned char*>(shared)[i] = 0xFF;
  ::emulator::async_copy_issue(shared, valid ? global : nullptr, bytes);
}

}  // namespace emulated

inline void cp_async_16(void* shared, const void* global, bool valid, Site site = Site::current()) {
  emulated::issue(shared, global, 16, valid, site);
}
inline void cp_async_8(void* shared, const void* global, bool valid, Site site = Site::current()) {
  emulated::issue(shared, global, 8, valid, site);
}
inline void cp_async_4(void* shared, const void* global, bool valid, Site site = Site::current()) {
  emulated::issue(shared, global, 4, valid, site);
}
inline void cp_async_commit() { ::emulator::async_copy_commit(); }
template <int Groups>
void cp_async_wait() {
  ::emulator::async_copy_wait(Groups, &emulated::copy);
}

}  // namespace countenance::cuda
