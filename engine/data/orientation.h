#pragma once
// How a camera was held: the EXIF tag 0x0112 of JPEG and PNG files.

#include <cstdint>
#include <span>

#include "engine/data/image.h"

namespace vitrail {

// 1 to 8 from the first Exif APP1 segment (CIPA DC-008, section 4.6.4; TIFF 6.0, section 2). A file without
// the tag, and one whose EXIF data are damaged, are upright: 1.
int read_orientation(std::span<const std::uint8_t> jpeg);
// The same of TIFF data alone, as they are in PNG's eXIf chunk (PNG, third edition, section 11.3.4.5).
int read_tiff_orientation(std::span<const std::uint8_t> tiff);

// The image turned and mirrored so that it stands upright.
Image apply_orientation(Image image, int orientation);

}  // namespace vitrail
