#pragma once
// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF; and no NUL.

#include "format/bytes.h"

namespace vitrail::format {

inline bool is_text(Bytes bytes) {
  std::size_t i = 0;
  const auto at = [&](std::size_t k) { return std::to_integer<unsigned>(bytes[k]); };
  while (i < bytes.size()) {
    const unsigned lead = at(i);
    if (lead == 0) return false;
    const std::size_t more = lead < 0x80                   ? 0
                             : lead >= 0xC2 && lead < 0xE0 ? 1
                             : (lead & 0xF0) == 0xE0       ? 2
                             : lead >= 0xF0 && lead < 0xF5 ? 3
                                                           : 4;
    if (more == 4 || bytes.size() - i <= more) return false;
    for (std::size_t k = 1; k <= more; ++k) {
      if ((at(i + k) & 0xC0) != 0x80) return false;
    }
    if (lead == 0xE0 && at(i + 1) < 0xA0) return false;
    if (lead == 0xED && at(i + 1) > 0x9F) return false;
    if (lead == 0xF0 && at(i + 1) < 0x90) return false;
    if (lead == 0xF4 && at(i + 1) > 0x8F) return false;
    i += more + 1;
  }
  return true;
}

}  // namespace vitrail::format
