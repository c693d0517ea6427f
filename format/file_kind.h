#pragma once

#include <cstdint>

namespace vitrail::format {

enum class FileKind : std::uint32_t { weights = 1, model = 2, checkpoint = 3, shard = 4, shard_index = 5 };

const char* name_of(FileKind kind);  // "weights", …

}  // namespace vitrail::format
