#pragma once
// Indexes and shards made by hand from SPEC.md, "Sharded sets", so that tests can make them wrong.

#include <algorithm>

#include "format/container_plan.h"
#include "tests/support/format_file.h"

namespace vitrail::test {

struct SliceRow {
  std::uint32_t tensor = 0, shard = 0;
  std::vector<std::uint64_t> extents, start;
  std::uint64_t reserved = 0;
};

struct SetTensorRow {
  std::string name;
  std::uint16_t role = 0;
  std::uint8_t type = 18, rank = 2;
  std::uint32_t owner = 0xFFFFFFFF;
  std::vector<std::uint64_t> extents;
};

inline void append_numbers(format::Vector& rows, const std::vector<std::uint64_t>& numbers) {
  for (std::size_t axis = 0; axis < 8; ++axis)
    format::append(rows.data, axis < numbers.size() ? numbers[axis] : 0);
}

inline format::Vector slice_vector(const std::vector<SliceRow>& rows) {
  format::Vector out{32, 144, {}};
  for (const SliceRow& row : rows) {
    format::append(out.data, row.tensor);
    format::append(out.data, row.shard);
    append_numbers(out, row.extents);
    append_numbers(out, row.start);
    format::append(out.data, row.reserved);
  }
  return out;
}

// "a" f32 (4, 6), cut before row 1 and before column 2 into shards 3 2 / 1 0; its first moment, whole in
// shard 1; "t", another shape of "a".
struct IndexScript {
  std::vector<SetTensorRow> tensors{{.name = "a", .extents = {4, 6}},
                                    {.name = "t", .rank = 1, .owner = 0, .extents = {24}},
                                    {.name = "a", .role = 16, .extents = {4, 6}}};
  std::vector<SliceRow> slices{{0, 3, {1, 2}, {0, 0}},
                               {0, 2, {1, 4}, {0, 2}},
                               {0, 1, {3, 2}, {1, 0}},
                               {0, 0, {3, 4}, {1, 2}},
                               {2, 1, {4, 6}, {0, 0}}};
  std::uint64_t shards = 4, kind = 1;
  std::vector<std::string> files{"0", "1", "2", "3"};
  std::vector<std::uint64_t> sizes{4096, 4096, 4096, 4096};
  std::size_t hashes = 4;

  format::Table set() const {
    format::Table set;
    format::Vector rows{32, 72, {}};
    std::vector<std::string> names;
    for (const SetTensorRow& tensor : tensors) {
      names.push_back(tensor.name);
      format::append(rows.data, tensor.role);
      format::append(rows.data, tensor.type);
      format::append(rows.data, tensor.rank);
      format::append(rows.data, tensor.owner);
      append_numbers(rows, tensor.extents);
    }
    set.set(1, shards);
    set.set(3, kind);
    set.set(4, files);
    set.set(5, sizes);
    set.set(6, format::Vector{32, 16, std::vector<std::byte>(16 * hashes)});
    set.set(7, std::move(names));
    set.set(8, std::move(rows));
    return set;
  }

  format::ContainerContents contents() const {
    format::ContainerContents contents{format::FileKind::shard_index, {}, {}};
    contents.root.set(1, "test");
    contents.root.set(16, slice_vector(slices));
    contents.root.set(17, set());
    return contents;
  }
};

// The shard of tiny_contents(): "a" (2) is elements 1 to 2 of 5, "b" and the moment of "a" are whole.
struct ShardScript {
  std::vector<SliceRow> slices{{0, 1, {5}, {1}}, {1, 1, {3}, {0}}, {2, 1, {2}, {0}}};
  std::uint64_t shards = 2, shard = 1;

  format::ContainerContents contents() const {
    format::ContainerContents contents = tiny_contents();
    contents.kind = format::FileKind::shard;
    format::Table set;
    set.set(1, shards);
    set.set(2, shard);
    contents.root.set(16, slice_vector(slices));
    contents.root.set(17, std::move(set));
    return contents;
  }
};

// The bytes of a file, whether or not a reader would take it: made as weights, of which nobody asks what
// kinds 4 and 5 must have.
inline ByteVector assemble(format::ContainerContents contents) {
  const auto kind = static_cast<std::uint32_t>(contents.kind);
  contents.kind = format::FileKind::weights;
  format::ContainerPlan plan(contents);
  for (std::size_t i = 0; i < plan.pieces().size(); ++i)
    plan.set_hash(i, format::hash128(plan.pieces()[i].bytes));
  plan.seal();
  ByteVector file(plan.file_bytes());
  const auto put = [&](std::uint64_t offset, format::Bytes bytes) {
    std::copy(bytes.begin(), bytes.end(), file.begin() + static_cast<std::ptrdiff_t>(offset));
  };
  put(0, plan.head());
  for (const format::Piece& piece : plan.pieces())
    put(piece.offset, piece.bytes);
  patch(file, 72, kind);
  seal(file);
  return file;
}

}  // namespace vitrail::test
