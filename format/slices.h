#pragma once
// Tensors that are cut up among files (SPEC.md, "Sharded sets"): the slices and the list of a set, read where
// they lie, and rule V31.

#include "format/verify.h"

namespace vitrail::format {

inline constexpr std::uint32_t kMaxShards = 65536;
inline constexpr std::uint32_t kSliceBytes = 144, kSetTensorBytes = 72;

// One row of root field 16.
class SliceView {
 public:
  explicit SliceView(Bytes row) : row_(row) {}
  std::uint32_t tensor() const { return get<std::uint32_t>(row_, 0); }
  std::uint32_t shard() const { return get<std::uint32_t>(row_, 4); }
  // In a shard the extents of the whole tensor; in an index those of the slice.
  std::uint64_t extent(unsigned axis) const { return get<std::uint64_t>(row_, 8 + std::uint64_t{8} * axis); }
  std::uint64_t start(unsigned axis) const { return get<std::uint64_t>(row_, 72 + std::uint64_t{8} * axis); }
  std::uint64_t reserved() const { return get<std::uint64_t>(row_, 136); }

 private:
  Bytes row_;
};

// One tensor of a set, as the index lists it.
class SetTensorView {
 public:
  explicit SetTensorView(Bytes row) : row_(row) {}
  Role role() const { return Role{get<std::uint16_t>(row_, 0)}; }
  ElementType type() const { return ElementType{get<std::uint8_t>(row_, 2)}; }
  unsigned rank() const { return get<std::uint8_t>(row_, 3); }
  std::uint32_t owner() const { return get<std::uint32_t>(row_, 4); }  // of an alias, else kNoOwner
  std::uint64_t extent(unsigned axis) const { return get<std::uint64_t>(row_, 8 + std::uint64_t{8} * axis); }
  static constexpr std::uint32_t kNoOwner = 0xFFFFFFFF;

 private:
  Bytes row_;
};

// An index's account of its set: the shards in order, the tensors in order, their slices tensor by tensor.
struct SetView {
  FileKind kind = FileKind::weights;  // of the whole
  StringsView files, names;
  VectorView sizes, hashes, tensors, slices;
  std::optional<Hash128> content_id;  // of the whole, where the writer knew it

  std::uint32_t shards() const { return files.size(); }
  SetTensorView tensor(std::uint64_t index) const { return SetTensorView(tensors.row(index)); }
  SliceView slice(std::uint64_t index) const { return SliceView(slices.row(index)); }
};

// V31 for a file whose directory has been verified; kinds that are no part of a set pass. `sections` becomes
// the kind of file whose sections this one must have.
Refusal verify_slices(const FileView& file, FileKind& sections);
// The same for an index; `out` is complete when nothing is refused.
Refusal verify_index(const FileView& file, SetView& out);

}  // namespace vitrail::format
