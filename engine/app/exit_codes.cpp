#include "engine/app/exit_codes.h"

#include <new>
#include <string_view>

#include "engine/error.h"
#include "format/error.h"

namespace vitrail::app {
namespace {

ExitCode code_of(const std::exception& error) {
  if (dynamic_cast<const ConfigError*>(&error) != nullptr) return ExitCode::usage;
  if (dynamic_cast<const DataError*>(&error) != nullptr) return ExitCode::data;
  if (dynamic_cast<const format::FormatError*>(&error) != nullptr) return ExitCode::damaged;
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return ExitCode::memory;
  if (dynamic_cast<const DivergedError*>(&error) != nullptr) return ExitCode::diverged;
  if (dynamic_cast<const DeviceError*>(&error) != nullptr) return ExitCode::device;
  return ExitCode::failed;
}

// What follows the last "; " of a message when it tells the reader what to do.
constexpr std::string_view kAdvice[] = {"; did you mean ", "; try ",     "; use ",
                                        "; go on with ",   "; install ", "; see "};

}  // namespace

Failure describe(const std::exception& error) {
  Failure failure{.code = code_of(error), .error = error.what(), .help = {}};
  if (failure.code == ExitCode::memory) {
    failure.error = "not enough memory";
    failure.help =
        "use accumulate=auto, which cuts a batch into parts that fit, memory.recompute=block, or a lower "
        "batch";
    return failure;
  }
  for (const std::string_view advice : kAdvice) {
    const std::size_t at = failure.error.find(advice);
    if (at == std::string::npos) continue;
    failure.help = failure.error.substr(at + 2);
    failure.error.resize(at);
    break;
  }
  return failure;
}

}  // namespace vitrail::app
