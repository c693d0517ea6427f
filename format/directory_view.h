#pragma once
// Directory entries and role rows, read where they lie (SPEC.md, "Directory", "Roles").

#include "format/layout.h"
#include "format/message_view.h"

namespace vitrail::format {

inline Hash128 hash_at(Bytes bytes, std::uint64_t at) {
  return {get<std::uint64_t>(bytes, at), get<std::uint64_t>(bytes, at + 8)};
}

class EntryView {
 public:
  static constexpr std::uint32_t kAlias = 1, kSlice = 2;  // bits of flags()

  explicit EntryView(Bytes row) : row_(row) {}
  Bytes row() const { return row_; }  // with what a later version has put behind
  std::uint32_t name() const { return get<std::uint32_t>(row_, 0); }
  Role role() const { return Role{get<std::uint16_t>(row_, 4)}; }
  ElementType type() const { return ElementType{get<std::uint8_t>(row_, 6)}; }
  unsigned rank() const { return get<std::uint8_t>(row_, 7); }
  std::uint32_t flags() const { return get<std::uint32_t>(row_, 8); }
  bool alias() const { return (flags() & kAlias) != 0; }
  std::uint32_t link() const { return get<std::uint32_t>(row_, 12); }
  std::uint64_t offset() const { return get<std::uint64_t>(row_, 16); }
  std::uint64_t bytes() const { return get<std::uint64_t>(row_, 24); }
  std::uint64_t extent(unsigned axis) const { return get<std::uint64_t>(row_, 32 + std::uint64_t{8} * axis); }
  Hash128 hash() const { return hash_at(row_, 96); }
  std::uint32_t first_chunk() const { return get<std::uint32_t>(row_, 112); }
  std::uint32_t chunk_count() const { return get<std::uint32_t>(row_, 116); }
  std::uint64_t reserved() const { return get<std::uint64_t>(row_, 120); }
  // Runs of bytes that the content id takes as they stand.
  Bytes identity() const { return row_.subspan(4, 4); }
  Bytes extents() const { return row_.subspan(32, std::size_t{8} * rank()); }

 private:
  Bytes row_;
};

class RoleView {
 public:
  explicit RoleView(Bytes row) : row_(row) {}
  Bytes row() const { return row_; }
  Role role() const { return Role{get<std::uint16_t>(row_, 0)}; }
  std::uint32_t first() const { return get<std::uint32_t>(row_, 4); }
  std::uint32_t count() const { return get<std::uint32_t>(row_, 8); }
  std::uint64_t begin() const { return get<std::uint64_t>(row_, 16); }
  std::uint64_t end() const { return get<std::uint64_t>(row_, 24); }
  Hash128 hash() const { return hash_at(row_, 32); }
  // Both reserved numbers.
  bool reserved_zero() const { return get<std::uint16_t>(row_, 2) == 0 && get<std::uint32_t>(row_, 12) == 0; }

 private:
  Bytes row_;
};

}  // namespace vitrail::format
