#pragma once
// What can go wrong above the kernels, by who can mend it; each kind has an exit code in docs/usage.md.

#include "kernels/error.h"

namespace vitrail {

// A key, a value or a combination of them that cannot be worked with. Exit code 2.
class ConfigError : public Error {
 public:
  using Error::Error;
};

// Images or labels that are missing or cannot be read. Exit code 3.
class DataError : public Error {
 public:
  using Error::Error;
};

// The loss became NaN or infinite. Exit code 6.
class DivergedError : public Error {
 public:
  using Error::Error;
};

}  // namespace vitrail
