// Rules V20 to V30: what the names, the directory, the chunk hashes and the role table say, and that all of
// it agrees.

#include <bitset>

#include "format/sections.h"
#include "format/verify.h"

namespace vitrail::format {
namespace {

// A vector of structs of `stride` bytes; of more where a later version may have added members.
Refusal open_structs(const FileView& file, section::Id id, const char* what, std::uint32_t stride,
                     bool may_grow, VectorView& out) {
  const std::optional<FieldView> field = file.root.find(id, FieldType::vector);
  if (!field) return refuse(Rule::V20, what);
  out = field->vector();
  const bool fits = out.stride == stride || (may_grow && file.prologue.newer() && out.stride > stride);
  if (out.elem_type != kElemStruct) return refuse(Rule::V20, what, kElemStruct, out.elem_type);
  return fits ? Refusal{} : refuse(Rule::V20, what, stride, out.stride);
}

Refusal open_fields(FileView& file) {
  if (!file.root.find(section::kProducer, FieldType::text))
    return refuse(Rule::V20, "root field 1, producer: expected a text");
  const std::optional<FieldView> names = file.root.find(section::kNames, FieldType::strings);
  if (!names) return refuse(Rule::V20, "root field 3, names: expected strings");
  file.names = names->strings();
  Refusal refusal =
      open_structs(file, section::kTensors, "root field 4, tensors: expected structs of known size",
                   kEntryBytes, true, file.tensors);
  if (refusal.refused()) return refusal;
  refusal =
      open_structs(file, section::kChunkHashes, "root field 5, chunk hashes: expected structs of known size",
                   kHashBytes, false, file.chunks);
  if (refusal.refused()) return refusal;
  refusal = open_structs(file, section::kRoles, "root field 6, roles: expected structs of known size",
                         kRoleBytes, true, file.roles);
  if (refusal.refused()) return refusal;
  if (file.tensors.count > kMaxTensors)
    return refuse(Rule::V20, "number of tensors (at most)", kMaxTensors, file.tensors.count);
  return {};
}

Refusal check_names(const StringsView& names) {
  if (names.size() > kMaxTensors)
    return refuse(Rule::V21, "number of names (at most)", kMaxTensors, names.size());
  for (std::uint32_t i = 0; i < names.size(); ++i) {
    if (names[i].empty() || names[i].size() > kMaxName)
      return refuse(Rule::V21, "names of tensors: length of one (1 to 1024)", kMaxName, names[i].size());
    if (i > 0 && !(names[i - 1] < names[i]))
      return refuse(Rule::V21, "names of tensors: not in ascending order");
  }
  return {};
}

// One pass over the directory. Its functions return what they refuse.
class DirectoryVerifier {
 public:
  explicit DirectoryVerifier(const FileView& file)
      : file_(file), data_end_(file.prologue.file_bytes - kFooterBytes), cursor_(file.prologue.data_offset) {}

  Refusal run() {
    for (std::uint64_t i = 0; i < file_.size(); ++i) {
      const Refusal refusal = entry(i);
      if (refusal.refused()) return about(refusal, file_, i);
    }
    return finish();
  }

 private:
  Refusal entry(std::uint64_t index) {
    const EntryView entry = file_.entry(index);
    if (entry.name() >= file_.names.size())
      return refuse(Rule::V21, "name index (below)", file_.names.size(), entry.name());
    Refusal refusal = order(entry, index);
    if (!refusal.refused()) refusal = flags(entry);
    if (!refusal.refused()) refusal = shape(entry);
    if (!refusal.refused()) refusal = entry.alias() ? alias(entry, index) : place(entry);
    if (refusal.refused()) return refusal;
    used_[entry.name()] = true;
    identify(entry);
    return {};
  }

