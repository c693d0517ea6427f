#include "format/shards.h"

#include <fmt/format.h>

#include <stdexcept>

#include "format/sections.h"

namespace vitrail::format {
namespace {

constexpr std::uint64_t kBatchBytes = kChunkBytes;  // read at once where bytes have to be rearranged

std::uint64_t product(std::span<const std::int64_t> extents) {
  std::uint64_t elements = 1;
  for (std::int64_t extent : extents)
    elements *= static_cast<std::uint64_t>(extent);
  return elements;
}

std::uint64_t byte_count(ElementType type, std::span<const std::int64_t> extents) {
  return product(extents) * static_cast<std::uint64_t>(*bits_of(type)) / 8;
}

template <class View>
std::vector<std::int64_t> extents_of(const View& view, unsigned rank) {
  std::vector<std::int64_t> extents(rank);
  for (unsigned axis = 0; axis < rank; ++axis)
    extents[axis] = static_cast<std::int64_t>(view.extent(axis));
  return extents;
}

Box box_of(const SliceView& slice, unsigned rank) {
  Box box{std::vector<std::int64_t>(rank), extents_of(slice, rank)};
  for (unsigned axis = 0; axis < rank; ++axis)
    box.start[axis] = static_cast<std::int64_t>(slice.start(axis));
  return box;
}

}  // namespace

ShardSet ShardSet::open(const std::filesystem::path& index) {
  ShardSet set;
  set.path_ = index;
  set.index_ = Container::open(index);
  if (set.index_.kind() != FileKind::shard_index) {
    throw FormatError(fmt::format("{}: expected the index of a sharded set, found a {} file", index.string(),
                                  name_of(set.index_.kind())));
  }
  verify_index(set.index_.view(), set.set_);
  set.list_tensors();
  set.list_cells();
  set.opened_.resize(set.shards());
  return set;
}

void ShardSet::list_tensors() {
  for (std::uint32_t i = 0; i < set_.tensors.count; ++i) {
    const SetTensorView view = set_.tensor(i);
    TensorRecord tensor{
        std::string(set_.names[i]), view.role(), view.type(), extents_of(view, view.rank()), {}};
    if (view.owner() != SetTensorView::kNoOwner) tensor.alias_of = set_.names[view.owner()];
    tensors_.push_back(std::move(tensor));
  }
}

void ShardSet::list_cells() {
  in_shard_.resize(shards());
  for (std::uint32_t row = 0; row < set_.slices.count; ++row) {
    const SliceView slice = set_.slice(row);
    first_cell_.resize(slice.tensor() + std::size_t{1}, cells_.size());
    in_shard_[slice.shard()].push_back(row);
    const auto rank = static_cast<unsigned>(tensors_[slice.tensor()].shape.size());
    cells_.push_back({slice.tensor(), slice.shard(), box_of(slice, rank)});
  }
  first_cell_.resize(tensors_.size() + 1, cells_.size());
}

const TensorRecord& ShardSet::owner(const TensorRecord& tensor) const {
  const auto index = static_cast<std::size_t>(&tensor - tensors_.data());
  const std::uint32_t owner = set_.tensor(index).owner();
  return owner == SetTensorView::kNoOwner ? tensor : tensors_[owner];
}

std::span<const ShardSet::Cell> ShardSet::cells(const TensorRecord& tensor) const {
  const auto index = static_cast<std::size_t>(&owner(tensor) - tensors_.data());
  return std::span(cells_).subspan(first_cell_[index], first_cell_[index + 1] - first_cell_[index]);
}

Table ShardSet::root() const {
  Table root = index_.root();
  for (section::Id id : {section::kSlices, section::kShardSet})
    root.erase(id);
  return root;
}

const Container& ShardSet::shard(std::uint32_t number) const {
  if (opened_[number]) return *opened_[number];
  const std::filesystem::path path = path_.parent_path() / set_.files[number];
  const std::string name = fmt::format("shard {} of {}", number, shards());
  if (!std::filesystem::exists(path)) {
    throw FileError(fmt::format("{}: {} is missing: expected {}", path_.string(), name, path.string()));
  }
  try {
    auto shard = std::make_unique<const Container>(Container::open(path));
    match(*shard, number);
    opened_[number] = std::move(shard);
  } catch (const FormatError& error) {
    throw FormatError::within(fmt::format("{}: {}", path_.string(), name), error);
  }
  return *opened_[number];
}

// What the index says of the shard is what the shard says of itself.
void ShardSet::match(const Container& shard, std::uint32_t number) const {
  const Hash128 expected = hash_at(set_.hashes.row(number), 0), found = shard.view().prologue.meta_hash;
  const auto bytes = get<std::uint64_t>(set_.sizes.row(number), 0);
  if (shard.file_bytes() != bytes || found != expected) {
    throw FormatError(
        fmt::format("{} is not the shard that the index means: expected {} bytes with metadata hash {}, "
                    "found {} with {}; it belongs to another set",
                    shard.name(), bytes, to_hex(expected), shard.file_bytes(), to_hex(found)),
        "V31");
  }
  bool same = shard.kind() == FileKind::shard && shard.tensors().size() == in_shard_[number].size();
  for (std::size_t i = 0; same && i < in_shard_[number].size(); ++i)
    same = same_slice(shard, cells_[in_shard_[number][i]]);
  if (!same)
    throw FormatError(fmt::format("{}: its slices are not those that the index lists", shard.name()), "V31");
}

bool ShardSet::same_slice(const Container& shard, const Cell& cell) const {
  const TensorRecord& tensor = tensors_[cell.tensor];
  const TensorRecord* found = shard.find(tensor.role, tensor.name);
  if (!found || found->type != tensor.type || found->shape != cell.box.extents) return false;
  const auto index = static_cast<std::uint64_t>(found - shard.tensors().data());
  const SliceView slice(shard.view().root.find(section::kSlices)->vector().row(index));
  const auto rank = static_cast<unsigned>(tensor.shape.size());
  return slice.shard() == cell.shard && box_of(slice, rank) == Box{cell.box.start, tensor.shape};
}

void ShardSet::verify_all() const {
  for (std::uint32_t number = 0; number < shards(); ++number)
    shard(number).verify_all();
}

std::optional<Bytes> ShardSet::in_one_shard(const TensorRecord& tensor) const {
  const std::span<const Cell> parts = cells(tensor);
  if (parts.size() != 1) return std::nullopt;
  const Container& holder = shard(parts[0].shard);
  return holder.read(*holder.find(tensor.role, owner(tensor).name));
}

void ShardSet::read(const TensorRecord& tensor, const Box& box, std::span<std::byte> out) const {
  const bool halves = *bits_of(tensor.type) < 8;
  if (!holds(whole(tensor.shape), box) || out.size() != byte_count(tensor.type, box.extents) ||
      (halves && (box.start.back() % 2 != 0 || box.extents.back() % 2 != 0))) {
    throw std::invalid_argument(
        fmt::format("tensor '{}': a box outside it, of other bytes than the memory "
                    "for it, or in the middle of a byte",
                    tensor.name));
  }
  const TensorRecord& held = owner(tensor);
  if (held.shape != tensor.shape) {  // an alias with a shape of its own: the elements in order are the same
    std::vector<std::byte> all(byte_count(held.type, held.shape));
    read(held, whole(held.shape), all);
    if (product(box.extents) > 0) copy_box(box, whole(tensor.shape), all, box, out, *bits_of(tensor.type));
    return;
  }
  for (const Cell& cell : cells(tensor))
    gather(cell, box, out);
}

// What one cell has of the wanted box, row by row of the first axis as far as a batch goes.
void ShardSet::gather(const Cell& cell, const Box& wanted, std::span<std::byte> out) const {
  const std::optional<Box> part = intersection(cell.box, wanted);
  if (!part) return;
  const TensorRecord& tensor = tensors_[cell.tensor];
  const Container& holder = shard(cell.shard);
  const TensorRecord& slice = *holder.find(tensor.role, tensor.name);
  const int bits = *bits_of(tensor.type);
  if (tensor.shape.empty() || (part == cell.box && part == wanted)) return holder.read(slice, out);
  const std::uint64_t row_bytes = holder.byte_size(slice) / static_cast<std::uint64_t>(cell.box.extents[0]);
  if (row_bytes == 0) {  // a row of half a byte: the tensor has one axis
    std::vector<std::byte> all(holder.byte_size(slice));
    holder.read(slice, all);
    return copy_box(*part, cell.box, all, wanted, out, bits);
  }
  const std::int64_t end = part->start[0] + part->extents[0];
  const auto most = static_cast<std::int64_t>(std::max<std::uint64_t>(1, kBatchBytes / row_bytes));
  std::vector<std::byte> batch;
  for (std::int64_t row = part->start[0]; row < end; row += most) {
    Box rows = cell.box, share = *part;
    rows.start[0] = share.start[0] = row;
    rows.extents[0] = share.extents[0] = std::min(most, end - row);
    batch.resize(row_bytes * static_cast<std::uint64_t>(rows.extents[0]));
    holder.read_rows(slice, static_cast<std::uint64_t>(row - cell.box.start[0]),
                     static_cast<std::uint64_t>(rows.extents[0]), batch);
    copy_box(share, rows, batch, wanted, out, bits);
  }
}

}  // namespace vitrail::format
