// Reading tensors: every chunk is checked against its hash before it is used for the first time.

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "format/container_leaf.h"

namespace vitrail::format {

Leaf leaf_of(const FileView& view, std::uint64_t entry, std::uint64_t chunk) {
  const EntryView tensor = view.entry(entry);
  if (tensor.chunk_count() == 0) return {entry, -1, 0, tensor.bytes(), tensor.hash()};
  const std::uint64_t begin = chunk * kChunkBytes;
  return {entry, static_cast<std::int64_t>(chunk), begin, std::min(kChunkBytes, tensor.bytes() - begin),
          view.chunk_hash(tensor.first_chunk() + chunk)};
}

Damage damage_of(const FileView& view, const Leaf& leaf, const Hash128& found) {
  const EntryView entry = view.entry(leaf.entry);
  const std::uint64_t bits = static_cast<std::uint64_t>(bits_of(entry.type()).value_or(8));
  return {.rule = Rule::V40,
          .tensor = std::string(view.name(entry)),
          .role = entry.role(),
          .chunk = leaf.chunk,
          .begin = entry.offset() + leaf.begin,
          .end = entry.offset() + leaf.begin + leaf.bytes,
          .first_element = leaf.begin * 8 / bits,
          .end_element = (leaf.begin + leaf.bytes) * 8 / bits,
          .expected = leaf.hash,
          .found = found};
}

std::optional<Damage> damage_of_chunk_list(const FileView& view, std::uint64_t entry) {
  const EntryView tensor = view.entry(entry);
  if (tensor.chunk_count() == 0) return std::nullopt;
  const std::uint64_t first = tensor.first_chunk() * kHashBytes;
  const Hash128 found = hash128(view.chunks.data.subspan(first, tensor.chunk_count() * kHashBytes));
  if (found == tensor.hash()) return std::nullopt;
  Damage damage = damage_of(view, {entry, -1, 0, tensor.bytes(), tensor.hash()}, found);
  damage.chunk_list = true;
  return damage;
}

namespace {

[[noreturn]] void refuse_damage(const std::string& file, const Damage& damage) {
  throw FormatError::within(file, FormatError(damage.text(), code_of(damage.rule)));
}

std::uint64_t leaves(const EntryView& entry) {
  return std::max(1U, entry.chunk_count());
}

}  // namespace

void Container::require_known_type(const TensorRecord& tensor) const {
  if (bits_of(tensor.type)) return;
  throw FormatError::within(
      name_,
      FormatError(fmt::format("tensor '{}' has element type {}, which this build does not know: it can be "
                              "listed and copied, not used",
                              tensor.name, static_cast<int>(tensor.type)),
                  code_of(Rule::V23)));
}

void Container::check_chunk_list(std::uint64_t index) const {
  const std::optional<Damage> damage = damage_of_chunk_list(view_, index);
  if (damage) refuse_damage(name_, *damage);
}

// Once bad stays bad: a disk that gives other bytes the second time is not to be believed.
void Container::check(const Leaf& leaf, Bytes bytes) const {
  std::atomic<LeafState>& known = state(leaf);
  const Hash128 found = hash128(bytes);
  if (found == leaf.hash && known != LeafState::bad) {
    known = LeafState::ok;
    return;
  }
  known = LeafState::bad;
  refuse_damage(name_, damage_of(view_, leaf, found));
}

std::atomic<Container::LeafState>& Container::state(const Leaf& leaf) const {
  return reading_
      ->states[first_leaf_[leaf.entry] + static_cast<std::uint64_t>(std::max<std::int64_t>(0, leaf.chunk))];
}

Bytes Container::read(const TensorRecord& tensor) const {
  require_known_type(tensor);
  return raw(tensor);
}

Bytes Container::raw(const TensorRecord& tensor) const {
  const std::uint64_t index = this->index(tensor);
  if (!source_.in_memory()) return buffered(index);
  check_chunk_list(index);
  for (std::uint64_t c = 0; c < leaves(entry(tensor)); ++c) {
    const Leaf leaf = leaf_of(view_, index, c);
    if (state(leaf) != LeafState::ok) check(leaf, tensor.bytes.subspan(leaf.begin, leaf.bytes));
  }
  return tensor.bytes;
}

Bytes Container::buffered(std::uint64_t index) const {
  const std::scoped_lock lock(reading_->mutex);
  const auto [buffer, fresh] = reading_->buffers.try_emplace(first_leaf_[index]);
  if (!fresh) return buffer->second;
  try {
    buffer->second.resize(view_.entry(index).bytes());
    read_checked(index, buffer->second);
  } catch (...) {
    reading_->buffers.erase(buffer);
    throw;
  }
  return buffer->second;
}

void Container::read(const TensorRecord& tensor, std::span<std::byte> out) const {
  require_known_type(tensor);
  if (out.size() != byte_size(tensor)) {
    throw std::invalid_argument(fmt::format("tensor '{}': expected memory of {} bytes, found {}", tensor.name,
                                            byte_size(tensor), out.size()));
  }
  read_checked(index(tensor), out);
}

void Container::stream(const TensorRecord& tensor,
                       const std::function<void(std::uint64_t, Bytes)>& take) const {
  require_known_type(tensor);
  const std::uint64_t index = this->index(tensor);
  check_chunk_list(index);
  const EntryView entry = view_.entry(index);
  std::vector<std::byte> buffer(std::min(entry.bytes(), kChunkBytes));
  for (std::uint64_t c = 0; c < leaves(entry); ++c) {
    const Leaf leaf = leaf_of(view_, index, c);
    const std::span<std::byte> part = std::span(buffer).first(leaf.bytes);
    source_.read(entry.offset() + leaf.begin, part);
    check(leaf, part);
    take(leaf.begin, part);
  }
}

// What was read is what is checked, whatever has been found before.
void Container::read_checked(std::uint64_t index, std::span<std::byte> out) const {
  check_chunk_list(index);
  const EntryView entry = view_.entry(index);
  for (std::uint64_t c = 0; c < leaves(entry); ++c) {
    const Leaf leaf = leaf_of(view_, index, c);
    const std::span<std::byte> part = out.subspan(leaf.begin, leaf.bytes);
    source_.read(entry.offset() + leaf.begin, part);
    check(leaf, part);
  }
}

// Bytes begin to begin + out.size() of the tensor, which lie inside the leaf.
void Container::read_part(const Leaf& leaf, std::uint64_t begin, std::span<std::byte> out) const {
  const std::uint64_t offset = view_.entry(leaf.entry).offset();
  if (state(leaf) == LeafState::ok) return source_.read(offset + begin, out);
  std::vector<std::byte> whole;
  Bytes bytes;
  if (source_.in_memory()) {
    bytes = source_.bytes().subspan(offset + leaf.begin, leaf.bytes);
  } else {
    whole.resize(leaf.bytes);
    source_.read(offset + leaf.begin, whole);
    bytes = whole;
  }
  check(leaf, bytes);
  const Bytes part = bytes.subspan(begin - leaf.begin, out.size());
  std::copy(part.begin(), part.end(), out.begin());
}

void Container::read_rows(const TensorRecord& tensor, std::uint64_t first, std::uint64_t count,
                          std::span<std::byte> out) const {
  require_known_type(tensor);
  const std::uint64_t index = this->index(tensor);
  const EntryView entry = view_.entry(index);
  const std::uint64_t rows = entry.rank() == 0 ? 0 : entry.extent(0);
  if (!inside(first, count, rows)) {
    throw std::invalid_argument(fmt::format("tensor '{}' has {} rows; found a request for {} from row {} on",
                                            tensor.name, rows, count, first));
  }
  if (count == 0) return;
  // Rows of half a byte occur in vectors of i4 and the like: there only pairs can be read.
  const std::uint64_t row_bits = entry.bytes() * 8 / rows;
  if (first * row_bits % 8 != 0 || out.size() * 8 != count * row_bits) {
    throw std::invalid_argument(
        fmt::format("tensor '{}': {} rows of {} bits from row {} on do not fit memory of {} "
                    "bytes",
                    tensor.name, count, row_bits, first, out.size()));
  }
  check_chunk_list(index);
  std::uint64_t begin = first * row_bits / 8;
  while (!out.empty()) {
    const Leaf leaf = leaf_of(view_, index, begin / kChunkBytes);
    const std::uint64_t bytes = std::min<std::uint64_t>(out.size(), leaf.begin + leaf.bytes - begin);
    read_part(leaf, begin, out.first(bytes));
    out = out.subspan(bytes);
    begin += bytes;
  }
}

}  // namespace vitrail::format
