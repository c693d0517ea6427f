#include "tests/support/format_assembler.h"

#include <algorithm>
#include <set>
#include <stdexcept>

namespace vitrail::test {
namespace {

using format::Bytes;
using format::get;
using format::Hash128;
using format::hash128;

constexpr std::uint64_t kPageBytes = 4096, kFooterSize = 64, kHeadSize = 128;

std::uint64_t round_up(std::uint64_t value, std::uint64_t to) {
  return (value + to - 1) / to * to;
}

struct Placed {
  std::uint64_t offset = 0;
  Hash128 hash;
};

class Assembler {
 public:
  explicit Assembler(const FileSpec& spec) : spec_(spec) {
    std::set<std::string> names;
    for (const TensorSpec& tensor : spec.tensors)
      names.insert(tensor.name);
    names_.assign(names.begin(), names.end());
    if (spec.names) spec.names(names_);
  }

  ByteVector run() {
    place(0);
    const std::uint64_t data_offset = round_up(kHeadSize + metadata().size(), kPageBytes);
    place(data_offset);
    const ByteVector meta = metadata();
    const std::uint64_t file_bytes = round_up(end_ + kFooterSize, kPageBytes);
    ByteVector file(file_bytes);
    const ByteVector head = prologue(meta.size(), data_offset, file_bytes);
    std::copy(head.begin(), head.end(), file.begin());
    std::copy(meta.begin(), meta.end(), file.begin() + kHeadSize);
    for (std::size_t i = 0; i < spec_.tensors.size(); ++i) {
      if ((spec_.tensors[i].flags & 1) == 0) {
        const ByteVector& bytes = spec_.tensors[i].bytes;
        std::copy(bytes.begin(), bytes.end(), file.begin() + static_cast<std::ptrdiff_t>(placed_[i].offset));
      }
    }
    if (spec_.file) spec_.file(file);
    seal(file);
    return file;
  }

 private:
  void place(std::uint64_t data_offset) {
    placed_.assign(spec_.tensors.size(), {});
    std::uint64_t cursor = data_offset;
    for (std::size_t i = 0; i < placed_.size(); ++i) {
      const TensorSpec& tensor = spec_.tensors[i];
      if ((tensor.flags & 1) != 0 && tensor.link < i) {
        placed_[i] = placed_[tensor.link];
      } else {
        placed_[i].offset = round_up(cursor, tensor.bytes.size() >= 65536 ? kPageBytes : 64);
        placed_[i].hash = hash128(tensor.bytes);
      }
      if (tensor.offset) placed_[i].offset = *tensor.offset;
      if (tensor.hash) placed_[i].hash = *tensor.hash;
      if ((tensor.flags & 1) == 0) cursor = placed_[i].offset + tensor.bytes.size();
    }
    end_ = cursor;
  }

  std::uint32_t name_index(const TensorSpec& tensor) const {
    const auto found = std::find(names_.begin(), names_.end(), tensor.name);
    return tensor.name_index.value_or(static_cast<std::uint32_t>(found - names_.begin()));
  }

  ByteVector directory() const {
    ByteScript out;
    for (std::size_t i = 0; i < spec_.tensors.size(); ++i) {
      const TensorSpec& tensor = spec_.tensors[i];
      const std::size_t begin = out.bytes().size();
      out.u32(name_index(tensor)).u16(tensor.role).u8(tensor.type);
      out.u8(tensor.rank.value_or(static_cast<std::uint8_t>(tensor.extents.size())));
      out.u32(tensor.flags).u32(tensor.link);
      out.u64(placed_[i].offset).u64(tensor.size.value_or(tensor.bytes.size()));
      for (std::size_t axis = 0; axis < 8; ++axis)
        out.u64(axis < tensor.extents.size() ? tensor.extents[axis] : 0);
      out.hash(placed_[i].hash);
      out.u32(tensor.first_chunk.value_or(0)).u32(tensor.chunks.value_or(0));
      out.u64(tensor.reserved);
      for (std::byte byte : tensor.tail)
        out.u8(std::to_integer<std::uint8_t>(byte));
      out.zeros_to(begin + spec_.entry_bytes);
    }
    return out.bytes();
  }

