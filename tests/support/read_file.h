#pragma once
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace vitrail::test {

// All bytes of a file; none when there is none.
inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace vitrail::test
