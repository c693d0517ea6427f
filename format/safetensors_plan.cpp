#include "format/safetensors_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "format/json.h"
#include "format/safetensors_header.h"
#include "format/safetensors_types.h"

namespace vitrail::format {
namespace {

constexpr std::size_t kDataAlignment = 64;

std::string shape_json(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ","));
}

}  // namespace

SafetensorsPlan::SafetensorsPlan(std::span<const TensorRecord> tensors,
                                 const std::map<std::string, std::string>& metadata)
    : originals_(tensors), records_(tensors.begin(), tensors.end()), metadata_(metadata) {
  for (TensorRecord& record : records_) {
    check(record);
    record.role = Role::parameter;
  }
  for (const TiedTensor& tied : tie_tensors(records_))
    static_cast<TiedTensor&>(entries_.emplace_back()) = tied;
  metadata_.emplace("format", "pt");
  metadata_.erase(kAliasesKey);
  if (const std::string text = aliases(); !text.empty()) metadata_[kAliasesKey] = text;
  metadata_[kContentIdKey] = std::string(32, '0');  // as long as it will be
  place();
  head_ = header();
  if (head_.size() - 8 > kMaxSafetensorsHeader) {
    throw FormatError(fmt::format("a header of {} bytes: safetensors has at most {}", head_.size() - 8,
                                  kMaxSafetensorsHeader));
  }
  file_bytes_ += head_.size();
  for (Piece& piece : pieces_)
    piece.offset += head_.size();
}

void SafetensorsPlan::check(const TensorRecord& tensor) const {
  const std::optional<std::uint64_t> bytes = tensor_bytes(tensor.type, tensor.shape);
  const char* problem = nullptr;
  if (tensor.name.empty() || tensor.name.size() > kMaxName || tensor.name == "__metadata__") {
    problem = "safetensors cannot hold a tensor of this name";
  } else if (safetensors_type(tensor.type) == nullptr) {
    problem = "safetensors has no such element type";
  } else if (!bytes || (tensor.alias_of.empty() && *bytes != tensor.bytes.size())) {
    problem = "its bytes are not those of its shape";
  }
  if (problem != nullptr) throw FormatError(fmt::format("tensor '{}': {}", tensor.name, problem));
}

std::string SafetensorsPlan::aliases() const {
  std::string text;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].owner == i) continue;
    const TensorRecord& owner = *entries_[entries_[i].owner].tensor;
    const TensorRecord& alias = *entries_[i].tensor;
    text += fmt::format("{}{}:", text.empty() ? "{" : ",", json_text(alias.name));
    text += alias.shape == owner.shape
                ? json_text(owner.name)
                : fmt::format("[{},{}]", json_text(owner.name), shape_json(alias.shape));
  }
  return text.empty() ? text : text + "}";
}

std::vector<std::string> SafetensorsPlan::owners() const {
  std::vector<std::string> names;
  for (const std::size_t i : order_)
    names.push_back(entries_[i].tensor->name);
  return names;
}

// Types in descending order, so that whatever is aligned to the data's begin is aligned to its elements.
void SafetensorsPlan::place() {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].owner == i) order_.push_back(i);
  }
  std::stable_sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) {
    return safetensors_type(entries_[a].tensor->type) > safetensors_type(entries_[b].tensor->type);
  });
  for (const std::size_t i : order_)
    cut(entries_[i], originals_[static_cast<std::size_t>(entries_[i].tensor - records_.data())]);
}

void SafetensorsPlan::cut(Entry& entry, const TensorRecord& original) {
  entry.begin = file_bytes_;
  entry.first_piece = pieces_.size();
  for (std::uint64_t c = 0; c < std::max<std::uint64_t>(1, chunk_count(entry.bytes.size())); ++c)
    pieces_.push_back({entry.begin + c * kChunkBytes, chunk(entry.bytes, c)});
  pieces_.back().completes = &original;
  hashes_.resize(pieces_.size());
  file_bytes_ += entry.bytes.size();
}

std::string SafetensorsPlan::header() const {
  std::string text = "{\"__metadata__\":{";
  for (const auto& [key, value] : metadata_)
    text += fmt::format("{}{}:{}", text.back() == '{' ? "" : ",", json_text(key), json_text(value));
  text += '}';
  for (const std::size_t i : order_) {
    const Entry& entry = entries_[i];
    text += fmt::format(",{}:{{\"dtype\":\"{}\",\"shape\":{},\"data_offsets\":[{},{}]}}",
                        json_text(entry.tensor->name), safetensors_type(entry.tensor->type)->name,
                        shape_json(entry.tensor->shape), entry.begin, entry.begin + entry.bytes.size());
  }
  text += '}';
  text.resize(align(8 + text.size(), kDataAlignment) - 8, ' ');
  std::string length(8, '\0');
  put(std::as_writable_bytes(std::span(length)), 0, std::uint64_t{text.size()});
  return length + text;
}

void SafetensorsPlan::seal() {
  for (const Entry& entry : entries_) {
    const std::uint64_t chunks = chunk_count(entry.bytes.size());
    const auto hashes = std::span(hashes_).subspan(entries_[entry.owner].first_piece);
    std::vector<std::byte>& identity = identities_[entry.tensor->name];
    identity.clear();
    append_identity(identity, *entry.tensor, chunks == 0 ? hashes.front() : hash_of(hashes.first(chunks)));
  }
  metadata_[kContentIdKey] = content_id_of(identities_);
  head_ = header();
}

std::string content_id_of(const std::map<std::string, std::vector<std::byte>>& identities) {
  std::vector<std::byte> all;
  for (const auto& [name, identity] : identities)
    all.insert(all.end(), identity.begin(), identity.end());
  return to_hex(hash128(all));
}

}  // namespace vitrail::format
