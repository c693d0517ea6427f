#pragma once
// safetensors files put together by hand, right and wrong.

#include <string>
#include <string_view>

#include "format/error.h"
#include "format/safetensors.h"

namespace vitrail::test {

// A header as it is given, its length, and data.
inline std::string safetensors_of(std::string_view header, std::string_view data = {}) {
  std::string file(8, '\0');
  for (std::size_t i = 0; i < 8; ++i)
    file[i] = static_cast<char>(std::uint64_t{header.size()} >> 8 * i);
  return file.append(header).append(data);
}

inline std::string with_length(std::string file, std::uint64_t length) {
  for (std::size_t i = 0; i < 8; ++i)
    file[i] = static_cast<char>(length >> 8 * i);
  return file;
}

// Why it is refused, or nothing.
inline std::string safetensors_refusal(std::string_view file) {
  try {
    (void)format::SafetensorsFile::open(std::as_bytes(std::span(file)), "x");
    return "";
  } catch (const format::FormatError& error) {
    return error.what();
  }
}

struct BadSafetensors {
  const char* name;  // of a file
  std::string file;
  const char* reason;  // part of the refusal
};

// Each refused by us; those that the reference accepts are marked in their names by "lax-".
std::vector<BadSafetensors> bad_safetensors();

}  // namespace vitrail::test
