#include "engine/data/file_bytes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "engine/error.h"

namespace vitrail {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& reason) {
  throw DataError(fmt::format("cannot read '{}': {}", path.string(), reason));
}

std::string reason_of(const std::error_code& error) {
  return error.message();
}

std::string last_reason() {
  return errno != 0 ? std::strerror(errno) : "the read failed";
}

}  // namespace

std::vector<std::uint8_t> read_head(const std::filesystem::path& path, std::size_t limit) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) fail(path, reason_of(error));
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(path, last_reason());
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(std::min<std::uintmax_t>(size, limit)));
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (file.gcount() != static_cast<std::streamsize>(bytes.size())) fail(path, last_reason());
  return bytes;
}

std::vector<std::uint8_t> read_file(const std::filesystem::path& path) {
  return read_head(path, SIZE_MAX);
}

}  // namespace vitrail
