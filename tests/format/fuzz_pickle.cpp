// libFuzzer target (fuzz.cmake): `.pt` files as they are; zip archives with their checksums repaired; and
// bare pickles, put into a file with two storages. Besides success, only a FormatError may happen.

#include <cstdint>
#include <cstdlib>
#include <string>

#include "format/pickle.h"
#include "format/pickle_writer.h"
#include "format/torch_file.h"
#include "format/zip.h"

namespace {

using namespace vitrail::format;

// Every tensor is as large as its shape says and can be read; the tree is written and read again.
void check_promises(Bytes file) {
  const TorchFile torch = TorchFile::open(file, "fuzzed");
  unsigned sum = 0;
  for (const TensorRecord& tensor : torch.tensors()) {
    std::uint64_t bytes = static_cast<std::uint64_t>(*bits_of(tensor.type)) / 8;
    for (const std::int64_t extent : tensor.shape)
      bytes *= static_cast<std::uint64_t>(extent);
    if (bytes != tensor.bytes.size()) std::abort();
    for (const std::byte byte : tensor.bytes)
      sum += std::to_integer<unsigned>(byte);
  }
  if (sum == ~0U) std::abort();
  const std::vector<std::byte> pickle = write_pickle(torch.root(), [&](std::size_t i) -> TensorInStorage {
    const TensorRecord& tensor = torch.tensors()[i];
    return {tensor.type, tensor.shape, i, tensor.bytes.size()};
  });
  if (read_pickle(pickle, "again").places.size() != torch.tensors().size()) std::abort();
}

void try_file(Bytes file) {
  try {
    check_promises(file);
  } catch (const FormatError&) {
  }
}

template <class Fill>
void try_archive(Fill&& fill) {
  std::vector<std::byte> file;
  ZipWriter zip([&](Bytes part) { file.insert(file.end(), part.begin(), part.end()); });
  fill(zip);
  zip.finish();
  try_file(file);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes bytes = std::as_bytes(std::span(data, size));
  try_file(bytes);
  if (size > 2 && data[0] == 'P') {
    try {
      const ZipReader damaged(bytes);
      try_archive([&](ZipWriter& zip) {
        for (const ZipEntry& entry : damaged.entries())
          zip.add(entry.name, entry.deflated ? Bytes{} : damaged.stored(entry));
      });
    } catch (const FormatError&) {
    }
  } else {
    const std::vector<std::byte> storage(24, std::byte{1});
    try_archive([&](ZipWriter& zip) {
      zip.add("a/data.pkl", bytes);
      zip.add("a/data/0", storage);
      zip.add("a/data/1", Bytes(storage).first(8));
      zip.add("a/version", std::as_bytes(std::span("3", 1)));
    });
  }
  return 0;
}
