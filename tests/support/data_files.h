#pragma once
// Files for the tests of engine/data: the fixtures, and folders that vanish.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/data/image.h"

namespace vitrail::test {

using Bytes = std::vector<std::uint8_t>;

// Throws when there is no such file: a test of what an absent fixture holds would say nothing.
inline Bytes read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("no file " + path.string());
  return Bytes(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

inline void write_bytes(const std::filesystem::path& path, std::span<const std::uint8_t> bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), std::ssize(bytes));
}

inline std::filesystem::path fixture(const std::string& name) {
  return std::filesystem::path(__FILE__).parent_path().parent_path() / "engine" / "data" / "fixtures" / name;
}

// The noise of make_fixtures.py.
inline Image noise(std::int64_t width, std::int64_t height, std::int64_t channels, std::uint32_t seed) {
  Image image{.width = width, .height = height, .channels = channels, .pixels = {}};
  for (std::int64_t i = 0; i < width * height * channels; ++i) {
    seed = seed * 1664525u + 1013904223u;
    image.pixels.push_back(static_cast<std::uint8_t>(seed >> 24));
  }
  return image;
}

// Records of make_fixtures.py: integers, then bytes.
class Records {
 public:
  explicit Records(const std::string& name) : bytes_(read_bytes(fixture(name))) {}

  bool done() const { return at_ == bytes_.size(); }

  std::int64_t number() {
    std::int32_t value = 0;
    for (int i = 3; i >= 0; --i)
      value = value << 8 | bytes_.at(at_ + static_cast<std::size_t>(i));
    at_ += 4;
    return value;
  }

  Bytes take(std::int64_t count) {
    Bytes taken;
    while (count-- > 0)
      taken.push_back(bytes_.at(at_++));
    return taken;
  }

 private:
  Bytes bytes_;
  std::size_t at_ = 0;
};

}  // namespace vitrail::test
