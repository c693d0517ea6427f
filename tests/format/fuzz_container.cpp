// libFuzzer entry point (option VITRAIL_FUZZ, clang). The first byte of an input chooses the door; behind
// every one of them the only thing allowed to happen, besides success, is a FormatError.

#include <cstdlib>

#include "tests/support/format_file.h"

namespace vitrail {
namespace {

using format::Bytes;
using test::ByteVector;

void open_and_verify(const ByteVector& file) {
  try {
    const format::Container container = format::Container::open(file, "fuzz");
    for (const format::TensorRecord& tensor : container.tensors()) {
      if (container.find(tensor.role, tensor.name) != &tensor) std::abort();
    }
    container.verify_all();
  } catch (const format::FormatError&) {
  }
}

// Canonical: a block that is accepted is the only encoding of its tree.
void decode(Bytes block) {
  try {
    const format::Table table = format::decode_message(block);
    const ByteVector again = format::encode_message(table);
    if (!std::equal(again.begin(), again.end(), block.begin(), block.end())) std::abort();
  } catch (const format::FormatError&) {
  }
}

// The input as changes of two bytes offset and one byte value, to a valid file with its checksums made right.
void open_changed(Bytes changes) {
  static const ByteVector kWhole = test::tiny_file();
  ByteVector file = kWhole;
  for (; changes.size() >= 3; changes = changes.subspan(3)) {
    file[format::get<std::uint16_t>(changes, 0) % file.size()] = changes[2];
  }
  test::seal(file);
  open_and_verify(file);
}

void run(Bytes input) {
  if (input.empty()) return;
  const int door = std::to_integer<int>(input[0]) % 4;
  const Bytes rest = input.subspan(1);
  const ByteVector copy(rest.begin(), rest.end());
  if (door == 0) open_and_verify(copy);
  if (door == 1) decode(copy);
  if (door == 2) open_changed(copy);
  if (door == 3) {
    ByteVector block = copy;
    block.resize(format::align(block.size(), 8));
    open_and_verify(test::file_with_metadata(block));
  }
}

}  // namespace
}  // namespace vitrail

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vitrail::run(std::as_bytes(std::span(data, size)));
  return 0;
}
