#pragma once
// The wire format of protobuf (protobuf.dev, "Encoding"), as far as it takes to find a message's fields
// without parsing them: so that the elements of tensors are never copied, and no hostile file is parsed into
// memory many times its size.

#include <cstdint>
#include <optional>

#include "format/bytes.h"

namespace vitrail::onnx_export {

struct WireField {
  std::uint32_t number = 0;
  bool delimited = false;  // a message, string, bytes or packed numbers
  format::Bytes whole;     // with its tag
  format::Bytes payload;   // of a delimited field
};

// The fields of a message one after the other. Throws FormatError where the bytes are no message.
class WireReader {
 public:
  explicit WireReader(format::Bytes message) : rest_(message) {}
  std::optional<WireField> next();

 private:
  std::uint64_t varint();
  format::Bytes take(std::uint64_t bytes);

  format::Bytes rest_;
};

}  // namespace vitrail::onnx_export
