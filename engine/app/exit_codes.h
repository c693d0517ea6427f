#pragma once
// How the program ends, in a number that scripts may rely on, and in words.

#include <exception>
#include <string>

#include "kernels/error.h"

namespace vitrail::app {

enum class ExitCode : int {
  done = 0,
  failed = 1,
  different = 1,  // of `vitrail diff`, as is the custom
  usage = 2,      // a flag, a setting or a combination of them
  data = 3,       // images or labels missing or unreadable
  damaged = 4,    // a .vitrail file is damaged or none
  memory = 5,     // not enough
  diverged = 6,   // the loss became NaN or infinite
  device = 7,     // the device asked for cannot be used
  resumable = 75  // stopped by a signal, and `vitrail resume` goes on
};

// The device asked for is not there.
class DeviceError : public Error {
 public:
  using Error::Error;
};

struct Failure {
  ExitCode code = ExitCode::failed;
  std::string error;  // what was expected and found
  std::string help;   // what to do; may be empty
};

Failure describe(const std::exception& error);

}  // namespace vitrail::app
