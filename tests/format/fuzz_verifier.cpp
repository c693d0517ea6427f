// libFuzzer target (fuzz.cmake): the verifier alone, on files as they come and with their checksums repaired.
// It may neither allocate nor throw.

#include <sanitizer/allocator_interface.h>

#include <cstdlib>

#include "format/verify.h"
#include "tests/support/format_mutator.h"

namespace {

using vitrail::test::ByteVector;

bool verifying = false;

void on_allocation(const volatile void*, std::size_t) {
  if (verifying) std::abort();
}
void on_release(const volatile void*) {}

void verify(const ByteVector& file) {
  verifying = true;
  (void)vitrail::format::verify_file(file);
  verifying = false;
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  __sanitizer_install_malloc_and_free_hooks(on_allocation, on_release);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  ByteVector file(bytes, bytes + size);
  verify(file);
  vitrail::test::repair(file);
  verify(file);
  return 0;
}