  Refusal order(const EntryView& entry, std::uint64_t index) const {
    if (index == 0) return {};
    const EntryView before = file_.entry(index - 1);
    const bool ascends =
        before.role() < entry.role() || (before.role() == entry.role() && before.name() < entry.name());
    return ascends ? Refusal{}
                   : refuse(Rule::V22, "the directory is not in ascending order of role and name");
  }

  Refusal flags(const EntryView& entry) const {
    if ((entry.flags() & ~EntryView::kAlias) != 0)
      return refuse(Rule::V28, "flags of its entry (0 or 1)", 0, entry.flags());
    if (!entry.alias() && entry.link() != 0)
      return refuse(Rule::V28, "link of an entry that is no alias", 0, entry.link());
    if (!file_.prologue.newer() && entry.reserved() != 0)
      return refuse(Rule::V05, "reserved word of its entry", 0, entry.reserved());
    return {};
  }

  Refusal shape(const EntryView& entry) {
    if (entry.rank() > kMaxRank) return refuse(Rule::V23, "rank (at most)", kMaxRank, entry.rank());
    std::array<std::int64_t, kMaxRank> extents{};
    for (unsigned axis = 0; axis < kMaxRank; ++axis) {
      const std::uint64_t extent = entry.extent(axis), most = axis < entry.rank() ? kMaxExtent : 0;
      if (extent > most) return refuse(Rule::V23, "extent (at most)", most, extent);
      extents[axis] = static_cast<std::int64_t>(extent);
    }
    const std::span<const std::int64_t> shape = std::span(extents).first(entry.rank());
    const bool known = bits_of(entry.type()).has_value();
    if (!known && !file_.prologue.newer())
      return refuse(Rule::V23, "an element type that this build does not know", 0,
                    static_cast<std::uint64_t>(entry.type()));
    // Of a later version's types only the elements can be counted.
    const std::optional<std::uint64_t> bytes = known                  ? tensor_bytes(entry.type(), shape)
                                               : element_count(shape) ? std::optional(entry.bytes())
                                                                      : std::nullopt;
    if (!bytes) return refuse(Rule::V23, "a shape that breaks a limit or does not suit its element type");
    if (entry.bytes() > kMaxTensorBytes)
      return refuse(Rule::V24, "bytes (at most)", kMaxTensorBytes, entry.bytes());
    return *bytes == entry.bytes() ? Refusal{} : refuse(Rule::V24, "bytes", *bytes, entry.bytes());
  }

  Refusal place(const EntryView& entry) {
    const std::uint64_t offset = placed(cursor_, entry.bytes());
    if (entry.offset() != offset) return refuse(Rule::V25, "offset", offset, entry.offset());
    if (!inside(offset, entry.bytes(), data_end_))
      return refuse(Rule::V25, "a tensor that ends outside the file");
    if (entry.chunk_count() != chunk_count(entry.bytes()))
      return refuse(Rule::V27, "number of chunks", chunk_count(entry.bytes()), entry.chunk_count());
    if (entry.first_chunk() != chunks_) return refuse(Rule::V27, "first chunk", chunks_, entry.first_chunk());
    cursor_ = offset + entry.bytes();
    chunks_ += entry.chunk_count();
    return {};
  }

  // A tied weight: another name, and perhaps another shape, for the bytes of an earlier entry.
  Refusal alias(const EntryView& entry, std::uint64_t index) const {
    if (entry.link() >= index) return refuse(Rule::V28, "link of an alias (below)", index, entry.link());
    const EntryView owner = file_.entry(entry.link());
    const bool same = owner.role() == entry.role() && owner.type() == entry.type() && !owner.alias() &&
                      owner.offset() == entry.offset() && owner.bytes() == entry.bytes() &&
                      owner.hash() == entry.hash() && owner.first_chunk() == entry.first_chunk() &&
                      owner.chunk_count() == entry.chunk_count() && elements(owner) == elements(entry);
    return same ? Refusal{}
                : refuse(Rule::V28, "an alias whose entry does not equal that of the owner of its bytes");
  }

