#include "engine/weight_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <string_view>

#include "engine/error.h"
#include "engine/state_dict.h"
#include "format/container.h"
#include "format/file.h"
#include "format/json.h"
#include "format/npz.h"
#include "format/safetensors.h"
#include "format/torch_file.h"
#include "format/zip.h"

namespace vitrail {
namespace {

namespace fs = std::filesystem;
using format::FormatError;
using format::Role;
using namespace std::string_view_literals;

// What save_pretrained() of Hugging Face, timm and OpenCLIP calls the weights, the better first.
constexpr std::array kPretrained{"model.safetensors", "model.safetensors.index.json",
                                 "open_clip_model.safetensors", "pytorch_model.bin",
                                 "open_clip_pytorch_model.bin"};

std::string begin_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in || !fs::is_regular_file(path))
    throw format::FileError(path.string() + ": cannot open: expected a file or folder of weights");
  std::string begin(16, '\0');
  in.read(begin.data(), std::ssize(begin));
  begin.resize(static_cast<std::size_t>(in.gcount()));
  return begin;
}

void require_no_average(const WeightFile& file, WeightChoice choice) {
  if (choice != WeightChoice::ema) return;
  throw ConfigError(
      fmt::format("{}: a file of this format holds one set of weights: leave the choice of EMA weights out",
                  file.path.string()));
}

void open_vitrail(WeightFile& file, WeightChoice choice) {
  const auto container = std::make_shared<format::Container>(format::Container::open(file.path));
  file.format = "vitrail";
  file.storage = container;
  if (container->kind() == format::FileKind::shard || container->kind() == format::FileKind::shard_index) {
    throw FormatError(
        fmt::format("{}: a part of a sharded set: use the one file that 'vitrail consolidate' makes of it",
                    file.path.string()));
  }
  const bool has_average = !container->select(Role::ema_parameter).empty();
  if (choice == WeightChoice::ema && !has_average)
    throw ConfigError(
        fmt::format("{}: holds no EMA weights: leave the choice of them out", file.path.string()));
  const bool average = has_average && choice != WeightChoice::plain;
  if (has_average)
    file.notes.push_back(average ? "took the EMA weights" : "took the weights, not their average");
  for (const format::TensorRecord* tensor :
       container->select(average ? Role::ema_parameter : Role::parameter)) {
    file.tensors.push_back({.name = tensor->name,
                            .type = tensor->type,
                            .shape = tensor->shape,
                            .bytes = container->read(*tensor),
                            .alias_of = tensor->alias_of});
  }
}

void open_torch(WeightFile& file, WeightChoice choice) try {
  const auto torch = std::make_shared<format::TorchFile>(format::TorchFile::open(file.path));
  file.format = "pt";
  file.storage = torch;
  file.release = [torch = torch.get()](format::Bytes part) { torch->release(part); };
  file.root = torch->root();
  file.root_tensors.assign(torch->tensors().begin(), torch->tensors().end());
  StateDict found = read_state_dict(file.root, file.root_tensors, choice);
  file.tensors = std::move(found.tensors);
  file.notes.insert(file.notes.end(), found.notes.begin(), found.notes.end());
} catch (const FormatError& error) {
  throw FormatError::within(file.path.string(), error);
} catch (const ConfigError& error) {
  throw ConfigError(file.path.string() + ": " + error.what());
}

void open_safetensors(WeightFile& file, WeightChoice choice) {
  require_no_average(file, choice);
  const auto opened = std::make_shared<format::SafetensorsFile>(format::SafetensorsFile::open(file.path));
  opened->verify();
  file.format = "safetensors";
  file.storage = opened;
  file.release = [opened = opened.get()](format::Bytes part) { opened->release(part); };
  file.tensors.assign(opened->tensors().begin(), opened->tensors().end());
  file.metadata = opened->metadata();
  strip_prefixes(file.tensors, file.notes);
}

