// libFuzzer target (fuzz.cmake): JSON is refused with a FormatError, or what was read is written and read to
// the same.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "format/error.h"
#include "format/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vitrail::format;
  try {
    const Datum value = parse_json({reinterpret_cast<const char*>(data), size}, {.values = 10'000});
    const std::string text = to_json(value);
    if (to_json(parse_json(to_json(value, 2))) != text) std::abort();
  } catch (const FormatError&) {
  }
  return 0;
}
