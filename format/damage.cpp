#include "format/damage.h"

#include <fmt/format.h>

namespace vitrail::format {

std::string Damage::text() const {
  if (rule == Rule::V41) return fmt::format("padding at bytes {} to {}: expected zero bytes", begin, end - 1);
  const std::string where = fmt::format("tensor '{}' (role {})", tensor, static_cast<int>(role));
  if (rule == Rule::V42)
    return fmt::format("{}: expected bools of 0 or 1, found another value at element {}", where,
                       first_element);
  const std::string hashes = fmt::format("expected hash {}, found {}", to_hex(expected), to_hex(found));
  if (chunk_list) return fmt::format("{} is damaged in its list of chunks: {}", where, hashes);
  const std::string place =
      chunk < 0 ? "" : fmt::format(" in chunk {} (elements {} to {})", chunk, first_element, end_element - 1);
  return fmt::format("{} is damaged{}: {}", where, place, hashes);
}

}  // namespace vitrail::format
