#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>

#include "core/error.h"

namespace countenance {

// Up to five dimensions, outermost first. Activations are NHWC: (B, H, W, C), tokens (B, H, W, C)
// too, features (B, D).
class Shape {
 public:
  static constexpr int kMaxRank = 5;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) {
    for (int64_t d : dims) append(d);
  }

  void append(int64_t dim) {
    ensure(rank_ < kMaxRank, "a shape has at most ", kMaxRank, " dimensions");
    require(dim >= 0, "Expected a dimension of at least 0 but received ", dim);
    dims_[static_cast<size_t>(rank_++)] = dim;
  }

  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[static_cast<size_t>(i < 0 ? rank_ + i : i)]; }
  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }

  int64_t elements() const {
    int64_t n = 1;
    for (int64_t d : *this) n *= d;
    return n;
  }
  // Product of all dimensions but the last: the number of rows of C channels.
  int64_t rows() const {
    return rank_ == 0 ? 1 : elements() / (operator[](-1) ? operator[](-1) : 1);
  }
  int64_t channels() const { return operator[](-1); }

  bool operator==(const Shape& other) const {
    if (rank_ != other.rank_) return false;
    for (int i = 0; i < rank_; ++i) {
      if ((*this)[i] != other[i]) return false;
    }
    return true;
  }

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

inline std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << '(';
  for (int i = 0; i < shape.rank(); ++i) out << (i ? ", " : "") << shape[i];
  return out << ')';
}

}  // namespace countenance
