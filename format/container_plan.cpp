#include "format/container_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "format/sections.h"
#include "format/utf8.h"

namespace vitrail::format {
namespace {

// Bytes of a tensor as its shape and type say; of a type of a later version, which is only copied, what it
// has.
std::uint64_t bytes_of(const TensorRecord& tensor, bool later) {
  const bool known = bits_of(tensor.type).has_value();
  const std::optional<std::uint64_t> bytes = !known && later && element_count(tensor.shape)
                                                 ? tensor.bytes.size()
                                                 : tensor_bytes(tensor.type, tensor.shape);
  if (!bytes)
    throw FormatError(
        fmt::format("tensor '{}': its shape or type breaks a limit of the format", tensor.name));
  return *bytes;
}

void check_record(const TensorRecord& tensor, bool later) {
  const bool named = !tensor.name.empty() && tensor.name.size() <= kMaxName &&
                     is_text(std::as_bytes(std::span(tensor.name)));
  if (!named)
    throw FormatError(fmt::format("tensor '{}': expected a name of 1 to {} bytes", tensor.name, kMaxName));
  const std::uint64_t bytes = bytes_of(tensor, later);
  if (tensor.alias_of.empty() && bytes != tensor.bytes.size()) {
    throw FormatError(fmt::format("tensor '{}': expected {} bytes for its shape, found {}", tensor.name,
                                  bytes, tensor.bytes.size()));
  }
}

// A row to fill in: as it stood in the file that is copied, so that what a later version has added is kept.
std::vector<std::byte> row_from(Bytes old, std::uint32_t size, bool later) {
  std::vector<std::byte> row(size);
  if (later) std::copy_n(old.begin(), std::min<std::size_t>(old.size(), size), row.begin());
  return row;
}

}  // namespace

ContainerPlan::ContainerPlan(const ContainerContents& contents) : contents_(contents) {
  sort();
  data_offset_ = align(kPrologueBytes + metadata().size(), kPage);
  place();
  hashes_.resize(pieces_.size());
  // Whatever a reader would refuse must be found now: the file would take the place of a good one and could
  // not be read again. Only the hashes are missing, and they are right by making.
  seal();
  if (get<std::uint64_t>(head_, 32) > kMaxMetaBytes) throw FormatError("metadata: more than 256 MiB");
  const Refusal refusal = verify_file(head_, footer_, file_bytes_).refusal;
  if (refusal.refused()) throw to_error(refusal);
}

bool ContainerPlan::later() const {
  return contents_.later.minor > kMinor;
}

void ContainerPlan::sort() {
  for (const TensorRecord& tensor : contents_.tensors) {
    check_record(tensor, later());
    names_.push_back(tensor.name);
  }
  std::sort(names_.begin(), names_.end());
  names_.erase(std::unique(names_.begin(), names_.end()), names_.end());
  for (const TiedTensor& tied : tie_tensors(contents_.tensors)) {
    const auto name = std::lower_bound(names_.begin(), names_.end(), tied.tensor->name);
    Entry& entry = entries_.emplace_back();
    static_cast<TiedTensor&>(entry) = tied;
    entry.name = static_cast<std::uint32_t>(name - names_.begin());
  }
}

void ContainerPlan::place() {
  std::uint64_t cursor = data_offset_;
  std::uint32_t chunks = 0;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    Entry& entry = entries_[i];
    if (entry.owner != i) {
      const Entry& owner = entries_[entry.owner];
      entry.offset = owner.offset;
      entry.first_chunk = owner.first_chunk;
      entry.first_piece = owner.first_piece;
      continue;
    }
    entry.offset = placed(cursor, entry.bytes.size());
    entry.first_chunk = chunks;
    cursor = entry.offset + entry.bytes.size();
    chunks += static_cast<std::uint32_t>(chunk_count(entry.bytes.size()));
    entry.first_piece = pieces_.size();
    const std::uint64_t count = std::max<std::uint64_t>(1, chunk_count(entry.bytes.size()));
    for (std::uint64_t c = 0; c < count; ++c)
      pieces_.push_back({entry.offset + c * kChunkBytes, chunk(entry.bytes, c)});
    pieces_.back().completes = entry.tensor;
  }
  file_bytes_ = align(cursor + kFooterBytes, kPage);
}