void open_npz(WeightFile& file, WeightChoice choice) {
  require_no_average(file, choice);
  const auto opened = std::make_shared<format::NpzFile>(format::NpzFile::open(file.path));
  file.format = "npz";
  file.storage = opened;
  file.tensors.assign(opened->tensors().begin(), opened->tensors().end());
}

// A zip of PyTorch has a pickle, one of NumPy arrays alone.
void open_zip(WeightFile& file, WeightChoice choice) {
  const format::MappedFile mapped(file.path);
  bool torch = false, arrays = false;
  try {
    const format::ZipReader zip(mapped.bytes());
    for (const format::ZipEntry& entry : zip.entries()) {
      torch = torch || entry.name.ends_with("/data.pkl");
      arrays = arrays || entry.name.ends_with(".npy");
    }
  } catch (const FormatError& error) {
    throw FormatError::within(file.path.string(), error);
  }
  if (torch) return open_torch(file, choice);
  if (arrays) return open_npz(file, choice);
  throw FormatError(
      fmt::format("{}: a zip archive, but neither of PyTorch (with data.pkl) nor of NumPy (with .npy files)",
                  file.path.string()));
}

// JSON, or a length in eight bytes, of which the last four are zero, and JSON.
bool looks_like_safetensors(std::string_view begin) {
  const std::size_t first = begin.find_first_not_of(" \t\r\n");
  if (first != begin.npos && begin[first] == '{') return true;
  return begin.size() > 8 && begin.substr(4, 4) == "\0\0\0\0"sv && begin[8] == '{';
}

void open_file(WeightFile& file, WeightChoice choice) {
  const std::string begin = begin_of(file.path);
  if (begin.starts_with("\x89VTL"sv)) return open_vitrail(file, choice);
  if (begin.starts_with("PK"sv)) return open_zip(file, choice);
  if (begin.starts_with('\x80')) return open_torch(file, choice);
  if (looks_like_safetensors(begin)) return open_safetensors(file, choice);
  throw FormatError(
      fmt::format("{}: expected weights as .vitrail, PyTorch's .pt, .safetensors, its index.json, or "
                  ".npz, told by content; found {}",
                  file.path.string(), begin.empty() ? "an empty file" : "something else"));
}

fs::path weights_in(const fs::path& folder) {
  for (const char* name : kPretrained) {
    if (fs::exists(folder / name)) return folder / name;
  }
  if (fs::exists(folder / "pytorch_model.bin.index.json")) {
    throw ConfigError(
        fmt::format("{}: a set of PyTorch's .bin files is not read: save it as safetensors, as "
                    "save_pretrained(safe_serialization=True) does",
                    folder.string()));
  }
  throw ConfigError(
      fmt::format("{}: expected a folder with one of {}", folder.string(), fmt::join(kPretrained, ", ")));
}

std::optional<format::Datum> document(const fs::path& path) {
  if (!fs::is_regular_file(path)) return std::nullopt;
  format::Datum root = format::read_json(path);
  if (root.as<format::Datum::Dict>() == nullptr)
    throw FormatError(path.string() + ": expected a JSON object, as save_pretrained() writes it");
  return root;
}

}  // namespace

WeightFile open_weight_file(const fs::path& path, WeightChoice choice) {
  WeightFile file;
  file.path = path;
  if (fs::is_directory(path)) {
    file.path = weights_in(path);
    file.notes.push_back(fmt::format("took {} of the folder", file.path.filename().string()));
  }
  open_file(file, choice);
  if (file.format == "vitrail") return file;
  file.config = document(file.path.parent_path() / "config.json");
  file.preprocessor = document(file.path.parent_path() / "preprocessor_config.json");
  if (file.config) file.notes.push_back("read config.json beside it");
  if (!file.config) {
    file.config = document(file.path.parent_path() / "open_clip_config.json");
    if (file.config) file.notes.push_back("read open_clip_config.json beside it");
  }
  if (file.preprocessor) file.notes.push_back("read preprocessor_config.json beside it");
  return file;
}

}  // namespace vitrail
