#include "onnx_export/wire.h"

#include <fmt/format.h>

#include "format/error.h"

namespace vitrail::onnx_export {
namespace {

[[noreturn]] void refuse(const char* what) {
  throw format::FormatError(fmt::format("no ONNX file, or a damaged one: {}", what));
}

enum : std::uint32_t { kVarint = 0, kEight = 1, kDelimited = 2, kFour = 5 };

}  // namespace

std::uint64_t WireReader::varint() {
  std::uint64_t number = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const auto byte = static_cast<std::uint64_t>(take(1)[0]);
    number |= (byte & 0x7F) << shift;
    if (byte < 0x80) return number;
  }
  refuse("a number does not end");
}

format::Bytes WireReader::take(std::uint64_t bytes) {
  if (bytes > rest_.size()) refuse("a field reaches behind the end of what holds it");
  const format::Bytes taken = rest_.first(static_cast<std::size_t>(bytes));
  rest_ = rest_.subspan(static_cast<std::size_t>(bytes));
  return taken;
}

std::optional<WireField> WireReader::next() {
  if (rest_.empty()) return std::nullopt;
  const format::Bytes from = rest_;
  const std::uint64_t tag = varint();
  if (tag >> 3 == 0 || tag >> 32 != 0) refuse("a field has a number that none can have");
  WireField field{
      .number = static_cast<std::uint32_t>(tag >> 3), .delimited = false, .whole = {}, .payload = {}};
  switch (tag & 7) {
    case kVarint:
      (void)varint();
      break;
    case kEight:
      (void)take(8);
      break;
    case kFour:
      (void)take(4);
      break;
    case kDelimited:
      field.delimited = true;
      field.payload = take(varint());
      break;
    default:
      refuse("a field has a kind that none can have");
  }
  field.whole = from.first(from.size() - rest_.size());
  return field;
}

}  // namespace vitrail::onnx_export