void ContainerPlan::hash_entries() {
  std::vector<std::byte> identity;
  for (Entry& entry : entries_) {
    const std::uint64_t chunks = chunk_count(entry.bytes.size());
    const std::span<const Hash128> hashes = std::span(hashes_).subspan(entry.first_piece);
    entry.hash = chunks == 0 ? hashes.front() : hash_of(hashes.first(chunks));
    append_identity(identity, *entry.tensor, entry.hash);
  }
  content_id_ = hash128(identity);
}

Vector ContainerPlan::directory() const {
  Vector vector{kElemStruct, contents_.later.entry_bytes, {}};
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    const TensorRecord& tensor = *entry.tensor;
    std::vector<std::byte> row = row_from(tensor.entry, vector.stride, later());
    const std::span<std::byte> out = row;
    put(out, 0, entry.name);
    put(out, 4, static_cast<std::uint16_t>(tensor.role));
    put(out, 6, static_cast<std::uint8_t>(tensor.type));
    put(out, 7, static_cast<std::uint8_t>(tensor.shape.size()));
    put(out, 8, entry.owner == i ? 0 : EntryView::kAlias);
    put(out, 12, static_cast<std::uint32_t>(entry.owner == i ? 0 : entry.owner));
    put(out, 16, entry.offset);
    put(out, 24, std::uint64_t{entry.bytes.size()});
    for (std::size_t axis = 0; axis < kMaxRank; ++axis) {
      const std::int64_t extent = axis < tensor.shape.size() ? tensor.shape[axis] : 0;
      put(out, 32 + 8 * axis, static_cast<std::uint64_t>(extent));
    }
    put(out, 96, entry.hash.low);
    put(out, 104, entry.hash.high);
    put(out, 112, entry.first_chunk);
    put(out, 116, static_cast<std::uint32_t>(chunk_count(entry.bytes.size())));
    vector.data.insert(vector.data.end(), row.begin(), row.end());
  }
  return vector;
}

Vector ContainerPlan::roles() const {
  Vector vector{kElemStruct, contents_.later.role_bytes, {}};
  for (std::size_t first = 0; first < entries_.size();) {
    const Role role = entries_[first].tensor->role;
    std::size_t end = first, last = first;  // last: of those with bytes of their own
    std::vector<Hash128> hashes;
    for (; end < entries_.size() && entries_[end].tensor->role == role; ++end) {
      hashes.push_back(entries_[end].hash);
      if (entries_[end].owner == end) last = end;
    }
    const auto old = contents_.later.role_rows.find(role);
    const bool known = old != contents_.later.role_rows.end();
    std::vector<std::byte> row = row_from(known ? Bytes(old->second) : Bytes(), vector.stride, later());
    const std::span<std::byte> out = row;
    const Hash128 hash = hash_of(hashes);
    put(out, 0, static_cast<std::uint16_t>(role));
    put(out, 4, static_cast<std::uint32_t>(first));
    put(out, 8, static_cast<std::uint32_t>(end - first));
    put(out, 16, entries_[first].offset);
    put(out, 24, entries_[last].offset + entries_[last].bytes.size());
    put(out, 32, hash.low);
    put(out, 40, hash.high);
    vector.data.insert(vector.data.end(), row.begin(), row.end());
    first = end;
  }
  return vector;
}

Vector ContainerPlan::chunk_hashes() const {
  Vector vector{kElemStruct, kHashBytes, {}};
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].owner != i) continue;
    for (std::uint64_t c = 0; c < chunk_count(entries_[i].bytes.size()); ++c) {
      const Hash128 hash = hashes_.empty() ? Hash128{} : hashes_[entries_[i].first_piece + c];
      append(vector.data, hash.low);
      append(vector.data, hash.high);
    }
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
  head_ = encode_prologue({.minor = contents_.later.minor,
                           .kind = contents_.kind,
                           .file_bytes = file_bytes_,
                           .meta_bytes = meta.size(),
                           .data_offset = data_offset_,
                           .required_features = 0,
                           .optional_features = contents_.later.optional_features,
                           .reserved = contents_.later.reserved,
                           .meta_hash = hash128(meta),
                           .content_id = content_id_});
  footer_ = encode_footer(head_);
  head_.insert(head_.end(), meta.begin(), meta.end());
  head_.resize(data_offset_);
}

}  // namespace vitrail::format
