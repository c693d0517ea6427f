#pragma once
// Sharded sets (SPEC.md, "Sharded sets"): one state in several files and an index, which is written last and
// makes the set exist.

#include <memory>

#include "format/container.h"
#include "format/shard_box.h"
#include "format/slices.h"

namespace vitrail::format {

// A set that exists. Shards are opened when they are needed; not for several threads at once.
class ShardSet {
 public:
  // Checks the index alone. Throws FormatError, FileError.
  static ShardSet open(const std::filesystem::path& index);

  FileKind kind() const { return set_.kind; }  // of the whole
  Table root() const;                          // of the whole
  std::uint32_t shards() const { return set_.shards(); }
  // Of the whole, ordered by role and name; without bytes.
  const std::vector<TensorRecord>& tensors() const { return tensors_; }
  const std::optional<Hash128>& content_id() const { return set_.content_id; }

  // Opens and checks one shard: that it is there, whole, and the one that the index means. Throws FileError,
  // FormatError, naming it.
  const Container& shard(std::uint32_t number) const;
  // Every byte of every shard.
  void verify_all() const;

  // The elements of a box of one of tensors(), dense and row-major, gathered from the shards that have them.
  // Reads and checks only the chunks they lie in. Throws like shard(), and std::invalid_argument for a box
  // that is not in the tensor or begins or ends in the middle of a byte.
  void read(const TensorRecord& tensor, const Box& box, std::span<std::byte> out) const;
  // The bytes of the whole tensor when one shard has all of it; valid as long as the set.
  std::optional<Bytes> in_one_shard(const TensorRecord& tensor) const;

 private:
  struct Cell {
    std::size_t tensor = 0;
    std::uint32_t shard = 0;
    Box box;
  };
  std::span<const Cell> cells(const TensorRecord& tensor) const;  // of an alias, its owner's
  const TensorRecord& owner(const TensorRecord& tensor) const;
  void list_tensors();
  void list_cells();
  void match(const Container& shard, std::uint32_t number) const;
  bool same_slice(const Container& shard, const Cell& cell) const;
  void gather(const Cell& cell, const Box& wanted, std::span<std::byte> out) const;

  std::filesystem::path path_;
  Container index_;
  SetView set_;
  std::vector<TensorRecord> tensors_;
  std::vector<Cell> cells_;
  std::vector<std::size_t> first_cell_;               // one a tensor, and the end
  std::vector<std::vector<std::uint32_t>> in_shard_;  // cells of each shard
  mutable std::vector<std::unique_ptr<const Container>> opened_;
};

// Which part of which tensor goes to which shard.
struct PlannedSlice {
  std::size_t tensor = 0;
  std::uint32_t shard = 0;
  Box box;
};

// Large tensors divided along their first axis as evenly as possible, small ones (below 64 KiB) whole on the
// shard that has least so far. In the order of the tensors; aliases have no slices.
std::vector<PlannedSlice> divide(std::span<const TensorRecord> tensors, std::uint32_t shards);

struct SplitResult {
  std::filesystem::path index;
  std::vector<std::filesystem::path> shards;
  std::uint64_t bytes = 0;  // of all of them
};

// A file as a set of `shards` files NAME.rRRRRR-of-NNNNN.vitrail and NAME.index.vitrail, which is written
// last; `name` may have a folder before it. Throws FileError, also when the index is there already: an
// interrupted split would leave neither the old set nor the new one. Throws FormatError.
SplitResult split_container(const std::filesystem::path& file, const std::filesystem::path& name,
                            std::uint32_t shards);

// The one file of a set: byte for byte what was split. Needs memory for the tensors that are cut. Throws
// FormatError, FileError.
WriteResult consolidate(const std::filesystem::path& index, const std::filesystem::path& file);

}  // namespace vitrail::format
