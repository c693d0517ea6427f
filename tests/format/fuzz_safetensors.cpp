// libFuzzer target (fuzz.cmake): a safetensors file is refused with a FormatError, or its tensors and
// metadata lie inside it.

#include <cstdint>
#include <cstdlib>

#include "format/error.h"
#include "format/layout.h"
#include "format/safetensors.h"

namespace {

using namespace vitrail::format;

// Every byte of what was accepted.
unsigned touch(const SafetensorsFile& file) {
  unsigned sum = 0;
  for (const TensorRecord& tensor : file.tensors()) {
    if (tensor_bytes(tensor.type, tensor.shape) != tensor.bytes.size()) std::abort();
    for (const std::byte b : tensor.bytes)
      sum += std::to_integer<unsigned>(b);
  }
  for (const auto& [key, value] : file.metadata())
    sum += static_cast<unsigned>(key.size() + value.size());
  return sum;
}

void read(Bytes bytes) try {
  const SafetensorsFile file = SafetensorsFile::open(bytes, "x");
  volatile unsigned sum = touch(file);
  (void)sum;
  file.verify();
} catch (const FormatError&) {
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  read({bytes, size});
  // And as a header whose length is right, with 16 bytes of data.
  std::vector<std::byte> file(8);
  put(std::span(file), 0, std::uint64_t{size});
  file.insert(file.end(), bytes, bytes + size);
  file.resize(file.size() + 16);
  read(file);
  return 0;
}
