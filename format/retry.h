#pragma once
// Calls that a signal may interrupt.

#include <cerrno>

namespace vitrail::format {

// Repeats `call` while it is interrupted; gives up in the end, because something that interrupts for ever
// must not become a hang.
template <class Call>
auto uninterrupted(Call&& call) {
  auto result = call();
  for (int tries = 1; result == -EINTR && tries < 100; ++tries)
    result = call();
  return result;
}

}  // namespace vitrail::format
