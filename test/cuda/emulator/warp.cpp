// Compiled without -fsanitize=thread, like fiber.cpp: the last lane reads the other lanes' stacks,
// for what the hardware does in registers.
#include "warp.h"

#include <algorithm>
#include <cstring>

namespace emulator {

namespace {

constexpr int kLanes = 32;
constexpr uint32_t kAllLanes = 0xFFFFFFFFu;

struct Shuffle {
  uint64_t bits;
  int source;
  bool absent;
  uint64_t result;
};

void combine_shuffle(void* const* lanes) {
  for (int l = 0; l < kLanes; ++l) {
    if (!lanes[l]) continue;
    Shuffle& lane = *static_cast<Shuffle*>(lanes[l]);
    const int source = lane.source < 0 ? l : lane.source;
    lane.absent = !lanes[source];
    if (!lane.absent) lane.result = static_cast<Shuffle*>(lanes[source])->bits;
  }
}

struct Vote {
  bool predicate;
  uint32_t result;
};

void combine_vote(void* const* lanes) {
  uint32_t result = 0;
  for (int l = 0; l < kLanes; ++l) {
    if (lanes[l] && static_cast<Vote*>(lanes[l])->predicate) result |= 1u << l;
  }
  for (int l = 0; l < kLanes; ++l) {
    if (lanes[l]) static_cast<Vote*>(lanes[l])->result = result;
  }
}

void combine_nothing(void* const*) {}

struct Reduced {
  uint32_t value;
  Reduction reduction;
  bool is_signed;
};

uint32_t reduced(uint32_t a, uint32_t b, Reduction reduction, bool is_signed) {
  const bool less = is_signed ? static_cast<int32_t>(a) < static_cast<int32_t>(b) : a < b;
  switch (reduction) {
    case Reduction::Add:
      return a + b;
    case Reduction::Min:
      return less ? a : b;
    case Reduction::Max:
      return less ? b : a;
    case Reduction::And:
      return a & b;
    case Reduction::Or:
      return a | b;
    case Reduction::Xor:
      return a ^ b;
  }
  return a;
}

void combine_reduce(void* const* lanes) {
  const Reduced* first = nullptr;
  uint32_t total = 0;
  for (int l = 0; l < kLanes; ++l) {
    if (!lanes[l]) continue;
    const Reduced* lane = static_cast<Reduced*>(lanes[l]);
    total = first ? reduced(total, lane->value, lane->reduction, lane->is_signed) : lane->value;
    first = lane;
  }
  for (int l = 0; l < kLanes; ++l) {
    if (lanes[l]) static_cast<Reduced*>(lanes[l])->value = total;
  }
}

float bf16_half(uint32_t pair, int half) {
  const uint32_t bits = half ? pair & 0xFFFF0000u : pair << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

struct Mma {
  float* d;
  const uint32_t* a;
  const uint32_t* b;
};

void combine_mma(void* const* lanes) {
  float a[16][16];
  float b[16][8];
  for (int l = 0; l < kLanes; ++l) {
    const Mma& lane = *static_cast<Mma*>(lanes[l]);
    const int g = l / 4;
    const int t = l % 4;
    for (int half = 0; half < 2; ++half) {
      for (int i = 0; i < 4; ++i) {
        a[g + 8 * (i % 2)][2 * t + 8 * (i / 2) + half] = bf16_half(lane.a[i], half);
      }
      for (int i = 0; i < 2; ++i) b[2 * t + 8 * i + half][g] = bf16_half(lane.b[i], half);
    }
  }
  for (int l = 0; l < kLanes; ++l) {
    const Mma& lane = *static_cast<Mma*>(lanes[l]);
    for (int i = 0; i < 4; ++i) {
      const int row = l / 4 + 8 * (i / 2);
      const int column = 2 * (l % 4) + i % 2;
      float sum = lane.d[i];
      for (int k = 0; k < 16; ++k) sum += a[row][k] * b[k][column];
      lane.d[i] = sum;
    }
  }
}

struct LoadMatrix {
  uint32_t* fragment;
  const uint16_t* row;
  int count;
  bool transpose;
};

void combine_load_matrix(void* const* lanes) {
  for (int l = 0; l < kLanes; ++l) {
    const LoadMatrix& lane = *static_cast<LoadMatrix*>(lanes[l]);
    for (int i = 0; i < lane.count; ++i) {
      const auto element = [&](int row, int column) -> uint32_t {
        return static_cast<LoadMatrix*>(lanes[8 * i + row])->row[column];
      };
      const int row = l / 4;
      const int column = 2 * (l % 4);
      lane.fragment[i] = lane.transpose ? element(column, row) | element(column + 1, row) << 16
                                        : element(row, column) | element(row, column + 1) << 16;
    }
  }
}

}  // namespace

uint64_t shuffle(uint32_t mask, uint64_t bits, int source, Site site) {
  Shuffle lane{bits, source, false, 0};
  warp_collective(mask, &lane, &combine_shuffle, false, site);
  if (lane.absent) fail("a shuffle reads a lane outside of its mask", site);
  return lane.result;
}

uint32_t ballot(uint32_t mask, bool predicate, Site site) {
  Vote lane{predicate, 0};
  warp_collective(mask, &lane, &combine_vote, false, site);
  return lane.result;
}

void sync_warp(uint32_t mask, Site site) {
  char nothing = 0;
  warp_collective(mask, &nothing, &combine_nothing, true, site);
}

void sync_lanes(Site site) {
  char nothing = 0;
  warp_collective(kAllLanes, &nothing, &combine_nothing, false, site);
}

uint32_t reduce(uint32_t mask, uint32_t value, Reduction reduction, bool is_signed, Site site) {
  Reduced lane{value, reduction, is_signed};
  warp_collective(mask, &lane, &combine_reduce, false, site);
  return lane.value;
}

void mma_bf16_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site) {
  Mma lane{d, a, b};
  warp_collective(kAllLanes, &lane, &combine_mma, false, site);
}

void load_matrix(uint32_t* fragment, const uint16_t* row, int count, bool transpose, Site site) {
  LoadMatrix lane{fragment, row, count, transpose};
  warp_collective(kAllLanes, &lane, &combine_load_matrix, false, site);
}

}  // namespace emulator
