#pragma once
// The header of a safetensors file: eight bytes of length, a JSON object, and where each tensor's bytes stand
// behind it.

#include <map>
#include <string>
#include <vector>

#include "format/bytes.h"
#include "format/json.h"
#include "format/tensor_record.h"

namespace vitrail::format {

inline constexpr std::uint64_t kMaxSafetensorsHeader = 100'000'000;  // as in the reference
inline constexpr JsonLimits kSafetensorsJson{
    .bytes = kMaxSafetensorsHeader, .values = std::size_t{1} << 22, .depth = 8};

// Keys of __metadata__ that are ours: tied weights, and the hash of all tensors.
inline constexpr const char* kAliasesKey = "vitrail.aliases";
inline constexpr const char* kContentIdKey = "vitrail.content_id";

struct SafetensorsEntry {
  std::string name;
  ElementType type = ElementType::f32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0, end = 0;  // in the data
};

struct SafetensorsHeader {
  std::uint64_t data_begin = 0;           // in the file
  std::vector<SafetensorsEntry> entries;  // in the order of their names
  std::map<std::string, std::string> metadata;
};

// Checks all that the header says against itself and the length of the file. Throws FormatError.
SafetensorsHeader parse_safetensors_header(Bytes file);

}  // namespace vitrail::format
