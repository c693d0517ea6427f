// Rule V31: slices lie inside their tensors, and in an index they cover each tensor exactly once. The slices
// of one tensor are the cells of a grid, so that this takes one look at each and no memory.

#include "format/slices.h"

#include <bitset>

#include "format/sections.h"

namespace vitrail::format {
namespace {

Refusal refuse_set(const char* what) {
  return refuse(Rule::V31, what);
}

Refusal open_structs(const TableView& table, std::uint16_t id, std::uint32_t stride, const char* what,
                     VectorView& out) {
  const std::optional<FieldView> field = table.find(id, FieldType::vector);
  if (!field) return refuse_set(what);
  out = field->vector();
  return out.elem_type == kElemStruct && out.stride == stride ? Refusal{} : refuse_set(what);
}

std::optional<std::uint64_t> number(const TableView& table, std::uint16_t id) {
  const std::optional<FieldView> field = table.find(id, FieldType::u64);
  return field ? std::optional(field->value()) : std::nullopt;
}

// Extents of a tensor within the limits of the format, those behind the rank 0.
template <class View>
std::optional<std::uint64_t> elements(const View& view, unsigned rank) {
  std::array<std::int64_t, kMaxRank> extents{};
  for (unsigned axis = 0; axis < kMaxRank; ++axis) {
    if (view.extent(axis) > (axis < rank ? kMaxExtent : 0)) return std::nullopt;
    extents[axis] = static_cast<std::int64_t>(view.extent(axis));
  }
  return element_count(std::span(extents).first(rank));
}

// Shards ---------------------------------------------------------------------------------------------------

Refusal check_shard_slice(const EntryView& entry, const SliceView& slice) {
  if (entry.alias()) return refuse_set("an alias in a shard");
  if (slice.reserved() != 0 || !elements(slice, entry.rank()))
    return refuse_set("a slice of a tensor with illegal extents");
  for (unsigned axis = 0; axis < kMaxRank; ++axis) {
    if (!inside(slice.start(axis), entry.extent(axis), slice.extent(axis)))
      return refuse_set("a slice that lies outside its tensor");
  }
  return {};
}

Refusal verify_shard(const FileView& file) {
  const std::optional<FieldView> set = file.root.find(section::kShardSet, FieldType::table);
  if (!set) return refuse_set("root field 17, shard set: expected a table");
  const std::optional<std::uint64_t> shards = number(set->table(), section::shard_set::kShards);
  const std::optional<std::uint64_t> shard = number(set->table(), section::shard_set::kShard);
  if (!shards || !shard || *shards > kMaxShards || *shard >= *shards)
    return refuse_set("number of shards, or number of this shard");
  VectorView slices;
  Refusal refusal = open_structs(file.root, section::kSlices, kSliceBytes,
                                 "root field 16, slices: expected structs of 144 bytes", slices);
  if (refusal.refused()) return refusal;
  if (slices.count != file.size()) return refuse(Rule::V31, "number of slices", file.size(), slices.count);
  for (std::uint32_t i = 0; i < slices.count; ++i) {
    const SliceView slice(slices.row(i));
    refusal = slice.tensor() != i || slice.shard() != *shard
                  ? refuse_set("a slice of another tensor or shard")
                  : check_shard_slice(file.entry(i), slice);
    if (refusal.refused()) return about(refusal, file, i);
  }
  return {};
}

// Index ----------------------------------------------------------------------------------------------------

Refusal open_files(const TableView& table, SetView& set) {
  const auto files = table.find(section::shard_set::kFiles, FieldType::strings);
  const auto sizes = table.find(section::shard_set::kFileBytes, FieldType::vector);
  if (!files || !sizes) return refuse_set("names or sizes of the shards");
  set.files = files->strings();
  set.sizes = sizes->vector();
  if (set.sizes.elem_type != kElemU64 || set.sizes.stride != 8)
    return refuse_set("sizes of the shards: expected u64");
  const Refusal refusal =
      open_structs(table, section::shard_set::kMetaHashes, kHashBytes, "hashes of the shards", set.hashes);
  if (refusal.refused()) return refusal;
  const std::optional<std::uint64_t> shards = number(table, section::shard_set::kShards);
  if (!shards || *shards == 0 || *shards > kMaxShards || set.files.size() != *shards ||
      set.sizes.count != *shards || set.hashes.count != *shards) {
    return refuse_set("number of shards, and of their names, sizes and hashes");
  }
  for (std::uint32_t i = 0; i < set.files.size(); ++i) {
    const std::string_view name = set.files[i];
    if (name.empty() || name.size() > 255 || name == "." || name == ".." || name.find('/') != name.npos)
      return refuse_set("a shard's name that is no name of a file");
  }
  return {};
}

Refusal open_set(const FileView& file, SetView& set) {
  const std::optional<FieldView> field = file.root.find(section::kShardSet, FieldType::table);
  if (!field) return refuse_set("root field 17, shard set: expected a table");
  const TableView table = field->table();
  const std::optional<std::uint64_t> kind = number(table, section::shard_set::kKind);
  if (!kind || *kind == 0 || *kind > static_cast<std::uint64_t>(FileKind::checkpoint))
    return refuse_set("kind of file that the set makes");
  set.kind = FileKind{static_cast<std::uint32_t>(*kind)};
  Refusal refusal = open_files(table, set);
  if (refusal.refused()) return refusal;
  const auto names = table.find(section::shard_set::kNames, FieldType::strings);
  if (!names) return refuse_set("names of the set's tensors");
  set.names = names->strings();
  refusal =
      open_structs(table, section::shard_set::kTensors, kSetTensorBytes, "the set's tensors", set.tensors);
  if (!refusal.refused()) {
    refusal = open_structs(file.root, section::kSlices, kSliceBytes,
                           "root field 16, slices: expected structs of 144 bytes", set.slices);
  }
  if (refusal.refused()) return refusal;
  if (set.tensors.count != set.names.size() || set.tensors.count > kMaxTensors)
    return refuse_set("number of the set's tensors, and of their names");
  if (!table.find(section::shard_set::kContentId)) return {};
  VectorView content;
  refusal = open_structs(table, section::shard_set::kContentId, kHashBytes, "content id of the set", content);
  if (refusal.refused() || content.count != 1) return refuse_set("content id of the set");
  set.content_id = hash_at(content.row(0), 0);
  return {};
}

// The slices of one tensor: whether they are, in order, the cells of a grid that covers it.
class Grid {
 public:
  Grid(const SetView& set, const SetTensorView& tensor, std::uint32_t first, std::uint64_t count)
      : set_(set),
        tensor_(tensor),
        first_(first),
        count_(count),
        empty_(*elements(tensor, tensor.rank()) == 0) {}

