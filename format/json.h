#pragma once
// JSON (RFC 8259) as plain data, read strictly: UTF-8 without NUL or byte order mark, no key twice, no
// comments, nothing behind the value.

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "format/datum.h"

namespace vitrail::format {

// Memory for a document is at most a few dozen times its text.
struct JsonLimits {
  std::size_t bytes = std::size_t{64} << 20;
  std::size_t values = 1'000'000;  // keys too
  std::size_t depth = 64;
};

// Numbers that are exact integers of 64 bits become std::int64_t; all others, and "-0", a double. Throws
// FormatError.
Datum parse_json(std::string_view text, const JsonLimits& limits = {});
// The same of a file, which is named in errors. Throws FileError too.
Datum read_json(const std::filesystem::path& path, const JsonLimits& limits = {});

// `indent` spaces a level, or all in one line without spaces when it is negative. Reals are written with the
// fewest digits that read back to the same. Throws FormatError for what JSON has not: NaN, infinity, text
// that is no UTF-8. Keys must be texts, and nothing may be a tensor.
std::string to_json(const Datum& value, int indent = -1);

// A text in quotes.
std::string json_text(std::string_view text);

}  // namespace vitrail::format
