// libFuzzer target (fuzz.cmake): what the engine reads out of the sections of a model or checkpoint.

#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "engine/error.h"
#include "engine/model_io.h"
#include "engine/trainer.h"
#include "tests/support/format_mutator.h"

namespace {

using vitrail::test::ByteVector;

// The engine opens files by name: this one lies in memory.
class File {
 public:
  File()
      : descriptor_(::memfd_create("fuzz", MFD_CLOEXEC)),
        path_("/proc/self/fd/" + std::to_string(descriptor_)) {}
  const std::string& with(const ByteVector& bytes) {
    (void)!::ftruncate(descriptor_, 0);
    (void)!::pwrite(descriptor_, bytes.data(), bytes.size(), 0);
    return path_;
  }

 private:
  int descriptor_;
  std::string path_;
};

template <class Call>
void allow_refusal(const Call& call) {
  try {
    call();
  } catch (const vitrail::format::FormatError&) {
  } catch (const vitrail::Error&) {  // a setting or shape that makes no network
  }
}

}  // namespace

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  const ByteVector mutant = vitrail::test::mutant({bytes, bytes + size}, seed);
  if (mutant.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::copy(mutant.begin(), mutant.end(), reinterpret_cast<std::byte*>(data));
  return mutant.size();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static File file;
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  const std::string& path = file.with({bytes, bytes + size});
  allow_refusal([&] { (void)vitrail::get_model_info(path); });
  allow_refusal([&] { (void)vitrail::read_train_config(path); });
  return 0;
}
