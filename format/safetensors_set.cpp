#include <fmt/format.h>

#include <algorithm>

#include "format/safetensors_reader.h"

namespace vitrail::format {
namespace {

namespace fs = std::filesystem;

// By file, the names of its tensors.
using Shards = std::map<std::string, std::vector<std::string>>;

constexpr std::size_t kShownNames = 5;  // names in an error

bool is_plain_name(const std::string& file) {
  return !file.empty() && file.find_first_of("/\\") == file.npos && file != "." && file != ".." &&
         file.size() < 256;
}

Shards shards_from(const Datum& root) {
  const Datum* map = root.find("weight_map");
  const Datum::Dict* dict = map != nullptr ? map->as<Datum::Dict>() : nullptr;
  if (dict == nullptr)
    throw FormatError("expected an index of safetensors files, which has an object 'weight_map'");
  Shards shards;
  for (const Datum::Item& item : dict->items) {
    const std::string* file = item.value.as<std::string>();
    const std::string& tensor = *item.key.as<std::string>();
    if (file == nullptr || !is_plain_name(*file)) {
      throw FormatError(
          fmt::format("tensor '{}': expected the name of a file in the same folder", tensor.substr(0, 80)));
    }
    shards[*file].push_back(tensor);
  }
  if (shards.empty()) throw FormatError("an index without tensors");
  return shards;
}

void require_files(const fs::path& folder, const Shards& shards) {
  std::string missing;
  for (const auto& [file, tensors] : shards) {
    if (!fs::exists(folder / file)) missing += fmt::format("{}{}", missing.empty() ? "" : ", ", file);
  }
  if (!missing.empty()) throw FormatError(fmt::format("missing beside it: {}", missing));
}

// What a shard holds beside its aliases is what the index says.
void match(const std::string& file, std::span<const TensorRecord> found, std::vector<std::string> expected) {
  std::vector<std::string> names, missing, more;
  for (const TensorRecord& tensor : found) {
    if (tensor.alias_of.empty()) names.push_back(tensor.name);
  }
  std::sort(names.begin(), names.end());
  std::sort(expected.begin(), expected.end());
  std::set_difference(expected.begin(), expected.end(), names.begin(), names.end(),
                      std::back_inserter(missing));
  std::set_difference(names.begin(), names.end(), expected.begin(), expected.end(), std::back_inserter(more));
  const auto first = [](std::vector<std::string>& list) {
    const std::size_t size = list.size();
    list.resize(std::min(size, kShownNames));
    return fmt::format("{}{}", fmt::join(list, ", "),
                       size > kShownNames ? fmt::format(" and {} more", size - kShownNames) : "");
  };
  if (!missing.empty()) throw FormatError(fmt::format("{}: expected the tensors {}", file, first(missing)));
  if (!more.empty())
    throw FormatError(fmt::format("{}: has the tensors {} beside those of the index", file, first(more)));
}

}  // namespace

void SafetensorsReader::add_set(const fs::path& index) try {
  const Datum root = read_json(index, kSafetensorsJson);
  const Shards shards = shards_from(root);
  require_files(index.parent_path(), shards);
  for (const auto& [file, tensors] : shards) {
    const std::size_t first = file_.tensors_.size();
    const fs::path path = index.parent_path() / file;
    add_file(bytes_of(Source(path, Access::automatic)), path.string());
    match(file, std::span(file_.tensors_).subspan(first), tensors);
  }
  const Datum* metadata = root.find("metadata");
  const Datum* claimed = metadata != nullptr ? metadata->find(kContentIdKey) : nullptr;
  if (claimed == nullptr || claimed->as<std::string>() == nullptr) return;
  SafetensorsFile::Storage::Claim claim{index.string(), *claimed->as<std::string>(), {}};
  for (const TensorRecord& tensor : file_.tensors_)
    claim.tensors.push_back(tensor.name);
  storage_->claims.push_back(std::move(claim));
} catch (const FormatError& error) {
  throw FormatError::within(index.string(), error);
}

}  // namespace vitrail::format
