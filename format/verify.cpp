#include "format/verify.h"

#include <algorithm>

namespace vitrail::format {
namespace {

Refusal check_head(Bytes head, const Prologue& prologue) {
  const Bytes meta = head.subspan(kPrologueBytes, prologue.meta_bytes);
  const Hash128 found = hash128(meta);
  if (found != prologue.meta_hash) return refuse(Rule::V08, "metadata", prologue.meta_hash, found);
  const Bytes rest = head.subspan(kPrologueBytes + prologue.meta_bytes,
                                  prologue.data_offset - kPrologueBytes - prologue.meta_bytes);
  const auto stray =
      std::find_if(rest.begin(), rest.end(), [](std::byte byte) { return byte != std::byte{0}; });
  if (stray == rest.end()) return {};
  Refusal refusal = refuse(Rule::V09, "bytes after the metadata: expected zero");
  refusal.offset = kPrologueBytes + prologue.meta_bytes + static_cast<std::uint64_t>(stray - rest.begin());
  return refusal;
}

Refusal check_message(Bytes meta) {
  Refusal refusal = verify_message(meta).refusal;
  if (refusal.refused()) refusal.offset += kPrologueBytes;
  return refusal;
}

// Who asks for features that this build lacks, if the metadata can be read for it.
std::string_view producer_of(Bytes head, const Prologue& prologue) {
  if (head.size() < prologue.data_offset || check_head(head, prologue).refused()) return {};
  return verify_message(head.subspan(kPrologueBytes, prologue.meta_bytes)).producer;
}

Refusal verify_in_order(Bytes head, Bytes footer, std::uint64_t file_bytes, FileView& file) {
  Refusal refusal = check_prologue(head, file_bytes, file.prologue);
  if (refusal.rule == Rule::V06) refusal.producer = producer_of(head, file.prologue);
  if (refusal.refused()) return refusal;
  refusal = check_footer(head, footer);
  if (refusal.refused()) return refusal;
  refusal = check_head(head, file.prologue);
  if (refusal.refused()) return refusal;
  const Bytes meta = head.subspan(kPrologueBytes, file.prologue.meta_bytes);
  refusal = check_message(meta);
  if (refusal.refused()) return refusal;
  file.root = TableView(meta, 0);
  refusal = verify_directory(file);
  return refusal.refused() ? refusal : verify_sections(file);
}

}  // namespace

std::uint64_t FileView::find(Role role, std::uint32_t name) const {
  std::uint64_t low = 0, high = size();
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    const EntryView at = entry(middle);
    if (at.role() < role || (at.role() == role && at.name() < name)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  const bool hit = low < size() && entry(low).role() == role && entry(low).name() == name;
  return hit ? low : size();
}

Refusal about(Refusal refusal, const FileView& file, std::uint64_t entry) {
  refusal.entry = entry;
  const std::uint32_t name = file.entry(entry).name();
  if (name < file.names.size()) refusal.tensor = file.names[name];
  return refusal;
}

Verdict verify_file(Bytes head, Bytes footer, std::uint64_t file_bytes) {
  Verdict verdict;
  verdict.refusal = verify_in_order(head, footer, file_bytes, verdict.file);
  return verdict;
}

Verdict verify_file(Bytes file) {
  return verify_file(file, file.last(std::min<std::size_t>(file.size(), kFooterBytes)), file.size());
}

}  // namespace vitrail::format
