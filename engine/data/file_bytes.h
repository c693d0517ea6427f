#pragma once
// A whole file in memory.

#include <cstdint>
#include <filesystem>
#include <vector>

namespace vitrail {

// Throws DataError naming the file and the reason.
std::vector<std::uint8_t> read_file(const std::filesystem::path& path);

// The first bytes of a file, at most `limit` of them.
std::vector<std::uint8_t> read_head(const std::filesystem::path& path, std::size_t limit);

}  // namespace vitrail
