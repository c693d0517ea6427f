#include "format/salvage.h"

#include <fmt/format.h>

#include <algorithm>

#include "format/container_leaf.h"
#include "format/sections.h"

namespace vitrail::format {
namespace {

constexpr std::uint64_t kBlock = std::uint64_t{256} << 10;

// Reads instead of looking at the mapping: where the disk fails, that is an error and not the end of the
// program.
std::optional<Hash128> hash_range(const Source& source, std::uint64_t offset, std::uint64_t bytes) {
  Hasher128 hasher;
  std::vector<std::byte> buffer(std::min(kBlock, bytes));
  try {
    while (bytes > 0) {
      const std::span<std::byte> part =
          std::span(buffer).first(std::min<std::uint64_t>(bytes, buffer.size()));
      source.read(offset, part);
      hasher.add(part);
      offset += part.size();
      bytes -= part.size();
    }
  } catch (const FileError&) {
    return std::nullopt;
  }
  return hasher.take();
}

// What keeps an entry from being saved; empty when nothing does.
std::string check(const Source& source, const FileView& view, std::uint64_t index) {
  const EntryView entry = view.entry(index);
  const std::uint64_t end = entry.offset() + entry.bytes();
  if (end > source.size()) {
    const std::uint64_t there = source.size() - std::min(source.size(), entry.offset());
    return fmt::format("cut off: {} of {} bytes are there", there, entry.bytes());
  }
  if (damage_of_chunk_list(view, index)) return "damaged in its list of chunks";
  std::uint64_t damaged = 0, unreadable = 0;
  const std::uint64_t leaves = std::max(1U, entry.chunk_count());
  for (std::uint64_t c = 0; c < leaves; ++c) {
    const Leaf leaf = leaf_of(view, index, c);
    const std::optional<Hash128> hash = hash_range(source, entry.offset() + leaf.begin, leaf.bytes);
    if (!hash) {
      ++unreadable;
    } else if (*hash != leaf.hash) {
      ++damaged;
    }
  }
  if (unreadable > 0) return fmt::format("unreadable in {} of {} chunks", unreadable, leaves);
  if (damaged > 0)
    return leaves == 1 ? "damaged" : fmt::format("damaged in {} of {} chunks", damaged, leaves);
  return {};
}

TensorRecord record_of(const Source& source, const FileView& view, const EntryView& entry) {
  TensorRecord record;
  record.name = view.name(entry);
  record.role = entry.role();
  record.type = entry.type();
  for (unsigned axis = 0; axis < entry.rank(); ++axis)
    record.shape.push_back(static_cast<std::int64_t>(entry.extent(axis)));
  if (entry.offset() + entry.bytes() <= source.size())
    record.bytes = source.bytes().subspan(entry.offset(), entry.bytes());
  record.entry = entry.row();
  if (entry.alias()) record.alias_of = view.name(view.entry(entry.link()));
  return record;
}

bool lost_any(const Salvage& salvage, std::initializer_list<Role> roles) {
  return std::any_of(salvage.lost.begin(), salvage.lost.end(), [&](const LostTensor& tensor) {
    return std::find(roles.begin(), roles.end(), tensor.role) != roles.end();
  });
}

Table only(const Table& root, std::initializer_list<section::Id> ids) {
  Table table;
  for (const section::Id id : ids) {
    if (root.has(id)) table.set(id, root.fields().at(id));
  }
  return table;
}

}  // namespace

Salvage salvage(const Source& source) {
  SalvagedHead head = salvage_head(source);
  const Verdict verdict = verify_file(head.head, head.footer, head.file_bytes);
  if (verdict.refusal.refused()) throw to_error(verdict.refusal);
  const FileView& view = verdict.file;
  Salvage result{.head = std::move(head.head),
                 .kind = view.prologue.kind,
                 .sections_whole = head.metadata_whole,
                 .root = tree_of(view.root),
                 .later = later_of(view),
                 .tensors = {},
                 .lost = {},
                 .notes = std::move(head.notes)};
  if (!result.sections_whole) result.root = only(result.root, {section::kProducer});
  std::vector<std::string> reasons(view.size());
  for (std::uint64_t i = 0; i < view.size(); ++i) {
    const EntryView entry = view.entry(i);
    reasons[i] = entry.alias() ? reasons[entry.link()] : check(source, view, i);
    const TensorRecord record = record_of(source, view, entry);
    if (reasons[i].empty()) {
      result.tensors.push_back(record);
    } else {
      result.lost.push_back({record.name, record.role, record.type, record.shape, entry.bytes(), reasons[i]});
    }
  }
  if (result.kind == FileKind::shard && !result.lost.empty())
    result.notes.emplace_back("it is one shard of a set: shapes are those of its parts of the tensors");
  return result;
}

ContainerContents contents_of(const Salvage& salvage) {
  ContainerContents contents{
      .kind = salvage.kind, .root = salvage.root, .tensors = salvage.tensors, .later = salvage.later};
  if (salvage.complete()) return contents;
  const bool of_shard = salvage.kind == FileKind::shard || salvage.kind == FileKind::shard_index;
  const bool model = salvage.sections_whole && !of_shard && salvage.root.has(section::kModel) &&
                     salvage.root.has(section::kInput) && !lost_any(salvage, {Role::parameter, Role::buffer});
  if (!model) {
    contents.kind = FileKind::weights;
    contents.root = only(salvage.root, {section::kProducer, section::kProvenance, section::kUser});
    return contents;
  }
  contents.kind = FileKind::model;
  contents.root = only(salvage.root, {section::kProducer, section::kModel, section::kHistory, section::kInput,
                                      section::kProvenance, section::kEma, section::kUser});
  if (!lost_any(salvage, {Role::ema_parameter, Role::ema_buffer})) return contents;
  contents.root.erase(section::kEma);
  std::erase_if(contents.tensors, [](const TensorRecord& tensor) {
    return tensor.role == Role::ema_parameter || tensor.role == Role::ema_buffer;
  });
  return contents;
}

}  // namespace vitrail::format
