#include "format/safetensors.h"

#include <fmt/format.h>

#include <algorithm>

#include "format/bool_values.h"
#include "format/layout.h"
#include "format/safetensors_reader.h"

namespace vitrail::format {
namespace {

// An index is JSON: its first eight bytes, read as a length, are far above any header's.
bool is_index(Bytes bytes) {
  const auto first = std::find_if(bytes.begin(), bytes.begin() + std::min<std::size_t>(bytes.size(), 8),
                                  [](std::byte c) { return c != std::byte{' '} && c != std::byte{'\n'}; });
  return first != bytes.end() && *first == std::byte{'{'} && bytes.size() >= 8 &&
         get<std::uint64_t>(bytes, 0) > kMaxSafetensorsHeader;
}

// Elements that a processor takes in one piece begin at a multiple of their size.
}  // namespace

// Of the whole tensor, piece by piece, so that it need not be in memory at once.
Hash128 SafetensorsFile::hash_of_bytes(Bytes bytes) const {
  if (chunk_count(bytes.size()) == 0) {
    const Hash128 hash = hash128(bytes);
    release(bytes);
    return hash;
  }
  std::vector<Hash128> hashes;
  for (std::uint64_t i = 0; i < chunk_count(bytes.size()); ++i) {
    hashes.push_back(hash128(chunk(bytes, i)));
    release(chunk(bytes, i));
  }
  return hash_of(hashes);
}

Bytes SafetensorsReader::bytes_of(Source source) {
  if (source.in_memory()) return storage_->sources.emplace_back(std::move(source)).bytes();
  std::vector<std::byte>& copy = storage_->copies.emplace_back(source.size());
  source.read(0, copy);
  return copy;
}

void SafetensorsReader::add_tensor(const SafetensorsEntry& entry, Bytes data) {
  Bytes bytes = data.subspan(entry.begin, entry.end - entry.begin);
  try {
    check_bool_values(entry.type, bytes);
  } catch (const FormatError& error) {
    throw FormatError(fmt::format("tensor '{}': {}", entry.name, error.what()));
  }
  if (!is_aligned(bytes.data(), entry.type))
    bytes = storage_->copies.emplace_back(bytes.begin(), bytes.end());
  file_.tensors_.push_back({.name = entry.name, .type = entry.type, .shape = entry.shape, .bytes = bytes});
}

// {"alias": "owner"}, or {"alias": ["owner", [shape]]} where it is not the owner's; owners are the tensors
// from `first` on.
void SafetensorsReader::add_aliases(const std::string& text, std::size_t first) {
  const Datum root = parse_json(text, kSafetensorsJson);
  const Datum::Dict* dict = root.as<Datum::Dict>();
  if (dict == nullptr) throw FormatError("expected an object");
  const std::size_t end = file_.tensors_.size();
  for (const Datum::Item& item : dict->items) {
    const std::string& name = *item.key.as<std::string>();
    const auto fail = [&] {
      throw FormatError(fmt::format("'{}': expected a tensor of the file, and a shape of as many elements",
                                    name.substr(0, 80)));
    };
    const Datum::List* pair = item.value.as<Datum::List>();
    const std::string* owner = item.value.as<std::string>();
    if (pair != nullptr && pair->items.size() == 2) owner = pair->items[0].as<std::string>();
    if (owner == nullptr || name.empty() || name.size() > kMaxName) fail();
    const auto begin = file_.tensors_.begin();
    const auto found = std::lower_bound(
        begin + static_cast<std::ptrdiff_t>(first), begin + static_cast<std::ptrdiff_t>(end), *owner,
        [](const TensorRecord& tensor, const std::string& key) { return tensor.name < key; });
    if (found == begin + static_cast<std::ptrdiff_t>(end) || found->name != *owner) fail();
    TensorRecord alias = *found;
    alias.alias_of = std::exchange(alias.name, name);
    if (pair != nullptr) {
      const Datum::List* shape = pair->items[1].as<Datum::List>();
      if (shape == nullptr) fail();
      alias.shape.clear();
      for (const Datum& axis : shape->items)
        alias.shape.push_back(axis.as<std::int64_t>() != nullptr ? *axis.as<std::int64_t>() : -1);
      if (tensor_bytes(alias.type, alias.shape) != alias.bytes.size()) fail();
    }
    file_.tensors_.push_back(std::move(alias));
  }
}

void SafetensorsReader::add_file(Bytes bytes, const std::string& name) try {
  const SafetensorsHeader header = parse_safetensors_header(bytes);
  const std::size_t first = file_.tensors_.size();
  for (const SafetensorsEntry& entry : header.entries)
    add_tensor(entry, bytes.subspan(header.data_begin));
  for (const auto& [key, value] : header.metadata) {
    if (key == kAliasesKey) {
      try {
        add_aliases(value, first);
      } catch (const FormatError& error) {
        throw FormatError::within(fmt::format("__metadata__: {}", kAliasesKey), error);
      }
    } else if (key == kContentIdKey) {
      storage_->claims.push_back({name, value, {}});
    } else {
      file_.metadata_.emplace(key, value);
    }
  }
  if (storage_->claims.empty() || storage_->claims.back().file != name) return;
  for (std::size_t i = first; i < file_.tensors_.size(); ++i)
    storage_->claims.back().tensors.push_back(file_.tensors_[i].name);
} catch (const FormatError& error) {
  throw FormatError::within(name, error);
}

SafetensorsFile SafetensorsReader::finish() {
  std::vector<TensorRecord>& tensors = file_.tensors_;
  std::sort(tensors.begin(), tensors.end(),
            [](const TensorRecord& a, const TensorRecord& b) { return a.name < b.name; });
  const auto twice =
      std::adjacent_find(tensors.begin(), tensors.end(),
                         [](const TensorRecord& a, const TensorRecord& b) { return a.name == b.name; });
  if (twice != tensors.end()) throw FormatError(fmt::format("tensor '{}' is there twice", twice->name));
  file_.storage_ = storage_;
  return std::move(file_);
}

SafetensorsFile SafetensorsReader::open(const std::filesystem::path& path) {
  const Bytes bytes = bytes_of(Source(path, Access::automatic));
  if (is_index(bytes)) {
    add_set(path);
    return finish();
  }
  return open(bytes, path.string());
}

SafetensorsFile SafetensorsReader::open(Bytes bytes, const std::string& name) {
  add_file(bytes, name);
  try {
    return finish();
  } catch (const FormatError& error) {
    throw FormatError::within(name, error);
  }
}

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  return SafetensorsReader().open(path);
}