  static std::uint64_t elements(const EntryView& entry) {  // of a shape that has been checked
    std::uint64_t count = 1;
    for (unsigned axis = 0; axis < entry.rank(); ++axis)
      count *= entry.extent(axis);
    return count;
  }

  void identify(const EntryView& entry) {
    const std::string_view name = file_.name(entry);
    const auto length = static_cast<std::uint32_t>(name.size());
    identity_.add(entry.identity());
    identity_.add(std::as_bytes(std::span(&length, 1)));
    identity_.add(std::as_bytes(std::span(name)));
    identity_.add(entry.extents());
    identity_.add(entry.row().subspan(96, kHashBytes));
  }

  Refusal finish() {
    for (std::uint32_t i = 0; i < file_.names.size(); ++i) {
      if (!used_[i]) {
        Refusal refusal = refuse(Rule::V21, "a name without a tensor");
        refusal.tensor = file_.names[i];
        return refusal;
      }
    }
    if (chunks_ != file_.chunks.count)
      return refuse(Rule::V27, "number of chunk hashes", chunks_, file_.chunks.count);
    const std::uint64_t end = align(cursor_ + kFooterBytes, kPage);
    if (end != file_.prologue.file_bytes)
      return refuse(Rule::V26, "end of the file behind its last tensor", end, file_.prologue.file_bytes);
    const Hash128 content = identity_.take();
    if (content != file_.prologue.content_id)
      return refuse(Rule::V30, "content id", file_.prologue.content_id, content);
    return {};
  }

  const FileView& file_;
  const std::uint64_t data_end_;
  std::uint64_t cursor_, chunks_ = 0;
  std::bitset<kMaxTensors> used_;  // 128 KiB on the stack
  Hasher128 identity_;
};

// The role table must say what the directory implies.
class RoleVerifier {
 public:
  explicit RoleVerifier(const FileView& file) : file_(file) {}

  Refusal run() {
    std::uint32_t first = 0, row = 0;
    for (; first < file_.size(); ++row) {
      if (row == file_.roles.count) return refuse(Rule::V29, "rows of the role table", row + 1, row);
      const Refusal refusal = check(file_.role(row), first);
      if (refusal.refused()) return refusal;
      first += file_.role(row).count();
    }
    return row == file_.roles.count ? Refusal{}
                                    : refuse(Rule::V29, "rows of the role table", row, file_.roles.count);
  }

 private:
  Refusal check(const RoleView& row, std::uint32_t first) const {
    const Role role = file_.entry(first).role();
    Hasher128 hasher;
    std::uint32_t count = 0;
    std::uint64_t end = 0;
    for (std::uint32_t i = first; i < file_.size() && file_.entry(i).role() == role; ++i, ++count) {
      const EntryView entry = file_.entry(i);
      hasher.add(entry.row().subspan(96, kHashBytes));
      if (!entry.alias()) end = entry.offset() + entry.bytes();
    }
    if (!file_.prologue.newer() && !row.reserved_zero())
      return refuse(Rule::V29, "reserved words of the role table: expected zero");
    const bool same = row.role() == role && row.first() == first && row.count() == count &&
                      row.begin() == file_.entry(first).offset() && row.end() == end &&
                      row.hash() == hasher.take();
    return same ? Refusal{}
                : refuse(Rule::V29, "a row of the role table that differs from the directory; that of role",
                         static_cast<std::uint64_t>(role), static_cast<std::uint64_t>(row.role()));
  }

  const FileView& file_;
};

}  // namespace

Refusal verify_directory(FileView& file) {
  Refusal refusal = open_fields(file);
  if (!refusal.refused()) refusal = check_names(file.names);
  if (!refusal.refused()) refusal = DirectoryVerifier(file).run();
  return refusal.refused() ? refusal : RoleVerifier(file).run();
}

}  // namespace vitrail::format
