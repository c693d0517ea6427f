// libFuzzer target (fuzz.cmake): an archive of arrays, and the head of a single array, are refused with a
// FormatError or have all their elements.

#include <cstdint>
#include <cstdlib>

#include "format/error.h"
#include "format/layout.h"
#include "format/npy_header.h"
#include "format/npz.h"
#include "format/zip.h"

namespace {

using namespace vitrail::format;

void read(Bytes bytes) try {
  const NpzFile file = NpzFile::open(bytes, "x");
  volatile unsigned sum = 0;
  for (const TensorRecord& tensor : file.tensors()) {
    if (tensor_bytes(tensor.type, tensor.shape) != tensor.bytes.size()) std::abort();
    for (const std::byte b : tensor.bytes)
      sum = sum + std::to_integer<unsigned>(b);
  }
} catch (const FormatError&) {
}

void read_array(Bytes bytes) try { (void)parse_npy_header(bytes); } catch (const FormatError&) {
}

// The bytes as the content of a stored entry, so that the fuzzer need not find its CRC.
void read_in_archive(Bytes bytes) {
  std::vector<std::byte> archive;
  ZipWriter writer([&](Bytes part) { archive.insert(archive.end(), part.begin(), part.end()); });
  writer.add("x.npy", bytes);
  writer.finish();
  read(archive);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes bytes(reinterpret_cast<const std::byte*>(data), size);
  read(bytes);
  read_array(bytes);
  read_in_archive(bytes);
  return 0;
}
