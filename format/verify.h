#pragma once
// The rules that a file must keep to be opened, V01 to V33: one pass over its head, time in proportion to the
// metadata alone, no allocation. What comes out is the file's metadata, to be read where they lie.

#include "format/directory_view.h"
#include "format/message_verify.h"
#include "format/prologue.h"

namespace vitrail::format {

struct FileView {
  Prologue prologue;
  TableView root;
  StringsView names;
  VectorView tensors, chunks, roles;

  std::uint32_t size() const { return tensors.count; }
  EntryView entry(std::uint64_t index) const { return EntryView(tensors.row(index)); }
  RoleView role(std::uint64_t index) const { return RoleView(roles.row(index)); }
  std::string_view name(const EntryView& entry) const { return names[entry.name()]; }
  Hash128 chunk_hash(std::uint64_t index) const { return hash_at(chunks.row(index), 0); }
  // Index of the entry with this role and name index; size() when there is none.
  std::uint64_t find(Role role, std::uint32_t name) const;
};

struct Verdict {
  Refusal refusal;
  FileView file;  // complete when nothing is refused
};

// `head`: the first data_offset bytes of the file, as its prologue states it (fewer only when check_prologue
// refuses). `footer`: its last 64.
Verdict verify_file(Bytes head, Bytes footer, std::uint64_t file_bytes);
Verdict verify_file(Bytes file);  // all of it

// The two halves of the rules for what the metadata say; for verify_file.
Refusal verify_directory(FileView& file);       // V20 to V30
Refusal verify_sections(const FileView& file);  // V31 to V33

// A refusal in which a tensor is named.
Refusal about(Refusal refusal, const FileView& file, std::uint64_t entry);

}  // namespace vitrail::format
