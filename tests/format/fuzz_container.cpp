// libFuzzer target (fuzz.cmake): whole files. Mutants are changed as trees and get their checksums repaired;
// besides success, only a FormatError may happen.

#include <cstdio>
#include <cstdlib>

#include "tests/support/format_mutator.h"

namespace {

std::vector<std::byte> copy(const std::uint8_t* data, std::size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  return {bytes, bytes + size};
}

}  // namespace

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  if (seed % 8 == 0) return LLVMFuzzerMutate(data, size, max_size);
  const std::vector<std::byte> mutant = vitrail::test::mutant(copy(data, size), seed);
  if (mutant.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::copy(mutant.begin(), mutant.end(), reinterpret_cast<std::byte*>(data));
  return mutant.size();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    vitrail::test::check_promises(copy(data, size));
  } catch (const std::logic_error& broken) {
    std::fprintf(stderr, "%s\n", broken.what());
    std::abort();
  }
  return 0;
}