  Refusal check() {
    std::uint64_t step = 1;
    bool covers = count_ > 0;
    for (unsigned axis = tensor_.rank(); covers && axis-- > 0;) {
      steps_[axis] = step;
      covers = walk(axis);
      step *= cuts_[axis];
    }
    covers = covers && step == count_;
    for (std::uint64_t row = 0; covers && row < count_; ++row)
      covers = fits(row);
    return covers ? Refusal{} : refuse_set("slices that do not cover the tensor exactly once");
  }

 private:
  SliceView cell(std::uint64_t row) const { return set_.slice(first_ + row); }

  // Along one axis the cells at the edge of the others follow one another from 0 to its extent.
  bool walk(unsigned axis) {
    const std::uint64_t extent = tensor_.extent(axis);
    std::uint64_t position = 0;
    do {
      if (cuts_[axis] * steps_[axis] >= count_) return false;
      const SliceView edge = cell(cuts_[axis] * steps_[axis]);
      if (edge.start(axis) != position || !inside(position, edge.extent(axis), extent)) return false;
      if (edge.extent(axis) == 0 && !empty_) return false;
      position += edge.extent(axis);
      ++cuts_[axis];
    } while (position < extent && !empty_);
    return position == extent;
  }

  // A cell is cut where those at the edges are.
  bool fits(std::uint64_t row) const {
    const SliceView found = cell(row);
    for (unsigned axis = 0; axis < kMaxRank; ++axis) {
      std::uint64_t start = 0, extent = 0;
      if (axis < tensor_.rank()) {
        const SliceView edge = cell(row / steps_[axis] % cuts_[axis] * steps_[axis]);
        start = edge.start(axis);
        extent = edge.extent(axis);
      }
      if (found.start(axis) != start || found.extent(axis) != extent) return false;
    }
    return true;
  }

