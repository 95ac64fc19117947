#pragma once

#include <array>
#include <cstdint>

namespace countenance {

// Where a pixel of the result comes from: with (x, y) the centre of an output pixel, counted from
// the image's corner (the first pixel's centre is at 0.5),
//   in_x = m[0] x + m[1] y + m[2],   in_y = m[3] x + m[4] y + m[5]
using AffineMap = std::array<double, 6>;

// out (size, size, 3) from in (height, width, 3), uint8. Bilinear; where the map shrinks, the mean
// of as many bilinear samples as there are input pixels between two output pixels, to prevent
// aliasing. Outside the input everything is black, as in ArcFace's alignment.
// Sides 1..kMaxImageSide (core/resize.h), a finite map: otherwise ERR_INVALID_ARGUMENT.
void warp_affine(uint8_t* out, int64_t size, const uint8_t* in, int64_t width, int64_t height,
                 const AffineMap& map);

}  // namespace countenance
