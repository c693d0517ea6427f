#pragma once
// The leaves of a file's hash tree, for what reads and what verifies.

#include "format/container.h"

namespace vitrail::format {

// What one hash of the file covers: a whole small tensor, or a chunk of a large one.
struct Leaf {
  std::uint64_t entry = 0;
  std::int64_t chunk = -1;             // −1: the whole tensor
  std::uint64_t begin = 0, bytes = 0;  // in the tensor
  Hash128 hash;                        // as the file states it
};

Leaf leaf_of(const FileView& view, std::uint64_t entry, std::uint64_t chunk);
Damage damage_of(const FileView& view, const Leaf& leaf, const Hash128& found);
// Whether the hash of a tensor is that of its list of chunk hashes.
std::optional<Damage> damage_of_chunk_list(const FileView& view, std::uint64_t entry);

}  // namespace vitrail::format