  std::vector<RoleSpec> roles() const {
    std::vector<RoleSpec> rows;
    ByteScript hashes;
    for (std::size_t i = 0; i < spec_.tensors.size(); ++i) {
      const TensorSpec& tensor = spec_.tensors[i];
      if (rows.empty() || rows.back().role != tensor.role) {
        hashes = {};
        rows.push_back({.role = tensor.role, .first = static_cast<std::uint32_t>(i), .hash = {}});
        rows.back().begin = placed_[i].offset;
      }
      ++rows.back().count;
      if ((tensor.flags & 1) == 0)
        rows.back().end = placed_[i].offset + tensor.size.value_or(tensor.bytes.size());
      rows.back().hash = hash128(hashes.hash(placed_[i].hash).bytes());
    }
    if (spec_.roles) spec_.roles(rows);
    return rows;
  }

  ByteVector role_table() const {
    ByteScript out;
    for (const RoleSpec& row : roles()) {
      const std::size_t begin = out.bytes().size();
      out.u16(row.role).u16(row.reserved16).u32(row.first).u32(row.count).u32(row.reserved32);
      out.u64(row.begin).u64(row.end).hash(row.hash);
      for (std::byte byte : row.tail)
        out.u8(std::to_integer<std::uint8_t>(byte));
      out.zeros_to(begin + spec_.role_bytes);
    }
    return out.bytes();
  }

  Hash128 content_id() const {
    ByteScript id;
    for (std::size_t i = 0; i < spec_.tensors.size(); ++i) {
      const TensorSpec& tensor = spec_.tensors[i];
      const std::uint32_t name = name_index(tensor);
      const std::string text = name < names_.size() ? names_[name] : "";
      id.u16(tensor.role)
          .u8(tensor.type)
          .u8(tensor.rank.value_or(static_cast<std::uint8_t>(tensor.extents.size())));
      id.u32(static_cast<std::uint32_t>(text.size())).text(text);
      for (std::uint64_t extent : tensor.extents)
        id.u64(extent);
      id.hash(placed_[i].hash);
    }
    return spec_.content_id.value_or(hash128(id.bytes()));
  }

  ByteVector metadata() const {
    format::Table root = spec_.root;
    root.set(3, names_);
    root.set(4, format::Vector{32, spec_.entry_bytes, directory()});
    if (!root.has(5)) root.set(5, format::Vector{32, 16, {}});
    root.set(6, format::Vector{32, spec_.role_bytes, role_table()});
    if (spec_.finished_root) spec_.finished_root(root);
    ByteVector meta = format::encode_message(root);
    if (spec_.metadata) spec_.metadata(meta);
    return meta;
  }

  ByteVector prologue(std::uint64_t meta_bytes, std::uint64_t data_offset, std::uint64_t file_bytes) const {
    ByteScript out;
    out.u8(0x89).text("VTL\r\n").u8(0x1A).u8('\n').u16(1).u16(spec_.minor).u32(kHeadSize);
    out.u64(file_bytes).u64(kHeadSize).u64(meta_bytes).u64(data_offset);
    out.u64(file_bytes - kFooterSize - data_offset).u64(spec_.required).u64(spec_.optional);
    out.u32(spec_.kind).u32(1).hash({}).hash(content_id()).u64(spec_.reserved).u64(0);
    return out.bytes();
  }

  const FileSpec& spec_;
  std::vector<std::string> names_;
  std::vector<Placed> placed_;
  std::uint64_t end_ = 0;
};

}  // namespace

ByteVector assemble(const FileSpec& spec) {
  return Assembler(spec).run();
}

std::size_t record_of(const ByteVector& metadata, std::uint16_t id) {
  for (std::size_t i = 0; i < get<std::uint32_t>(metadata, 4); ++i) {
    if (get<std::uint16_t>(metadata, 16 + 16 * i) == id) return 16 + 16 * i;
  }
  throw std::logic_error("no such field");
}

std::size_t object_of(const ByteVector& metadata, std::uint16_t id) {
  return get<std::uint64_t>(metadata, record_of(metadata, id) + 8);
}

}  // namespace vitrail::test
