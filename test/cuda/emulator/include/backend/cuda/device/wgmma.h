#pragma once

// The emulator's twin of native/backend/cuda/device/wgmma.h.

#include <backend/cuda/device/ptx.h>

#include "warpgroup.h"

namespace countenance::cuda {

inline constexpr bool kHasWgmma = true;

struct WgmmaOperand {
  const unsigned char* start;
  unsigned block;
};

inline WgmmaOperand wgmma_operand(const __nv_bfloat16* start, unsigned block,
                                  Site site = Site::current()) {
  check_aligned(start, 16, site);
  return {reinterpret_cast<const unsigned char*>(start), block};
}

template <bool kWidthA, bool kWidthB, int Columns8>
void wgmma(float (&d)[Columns8][4], const WgmmaOperand& a, const WgmmaOperand& b,
           Site site = Site::current()) {
  static_assert(Columns8 == 8 || Columns8 == 16);
  ::emulator::wgmma(&d[0][0], 8 * Columns8, {a.start, a.block, kWidthA},
                    {b.start, b.block, kWidthB}, site);
}

inline void wgmma_fence(Site site = Site::current()) { ::emulator::wgmma_fence(site); }
inline void wgmma_commit() { ::emulator::wgmma_commit(); }
template <int Groups>
void wgmma_wait(Site site = Site::current()) {
  ::emulator::wgmma_wait(Groups, site);
}
inline void fence_for_wgmma() { ::emulator::fence_copies(); }

}  // namespace countenance::cuda
