// libFuzzer target (fuzz.cmake): the metadata block, alone. Of a whole file, which the seeds are, its block.

#include <cstdio>
#include <cstdlib>

#include "format/layout.h"
#include "tests/support/format_mutator.h"

namespace {

using vitrail::format::Bytes;

std::vector<std::byte> block_of(const std::uint8_t* data, std::size_t size) {
  Bytes bytes = std::as_bytes(std::span(data, size));
  if (size > 192 && std::equal(data, data + 8, vitrail::format::kMagic)) {
    const auto meta_bytes = vitrail::format::get<std::uint64_t>(bytes, 32);
    bytes = bytes.subspan(128, std::min<std::uint64_t>(meta_bytes, size - 192));
  }
  return {bytes.begin(), bytes.end()};
}

}  // namespace

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  const std::vector<std::byte> mutant = vitrail::test::mutant_block(block_of(data, size), seed);
  if (seed % 4 == 0 || mutant.size() > max_size || mutant.empty())
    return LLVMFuzzerMutate(data, size, max_size);
  std::copy(mutant.begin(), mutant.end(), reinterpret_cast<std::byte*>(data));
  return mutant.size();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    vitrail::test::check_message_promises(block_of(data, size));
  } catch (const std::logic_error& broken) {
    std::fprintf(stderr, "%s\n", broken.what());
    std::abort();
  }
  return 0;
}
