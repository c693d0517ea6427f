// The zip form: ROOT/data.pkl, ROOT/data/KEY, ROOT/version, maybe ROOT/byteorder
// (pytorch caffe2/serialize/inline_container.h).
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "format/torch_parts.h"

namespace vitrail::format {
namespace {

constexpr int kNewestVersion = 10;  // caffe2/serialize/versions.h: what the newest torch can write
constexpr std::string_view kPickle = "data.pkl";

// The folder that all records are in, with its slash.
std::string root_of(const ZipReader& zip) {
  const std::string* pickle = nullptr;
  for (const ZipEntry& entry : zip.entries()) {
    const std::string& name = entry.name;
    const bool found = name.ends_with(kPickle) && name.size() > kPickle.size() &&
                       name[name.size() - kPickle.size() - 1] == '/';
    if (found && (pickle == nullptr || name.size() < pickle->size())) pickle = &name;
  }
  if (pickle == nullptr)
    throw FormatError("a zip archive without FOLDER/data.pkl: not written by torch.save");
  const std::string root = pickle->substr(0, pickle->size() - kPickle.size());
  for (const ZipEntry& entry : zip.entries()) {
    if (!entry.name.starts_with(root))
      throw FormatError(fmt::format("expected every record in {}, found {}", root, entry.name));
  }
  if (zip.find(root + "constants.pkl") != nullptr)
    throw FormatError(
        "a TorchScript program, which holds code: save the state dict of the model with torch.save instead");
  return root;
}

// A record of a few bytes, its CRC checked; nothing when there is none.
std::string_view small_record(const ZipReader& zip, const std::string& name) {
  const ZipEntry* entry = zip.find(name);
  if (entry == nullptr) return {};
  zip.check(*entry);
  return text(zip.stored(*entry));
}

void require_version(const ZipReader& zip, const std::string& root) {
  std::string_view version = small_record(zip, root + "version");
  if (version.empty()) version = small_record(zip, root + ".data/version");
  if (version.ends_with('\n')) version.remove_suffix(1);
  int number = 0;
  const auto [end, error] = std::from_chars(version.begin(), version.end(), number);
  if (error != std::errc() || end != version.end() || number < 1 || number > kNewestVersion)
    throw FormatError(fmt::format("expected a record {}version from 1 to {}, found '{}'", root,
                                  kNewestVersion, version.substr(0, 20)));
  const std::string_view order = small_record(zip, root + "byteorder");
  if (!order.empty() && order != "little")
    throw FormatError(fmt::format("byte order '{}' is not read; little is: save it again on such a machine",
                                  order.substr(0, 20)));
}

}  // namespace

TorchParts read_torch_zip(const ZipReader& zip, const std::string& where) {
  const std::string root = root_of(zip);
  require_version(zip, root);
  const ZipEntry& entry = *zip.find(root + std::string(kPickle));
  const PickleLimits limits;
  if (entry.size > limits.bytes)
    throw FormatError(
        fmt::format("{} has {} bytes; at most {} are read", entry.name, entry.size, limits.bytes));
  zip.check(entry);
  TorchParts parts{read_pickle(zip.stored(entry), where + ": " + entry.name, limits), {}};
  if (parts.pickle.bytes != entry.size)
    throw FormatError(fmt::format("{} ends at byte {} of {}", entry.name, parts.pickle.bytes, entry.size));
  for (const PickledStorage& storage : parts.pickle.storages) {
    const ZipEntry* record = zip.find(root + "data/" + storage.key);
    if (record == nullptr)
      throw FormatError(fmt::format("storage '{}' should be in {}data/{}, which is missing", storage.key,
                                    root, storage.key));
    if (record->size != static_cast<std::uint64_t>(storage.bytes))
      throw FormatError(fmt::format("{} should have the {} bytes of its storage, found {}", record->name,
                                    storage.bytes, record->size));
    parts.storages.push_back(zip.stored(*record));
  }
  return parts;
}

}  // namespace vitrail::format
