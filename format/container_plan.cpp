#include "format/container_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "format/sections.h"
#include "format/utf8.h"

namespace vitrail::format {
namespace {

void check_record(const TensorRecord& tensor) {
  const bool named = !tensor.name.empty() && tensor.name.size() <= kMaxName &&
                     is_text(std::as_bytes(std::span(tensor.name)));
  if (!named)
    throw FormatError(fmt::format("tensor '{}': expected a name of 1 to {} bytes", tensor.name, kMaxName));
  const std::optional<std::uint64_t> bytes = tensor_bytes(tensor.type, tensor.shape);
  if (!bytes)
    throw FormatError(
        fmt::format("tensor '{}': its shape or type breaks a limit of the format", tensor.name));
  if (*bytes != tensor.bytes.size()) {
    throw FormatError(fmt::format("tensor '{}': expected {} bytes for its shape, found {}", tensor.name,
                                  *bytes, tensor.bytes.size()));
  }
}

void append_hash(std::vector<std::byte>& out, const Hash128& hash) {
  append(out, hash.low);
  append(out, hash.high);
}

struct Extent {
  std::uint64_t meta_bytes, data_offset, file_bytes;
};

std::vector<std::byte> prologue(FileKind kind, const Extent& extent, const Hash128& meta,
                                const Hash128& content) {
  std::vector<std::byte> out;
  for (std::uint8_t byte : kMagic)
    append(out, byte);
  append(out, std::uint16_t{1});  // major
  append(out, std::uint16_t{0});  // minor
  append(out, static_cast<std::uint32_t>(kPrologueBytes));
  append(out, extent.file_bytes);
  append(out, kPrologueBytes);  // meta_offset
  append(out, extent.meta_bytes);
  append(out, extent.data_offset);
  append(out, extent.file_bytes - kFooterBytes - extent.data_offset);
  append(out, std::uint64_t{0});  // required_features
  append(out, std::uint64_t{0});  // optional_features
  append(out, static_cast<std::uint32_t>(kind));
  append(out, std::uint32_t{1});  // hash_alg: XXH3-128, seed 0
  append_hash(out, meta);
  append_hash(out, content);
  append(out, std::uint64_t{0});
  append(out, hash64(out));
  return out;
}

std::vector<std::byte> footer(const Extent& extent, const Hash128& meta, const Hash128& content,
                              std::uint64_t prologue_hash) {
  std::vector<std::byte> out;
  for (std::uint8_t byte : kFooterMagic)
    append(out, byte);
  append(out, extent.file_bytes);
  append_hash(out, content);
  append_hash(out, meta);
  append(out, prologue_hash);
  append(out, hash64(out));
  return out;
}

}  // namespace

ContainerPlan::ContainerPlan(const ContainerContents& contents) : contents_(contents) {
  sort();
  const std::vector<std::byte> meta = metadata();
  if (meta.size() > kMaxMetaBytes) throw FormatError("metadata: more than 256 MiB");
  // A text that is no UTF-8 or a limit of the message that is exceeded must be found now: the file would take
  // the place of a good one and could not be read again.
  (void)decode_message(meta);
  data_offset_ = align(kPrologueBytes + meta.size(), kPage);
  place();
}

void ContainerPlan::sort() {
  for (const TensorRecord& tensor : contents_.tensors) {
    check_record(tensor);
    names_.push_back(tensor.name);
  }
  std::sort(names_.begin(), names_.end());
  names_.erase(std::unique(names_.begin(), names_.end()), names_.end());
  for (const TensorRecord& tensor : contents_.tensors) {
    const auto name = std::lower_bound(names_.begin(), names_.end(), tensor.name);
    entries_.push_back(
        {.tensor = &tensor, .name = static_cast<std::uint32_t>(name - names_.begin()), .hash = {}});
  }
  const auto key = [](const Entry& entry) { return std::pair(entry.tensor->role, entry.name); };
  std::sort(entries_.begin(), entries_.end(),
            [&](const Entry& a, const Entry& b) { return key(a) < key(b); });
  std::uint32_t chunks = 0;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (i > 0 && key(entries_[i - 1]) == key(entries_[i])) {
      throw FormatError(fmt::format("tensor '{}' is there twice in one role", entries_[i].tensor->name));
    }
    entries_[i].first_chunk = chunks;
    chunks += static_cast<std::uint32_t>(chunk_count(entries_[i].tensor->bytes.size()));
  }
}

