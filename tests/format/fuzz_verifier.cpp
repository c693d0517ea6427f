// libFuzzer target (fuzz.cmake): the verifier alone, on files as they come and with their checksums repaired.
// It may neither allocate nor throw.

#include <cstdlib>
#include <new>

#include "format/verify.h"
#include "tests/support/format_mutator.h"

namespace {

using vitrail::test::ByteVector;

bool verifying = false;

void verify(const ByteVector& file) {
  verifying = true;
  (void)vitrail::format::verify_file(file);
  verifying = false;
}

}  // namespace

void* operator new(std::size_t bytes) {
  if (verifying) std::abort();
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  ByteVector file(bytes, bytes + size);
  verify(file);
  vitrail::test::repair(file);
  verify(file);
  return 0;
}