  const SetView& set_;
  const SetTensorView tensor_;
  const std::uint64_t first_, count_;
  const bool empty_;
  std::array<std::uint64_t, kMaxRank> steps_{},
      cuts_{};  // rows from one cell to the next, and cells, of an axis
};

class IndexVerifier {
 public:
  explicit IndexVerifier(const SetView& set) : set_(set) {}

  Refusal run() {
    for (std::uint32_t i = 0; i < set_.tensors.count; ++i) {
      Refusal refusal = tensor(i);
      if (!refusal.refused())
        refusal = set_.tensor(i).owner() == SetTensorView::kNoOwner ? cells(i) : alias(i);
      if (refusal.refused()) {
        refusal.tensor = set_.names[i];
        return refusal;
      }
    }
    return next_ == set_.slices.count ? Refusal{} : refuse_set("a slice behind those of the last tensor");
  }

 private:
  Refusal tensor(std::uint32_t index) const {
    const SetTensorView tensor = set_.tensor(index);
    const std::string_view name = set_.names[index];
    if (name.empty() || name.size() > kMaxName) return refuse_set("length of a tensor's name (1 to 1024)");
    if (index > 0) {
      const Role before = set_.tensor(index - 1).role();
      if (before > tensor.role() || (before == tensor.role() && !(set_.names[index - 1] < name)))
        return refuse_set("the set's tensors are not in ascending order of role and name");
    }
    if (tensor.rank() > kMaxRank || !bits_of(tensor.type()) || !elements(tensor, tensor.rank()))
      return refuse_set("type, rank or extents of a tensor");
    return {};
  }

  Refusal alias(std::uint32_t index) const {
    const SetTensorView tensor = set_.tensor(index);
    if (tensor.owner() >= index) return refuse_set("an alias of a tensor that does not stand before it");
    const SetTensorView owner = set_.tensor(tensor.owner());
    const bool same = owner.owner() == SetTensorView::kNoOwner && owner.role() == tensor.role() &&
                      owner.type() == tensor.type() &&
                      elements(owner, owner.rank()) == elements(tensor, tensor.rank());
    return same ? Refusal{} : refuse_set("an alias of a tensor of another role, type or number of elements");
  }

  // The rows of one tensor, from next_ on: those that name it.
  Refusal cells(std::uint32_t index) {
    const std::uint32_t first = next_;
    while (next_ < set_.slices.count && set_.slice(next_).tensor() == index)
      ++next_;
    Refusal refusal = shards(first);
    const SetTensorView tensor = set_.tensor(index);
    if (!refusal.refused()) refusal = Grid(set_, tensor, first, next_ - first).check();
    const bool halves = *bits_of(tensor.type()) < 8;  // two elements of the last axis in a byte
    for (std::uint32_t row = first; row < next_ && !refusal.refused() && halves; ++row) {
      if (tensor.rank() == 0 || set_.slice(row).extent(tensor.rank() - 1) % 2 != 0)
        refusal = refuse_set("a slice that begins or ends in the middle of a byte");
    }
    return refusal;
  }

  // Each slice of a tensor is in another shard.
  Refusal shards(std::uint32_t first) {
    Refusal refusal;
    std::uint32_t row = first;
    for (; row < next_ && !refusal.refused(); ++row) {
      const SliceView slice = set_.slice(row);
      if (slice.shard() >= set_.shards() || seen_[slice.shard()] || slice.reserved() != 0) {
        refusal = refuse_set("a slice in no shard, or two of one tensor in one shard");
        break;
      }
      seen_[slice.shard()] = true;
    }
    while (row-- > first)
      seen_[set_.slice(row).shard()] = false;
    return refusal;
  }

  const SetView& set_;
  std::uint32_t next_ = 0;
  std::bitset<kMaxShards> seen_;
};

}  // namespace

Refusal verify_index(const FileView& file, SetView& out) {
  if (file.size() != 0) return refuse_set("an index with tensors of its own");
  const Refusal refusal = open_set(file, out);
  return refusal.refused() ? refusal : IndexVerifier(out).run();
}

Refusal verify_slices(const FileView& file, FileKind& sections) {
  const bool shard = file.prologue.kind == FileKind::shard;
  if (!shard && file.prologue.kind != FileKind::shard_index) return {};
  SetView set;
  const Refusal refusal = shard ? verify_shard(file) : verify_index(file, set);
  sections = shard ? FileKind::weights : set.kind;
  return refusal;
}

}  // namespace vitrail::format