void ContainerPlan::place() {
  std::uint64_t cursor = data_offset_;
  for (Entry& entry : entries_) {
    const Bytes bytes = entry.tensor->bytes;
    entry.offset = placed(cursor, bytes.size());
    cursor = entry.offset + bytes.size();
    entry.first_piece = pieces_.size();
    const std::uint64_t count = std::max<std::uint64_t>(1, chunk_count(bytes.size()));
    for (std::uint64_t c = 0; c < count; ++c)
      pieces_.push_back({entry.offset + c * kChunkBytes, chunk(bytes, c), entry.tensor});
    pieces_.back().last = true;
  }
  hashes_.resize(pieces_.size());
  file_bytes_ = align(cursor + kFooterBytes, kPage);
}

void ContainerPlan::hash_entries() {
  std::vector<std::byte> identity;
  for (Entry& entry : entries_) {
    const std::uint64_t chunks = chunk_count(entry.tensor->bytes.size());
    const std::span<const Hash128> hashes = std::span(hashes_).subspan(entry.first_piece);
    entry.hash = chunks == 0 ? hashes.front() : hash_of(hashes.first(chunks));
    append_identity(identity, *entry.tensor, entry.hash);
  }
  content_id_ = hash128(identity);
}

Vector ContainerPlan::directory() const {
  Vector vector{32, kEntryBytes, std::vector<std::byte>(entries_.size() * kEntryBytes)};
  const std::span<std::byte> out = vector.data;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    const TensorRecord& tensor = *entry.tensor;
    const std::uint64_t at = i * kEntryBytes;
    put(out, at, entry.name);
    put(out, at + 4, static_cast<std::uint16_t>(tensor.role));
    put(out, at + 6, static_cast<std::uint8_t>(tensor.type));
    put(out, at + 7, static_cast<std::uint8_t>(tensor.shape.size()));
    put(out, at + 16, entry.offset);
    put(out, at + 24, std::uint64_t{tensor.bytes.size()});
    for (std::size_t axis = 0; axis < tensor.shape.size(); ++axis) {
      put(out, at + 32 + 8 * axis, static_cast<std::uint64_t>(tensor.shape[axis]));
    }
    put(out, at + 96, entry.hash.low);
    put(out, at + 104, entry.hash.high);
    put(out, at + 112, entry.first_chunk);
    put(out, at + 116, static_cast<std::uint32_t>(chunk_count(tensor.bytes.size())));
  }
  return vector;
}

Vector ContainerPlan::roles() const {
  Vector vector{32, kRoleBytes, {}};
  for (std::size_t first = 0; first < entries_.size();) {
    const Role role = entries_[first].tensor->role;
    std::size_t end = first;
    std::vector<Hash128> hashes;
    while (end < entries_.size() && entries_[end].tensor->role == role)
      hashes.push_back(entries_[end++].hash);
    append(vector.data, static_cast<std::uint16_t>(role));
    append(vector.data, std::uint16_t{0});
    append(vector.data, static_cast<std::uint32_t>(first));
    append(vector.data, static_cast<std::uint32_t>(end - first));
    append(vector.data, std::uint32_t{0});
    append(vector.data, entries_[first].offset);
    append(vector.data, entries_[end - 1].offset + entries_[end - 1].tensor->bytes.size());
    append_hash(vector.data, hash_of(hashes));
    first = end;
  }
  return vector;
}

Vector ContainerPlan::chunk_hashes() const {
  Vector vector{32, kHashBytes, {}};
  for (const Entry& entry : entries_) {
    const std::uint64_t chunks = chunk_count(entry.tensor->bytes.size());
    for (std::uint64_t c = 0; c < chunks; ++c)
      append_hash(vector.data, hashes_.empty() ? Hash128{} : hashes_[entry.first_piece + c]);
  }
  return vector;
}

std::vector<std::byte> ContainerPlan::metadata() const {
  Table root = contents_.root;
  root.set(section::kNames, names_);
  root.set(section::kTensors, directory());
  root.set(section::kChunkHashes, chunk_hashes());
  root.set(section::kRoles, roles());
  return encode_message(root);
}

void ContainerPlan::seal() {
  hash_entries();
  const std::vector<std::byte> meta = metadata();
  const Hash128 meta_hash = hash128(meta);
  const Extent extent{meta.size(), data_offset_, file_bytes_};
  head_ = prologue(contents_.kind, extent, meta_hash, content_id_);
  footer_ = format::footer(extent, meta_hash, content_id_, get<std::uint64_t>(head_, kPrologueBytes - 8));
  head_.insert(head_.end(), meta.begin(), meta.end());
  head_.resize(data_offset_);
}

}  // namespace vitrail::format
