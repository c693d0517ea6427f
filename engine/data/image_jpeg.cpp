// JPEG through TurboJPEG.

#include <fmt/format.h>
#include <turbojpeg.h>

#include <memory>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

#include "engine/data/image_formats.h"
#include "engine/data/orientation.h"
#include "engine/error.h"

namespace vitrail {
namespace {

struct DestroyHandle {
  void operator()(void* handle) const { tjDestroy(handle); }
};
using Handle = std::unique_ptr<std::remove_pointer_t<tjhandle>, DestroyHandle>;

// One decompressor a thread, kept: to make one costs as much as to decode a small image.
Handle& thread_handle() {
  thread_local Handle handle;
  return handle;
}

tjhandle decompressor() {
  Handle& handle = thread_handle();
  if (!handle) handle.reset(tjInitDecompress());
  if (!handle) throw std::bad_alloc();
  return handle.get();
}

// The decompressor goes too: after an error inside a file's tables it would misread the next file.
[[noreturn]] void fail() {
  const std::string reason = tjGetErrorStr2(thread_handle().get());
  thread_handle().reset();
  throw DataError(fmt::format("broken JPEG: {}", reason));
}

struct JpegHeader {
  int width = 0, height = 0, subsampling = 0, colour_space = 0;
};

JpegHeader read_header(tjhandle handle, std::span<const std::uint8_t> bytes) {
  JpegHeader header;
  if (tjDecompressHeader3(handle, bytes.data(), bytes.size(), &header.width, &header.height,
                          &header.subsampling, &header.colour_space) != 0)
    fail();
  check_extents(header.width, header.height);
  if (header.colour_space == TJCS_CMYK || header.colour_space == TJCS_YCCK)
    throw DataError("a CMYK JPEG, whose colours depend on a printer's profile: save it as RGB or grey");
  return header;
}

}  // namespace

bool is_jpeg(std::span<const std::uint8_t> bytes) {
  return bytes.size() >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF;
}

ImageHeader jpeg_header(std::span<const std::uint8_t> bytes) {
  const JpegHeader header = read_header(decompressor(), bytes);
  const bool swap = read_orientation(bytes) >= 5;
  return {.width = swap ? header.height : header.width,
          .height = swap ? header.width : header.height,
          .grey = header.colour_space == TJCS_GRAY};
}

Image decode_jpeg(std::span<const std::uint8_t> bytes) {
  tjhandle handle = decompressor();
  const JpegHeader header = read_header(handle, bytes);
  const bool grey = header.colour_space == TJCS_GRAY;
  Image image{.width = header.width, .height = header.height, .channels = grey ? 1 : 3, .pixels = {}};
  image.pixels.resize(static_cast<std::size_t>(image.width * image.height * image.channels));
  // A cut-off or damaged file is a warning to the library, which would go on and leave grey blocks: it shall
  // stop.
  if (tjDecompress2(handle, bytes.data(), bytes.size(), image.pixels.data(), header.width, 0, header.height,
                    grey ? TJPF_GRAY : TJPF_RGB, TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS) != 0)
    fail();
  return apply_orientation(std::move(image), read_orientation(bytes));
}

}  // namespace vitrail
