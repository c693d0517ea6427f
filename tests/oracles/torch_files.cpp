// torch_files FOLDER: reads every file of FOLDER/theirs, says in FOLDER/read what it found (a tree in
// NAME.json, the tensors' bytes in NAME.bin), and writes the same as FOLDER/ours/NAME.pt;
// check_torch_files.py compares.

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "format/torch_file.h"

namespace {

using nlohmann::json;
using vitrail::format::Datum;

std::string hex(double value) {
  char text[40];
  std::snprintf(text, sizeof(text), "%a", value);
  return text;
}

json to_json(const Datum& datum) {
  if (const auto* flag = datum.as<bool>()) return *flag;
  if (const auto* whole = datum.as<std::int64_t>()) return *whole;
  if (const auto* real = datum.as<double>()) return {{"float", hex(*real)}};
  if (const auto* text = datum.as<std::string>()) return *text;
  if (const auto* tensor = datum.as<Datum::Tensor>()) return {{"tensor", tensor->index}};
  json items = json::array();
  if (const auto* list = datum.as<Datum::List>()) {
    for (const Datum& item : list->items)
      items.push_back(to_json(item));
    return {{list->tuple ? "tuple" : "list", items}};
  }
  if (const auto* dict = datum.as<Datum::Dict>()) {
    for (const Datum::Item& item : dict->items)
      items.push_back({to_json(item.key), to_json(item.value)});
    return {{"dict", items}};
  }
  return nullptr;
}

void describe(const vitrail::format::TorchFile& file, const std::filesystem::path& stem) {
  std::ofstream data(stem.string() + ".bin", std::ios::binary);
  json tensors = json::array();
  for (const auto& tensor : file.tensors()) {
    tensors.push_back({{"name", tensor.name},
                       {"type", static_cast<int>(tensor.type)},
                       {"shape", tensor.shape},
                       {"alias_of", tensor.alias_of},
                       {"bytes", tensor.bytes.size()}});
    data.write(reinterpret_cast<const char*>(tensor.bytes.data()), std::ssize(tensor.bytes));
  }
  std::ofstream(stem.string() + ".json") << json{{"root", to_json(file.root())}, {"tensors", tensors}};
}

void run(const std::filesystem::path& folder) {
  for (const char* name : {"read", "ours"})
    std::filesystem::create_directories(folder / name);
  for (const auto& theirs : std::filesystem::directory_iterator(folder / "theirs")) {
    const auto file = vitrail::format::TorchFile::open(theirs.path());
    describe(file, folder / "read" / theirs.path().stem());
    vitrail::format::write_torch(folder / "ours" / theirs.path().filename(), file.root(), file.tensors());
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 2) throw std::runtime_error("usage: torch_files FOLDER");
  run(argv[1]);
} catch (const std::exception& error) {
  std::fprintf(stderr, "torch_files: %s\n", error.what());
  return 1;
}
