// Ours of what check_weight_formats.py compares with the safetensors package and NumPy.
//   weight_formats write FOLDER   files that we write, and those that we refuse, into FOLDER/bad
//   weight_formats read           of each path on standard input one line of JSON: its tensors, or why it is
//   refused

#include <fmt/format.h>

#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "format/file.h"
#include "format/hash.h"
#include "format/layout.h"
#include "format/npz.h"
#include "format/safetensors.h"
#include "format/safetensors_types.h"
#include "tests/support/safetensors_bytes.h"

namespace vitrail::format {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::vector<std::byte> some_bytes(std::size_t size) {
  std::vector<std::byte> bytes(size);
  std::uint32_t random = 1;
  for (std::byte& b : bytes) {
    random = random * 1664525U + 1013904223U;
    b = static_cast<std::byte>(random >> 24);
  }
  return bytes;
}

void write(const fs::path& folder) {
  const std::vector<std::byte> bytes = some_bytes(std::size_t{6} << 20), ones(5, std::byte{1});
  std::vector<TensorRecord> tensors;
  std::size_t at = 0;
  const auto add = [&](const std::string& name, ElementType type, std::vector<std::int64_t> shape) {
    const std::uint64_t size = *tensor_bytes(type, shape);
    tensors.push_back(
        {.name = name, .type = type, .shape = std::move(shape), .bytes = Bytes(bytes).subspan(at, size)});
    at += size;
  };
  for (const SafetensorsType& row : kSafetensorsTypes) {
    if (row.type != ElementType::boolean) add(fmt::format("type.{}", row.name), row.type, {3, 2});
  }
  tensors.push_back({.name = "type.BOOL", .type = ElementType::boolean, .shape = {5}, .bytes = ones});
  add("scalar", ElementType::f32, {});
  add("empty", ElementType::f16, {0, 7});
  add("é \"\\\n", ElementType::f32, {1, 1, 3});
  add("large", ElementType::f32, {1000, 1300});
  write_safetensors(folder / "ours.safetensors", tensors, {{"note", "é \"\n"}});
  tensors.push_back({.name = "tied", .shape = {1300, 1000}, .bytes = {}, .alias_of = "large"});
  write_safetensors(folder / "tied.safetensors", tensors, {});
  write_safetensors_set(folder / "set.safetensors.index.json", tensors, {}, 1 << 10);
  fs::create_directories(folder / "bad");
  for (const test::BadSafetensors& bad : test::bad_safetensors())
    replace_file(folder / "bad" / bad.name, bad.file, Durability::fast);
}

json describe(std::span<const TensorRecord> tensors) {
  json result = json::object();
  for (const TensorRecord& tensor : tensors) {
    const SafetensorsType* type = safetensors_type(tensor.type);
    result[tensor.name] = {{"dtype", type != nullptr ? type->name : "C128"},
                           {"shape", tensor.shape},
                           {"hash", to_hex(hash128(tensor.bytes))},
                           {"alias_of", tensor.alias_of}};
  }
  return result;
}

json read(const fs::path& path) try {
  if (path.extension() == ".npz") return {{"tensors", describe(NpzFile::open(path).tensors())}};
  const SafetensorsFile file = SafetensorsFile::open(path);
  return {{"tensors", describe(file.tensors())}, {"metadata", file.metadata()}};
} catch (const FormatError& error) {
  return {{"error", error.what()}};
}

}  // namespace
}  // namespace vitrail::format

int main(int argc, char** argv) try {
  const std::string command = argc > 1 ? argv[1] : "";
  if (command == "write" && argc == 3) {
    vitrail::format::write(argv[2]);
  } else if (command == "read") {
    for (std::string path; std::getline(std::cin, path);)
      std::cout << vitrail::format::read(path).dump() << std::endl;
  } else {
    std::cerr << "usage: weight_formats write FOLDER | read\n";
    return 2;
  }
  return 0;
} catch (const std::exception& error) {
  std::cerr << "error: " << error.what() << "\n";
  return 1;
}