SafetensorsFile SafetensorsFile::open(Bytes bytes, std::string name) {
  return SafetensorsReader().open(bytes, name);
}

bool SafetensorsFile::has_hash() const {
  return !storage_->claims.empty();
}

void SafetensorsFile::release(Bytes part) const {
  for (const Source& source : storage_->sources)
    source.release(part);
}

void SafetensorsFile::verify() const {
  std::map<std::string_view, std::pair<const TensorRecord*, Hash128>> hashes;
  for (const TensorRecord& tensor : tensors_) {
    if (tensor.alias_of.empty()) hashes[tensor.name] = {&tensor, hash_of_bytes(tensor.bytes)};
  }
  for (const TensorRecord& tensor : tensors_) {
    if (!tensor.alias_of.empty()) hashes[tensor.name] = {&tensor, hashes.at(tensor.alias_of).second};
  }
  for (const Storage::Claim& claim : storage_->claims) {
    std::vector<std::byte> identity;
    std::vector<std::string> names = claim.tensors;
    std::sort(names.begin(), names.end());
    for (const std::string& name : names)
      append_identity(identity, *hashes.at(name).first, hashes.at(name).second);
    const std::string found = to_hex(hash128(identity));
    if (found == claim.content_id) continue;
    throw FormatError(fmt::format("{}: damaged: its tensors hash to {}, and it was written with {}",
                                  claim.file, found, claim.content_id));
  }
}

}  // namespace vitrail::format
