#include "warpgroup.h"

#include <cstring>
#include <limits>

#include "warp.h"

namespace emulator {

namespace {

constexpr int kDepth = 16;  // of one product

// Row (column) w of the operand at step k of the depth. Bits 4 to 6 of the plain layout's address
// are XORed with its bits 7 to 9, whatever it points into.
float number(const WarpgroupOperand& operand, int w, int k) {
  const size_t offset = operand.along_width ? size_t{operand.block} * static_cast<size_t>(w / 64) +
                                                  static_cast<size_t>(k * 128 + w % 64 * 2)
                                            : static_cast<size_t>(w * 128 + k * 2);
  const uintptr_t plain = reinterpret_cast<uintptr_t>(operand.start) + offset;
  const auto* place = reinterpret_cast<const uint16_t*>(plain ^ (plain >> 7 & 7) << 4);
  const uint32_t bits = uint32_t{*place} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// What a thread needs of both operands: the rows of its two lines of d, the columns of its pairs.
struct Needed {
  WarpgroupOperand a, b;
  int columns;
  int row;     // and row + 8
  int column;  // and column + 1, and 8 further ones each

  template <class F>
  void each(F&& f) const {
    for (int k = 0; k < kDepth; ++k) {
      const float left[2] = {number(a, row, k), number(a, row + 8, k)};
      for (int j = 0; j < columns / 8; ++j) {
        for (int pair = 0; pair < 2; ++pair) f(left, number(b, 8 * j + column + pair, k), j, pair);
      }
    }
  }

  uint64_t digest() const {
    uint64_t all = 14695981039346656037u;
    const auto add = [&](float x) {
      uint32_t bits;
      std::memcpy(&bits, &x, sizeof bits);
      all = (all ^ bits) * 1099511628211u;
    };
    each([&](const float(&left)[2], float right, int j, int pair) {
      if (j == 0 && pair == 0) {
        add(left[0]);
        add(left[1]);
      }
      add(right);
    });
    return all;
  }
};

}  // namespace

void wgmma(float* d, int columns, const WarpgroupOperand& a, const WarpgroupOperand& b, Site site) {
  WarpgroupThread& self = warpgroup_thread();
  if (!self.fenced) fail("wgmma without a wgmma_fence since the last group", site);
  if (unfenced_copies()) {
    fail("wgmma after copies to shared memory without fence_for_wgmma", site);
  }
  const unsigned thread = current.thread.x;
  const unsigned warp = thread / 32 % 4;
  const Needed needed{a, b, columns, static_cast<int>(16 * warp + current.lane / 4),
                      static_cast<int>(current.lane % 4 * 2)};
  std::shared_ptr<std::vector<float>> sums;
  for (const WarpgroupProduct& other : self.products) {
    if (other.d == d) sums = other.sums;
  }
  const size_t count = static_cast<size_t>(columns / 2);
  if (!sums) {
    sums = std::make_shared<std::vector<float>>(d, d + count);
    for (size_t i = 0; i < count; ++i) d[i] = std::numeric_limits<float>::quiet_NaN();
  }
  needed.each([&](const float(&left)[2], float right, int j, int pair) {
    for (int half = 0; half < 2; ++half) {
      (*sums)[static_cast<size_t>(4 * j + 2 * half + pair)] += left[half] * right;
    }
  });
  self.products.push_back(
      {d, sums, [needed] { return needed.digest(); }, needed.digest(), self.group, site});
}

void wgmma_fence(Site site) {
  if (current.block_dim.x % 128 != 0 || current.block_dim.y != 1 || current.block_dim.z != 1) {
    fail("wgmma in a block that is not made of warpgroups", site);
  }
  sync_lanes(site);
  warpgroup_thread().fenced = true;
}

void wgmma_commit() {
  WarpgroupThread& self = warpgroup_thread();
  ++self.group;
  self.fenced = false;
}

void wgmma_wait(int groups_in_flight, Site site) {
  WarpgroupThread& self = warpgroup_thread();
  const int last = self.group - groups_in_flight;  // groups before this one must be complete
  size_t done = 0;
  for (; done < self.products.size() && self.products[done].group < last; ++done) {
    const WarpgroupProduct& product = self.products[done];
    if (product.read() != product.digest) {
      fail("shared memory changed while the wgmma at line " + std::to_string(product.site.line()) +
               " read it",
           site);
    }
    bool more = false;
    for (size_t i = done + 1; i < self.products.size(); ++i) {
      more = more || self.products[i].d == product.d;
    }
    if (!more) std::copy(product.sums->begin(), product.sums->end(), product.d);
  }
  self.products.erase(self.products.begin(),
                      self.products.begin() + static_cast<std::ptrdiff_t>(done));
}

}  // namespace emulator
