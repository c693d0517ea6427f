// Rules V31 to V33: what a kind of file must hold, and that its optimizer's sections agree with its tensors.

#include <bitset>
#include <cstring>

#include "format/sections.h"
#include "format/slices.h"
#include "format/verify.h"

namespace vitrail::format {
namespace {

struct Section {
  section::Id id;
  FieldType type;
  FileKind from;  // the first kind that must have it
  const char* refusal;
};

constexpr Section kSections[] = {
    {section::kModel, FieldType::table, FileKind::model, "root field 2, model: expected a table"},
    {section::kInput, FieldType::table, FileKind::model, "root field 13, input: expected a table"},
    {section::kOptimizer, FieldType::table, FileKind::checkpoint,
     "root field 7, optimizer: expected a table"},
    {section::kSchedule, FieldType::table, FileKind::checkpoint, "root field 8, schedule: expected a table"},
    {section::kRng, FieldType::vector, FileKind::checkpoint,
     "root field 10, random numbers: expected a vector"},
    {section::kDataOrder, FieldType::table, FileKind::checkpoint,
     "root field 11, data order: expected a table"}};

Refusal check_kind(const FileView& file) {
  FileKind kind = file.prologue.kind;  // whose sections there must be
  const Refusal refusal = verify_slices(file, kind);
  if (refusal.refused()) return refusal;
  for (const Section& section : kSections) {
    if (kind >= section.from && !file.root.find(section.id, section.type))
      return refuse(Rule::V33, section.refusal);
  }
  return {};
}

// The names of one group of the optimizer: each that of a parameter which no group has had.
Refusal check_group(const FileView& file, const TableView& group, std::bitset<kMaxTensors>& seen) {
  const std::optional<FieldView> field = group.find(section::optimizer::kNameIndices);
  if (!field) return {};
  if (field->type() != FieldType::vector || field->vector().elem_type != kElemU64 ||
      field->vector().stride != 8)
    return refuse(Rule::V32, "names of an optimizer group: expected a vector of u64");
  const VectorView indices = field->vector();
  for (std::uint32_t i = 0; i < indices.count; ++i) {
    const std::uint64_t name = get<std::uint64_t>(indices.row(i), 0);
    if (name >= file.names.size() ||
        file.find(Role::parameter, static_cast<std::uint32_t>(name)) == file.size())
      return refuse(Rule::V32, "an optimizer group names what is no parameter: name index (below)",
                    file.names.size(), name);
    if (seen[name]) {
      Refusal refusal = refuse(Rule::V32, "a parameter that is twice in the optimizer's groups");
      refusal.tensor = file.names[static_cast<std::uint32_t>(name)];
      return refusal;
    }
    seen[name] = true;
  }
  return {};
}

Refusal check_groups(const FileView& file) {
  const TableView optimizer = file.root.find(section::kOptimizer)->table();
  const std::optional<FieldView> field = optimizer.find(section::optimizer::kGroups);
  if (!field) return {};
  if (field->type() != FieldType::table) return refuse(Rule::V32, "optimizer groups: expected a table");
  const TableView groups = field->table();
  std::bitset<kMaxTensors> seen;  // 128 KiB on the stack
  for (std::uint32_t g = 0; g < groups.size(); ++g) {
    if (groups[g].type() != FieldType::table) return refuse(Rule::V32, "optimizer groups: expected tables");
    const Refusal refusal = check_group(file, groups[g].table(), seen);
    if (refusal.refused()) return refusal;
  }
  return {};
}

constexpr bool is_moment(Role role) {
  return role >= Role::first_moment && role <= Role::momentum;
}

Refusal check_moments(const FileView& file) {
  for (std::uint64_t i = 0; i < file.size(); ++i) {
    const EntryView moment = file.entry(i);
    if (!is_moment(moment.role())) continue;
    const std::uint64_t found = file.find(Role::parameter, moment.name());
    if (found == file.size()) return about(refuse(Rule::V32, "a moment without its parameter"), file, i);
    const EntryView parameter = file.entry(found);
    const bool same =
        moment.rank() == parameter.rank() &&
        std::memcmp(moment.extents().data(), parameter.extents().data(), moment.extents().size()) == 0;
    if (!same) return about(refuse(Rule::V32, "a moment of another shape than its parameter"), file, i);
  }
  return {};
}

}  // namespace

Refusal verify_sections(const FileView& file) {
  Refusal refusal = check_kind(file);
  if (refusal.refused() || file.prologue.kind != FileKind::checkpoint) return refusal;
  refusal = check_groups(file);
  return refusal.refused() ? refusal : check_moments(file);
}

}  // namespace vitrail::format
