#pragma once
// The exception of this layer: the caller gave operands, a device or a file that cannot be worked with.
// The text says what was expected and what was found. A bug of our own is an assert instead.

#include <stdexcept>
#include <string>

namespace vitrail {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace vitrail
