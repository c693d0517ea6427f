#include "engine/data/gzip.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <limits>
#include <new>

#include "engine/error.h"

namespace vitrail {
namespace {

// zlib's stream, over input and output of any length.
class Inflater {
 public:
  explicit Inflater(std::span<const std::uint8_t> bytes) : input_(bytes) {
    if (inflateInit2(&stream_, 16 + MAX_WBITS) != Z_OK) throw std::bad_alloc();  // 16: gzip only
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // How many bytes of `out` were filled: fewer than all only when the data end, or are cut off.
  std::size_t read(std::span<std::uint8_t> out) {
    std::size_t filled = 0;
    while (filled < out.size() && !ended_ && step(out.subspan(filled), filled)) {
    }
    return filled;
  }

  bool ended() const { return ended_; }
  std::size_t left_over() const { return input_.size(); }

 private:
  static constexpr std::size_t kStep = std::numeric_limits<uInt>::max();

  // False when nothing could be done: there is no more input.
  bool step(std::span<std::uint8_t> out, std::size_t& filled) {
    const auto in_size = static_cast<uInt>(std::min(input_.size(), kStep));
    const auto out_size = static_cast<uInt>(std::min(out.size(), kStep));
    stream_.next_in = const_cast<Bytef*>(input_.data());  // zlib's z_const is off by default; it only reads
    stream_.avail_in = in_size;
    stream_.next_out = out.data();
    stream_.avail_out = out_size;
    const int result = inflate(&stream_, Z_NO_FLUSH);
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
      throw DataError(
          fmt::format("damaged gzip data: {}", stream_.msg != nullptr ? stream_.msg : zError(result)));
    ended_ = result == Z_STREAM_END;
    input_ = input_.subspan(in_size - stream_.avail_in);
    filled += out_size - stream_.avail_out;
    return result != Z_BUF_ERROR;
  }

  z_stream stream_{};
  std::span<const std::uint8_t> input_;
  bool ended_ = false;
};

}  // namespace

bool is_gzip(std::span<const std::uint8_t> bytes) {
  return bytes.size() >= 2 && bytes[0] == 0x1F && bytes[1] == 0x8B;
}

std::vector<std::uint8_t> gunzip_head(std::span<const std::uint8_t> bytes, std::size_t size) {
  std::vector<std::uint8_t> out(size);
  out.resize(Inflater(bytes).read(out));
  return out;
}

std::vector<std::uint8_t> gunzip(std::span<const std::uint8_t> bytes, std::size_t size) {
  constexpr std::size_t kMaxRatio = 1032;  // deflate's: 258 bytes by two bits
  if (size / kMaxRatio > bytes.size())
    throw DataError(fmt::format("{} bytes cannot be packed in {} of gzip", size, bytes.size()));
  std::vector<std::uint8_t> out(size);
  Inflater inflater(bytes);
  const std::size_t found = inflater.read(out);
  std::uint8_t extra = 0;  // reading on past the end also checks the CRC and the length at it
  const std::size_t more = inflater.read(std::span(&extra, 1));
  if (more > 0) throw DataError(fmt::format("expected {} bytes when unpacked, found more", size));
  if (!inflater.ended()) throw DataError(fmt::format("the gzip data are cut off after {} bytes", found));
  if (found < size) throw DataError(fmt::format("expected {} bytes when unpacked, found {}", size, found));
  if (inflater.left_over() > 0)
    throw DataError(fmt::format("{} bytes behind the end of the gzip data", inflater.left_over()));
  return out;
}

}  // namespace vitrail
