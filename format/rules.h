#pragma once
// The rules of the format, in one place: their codes and what each of them says (SPEC.md, "Verifier", repeats
// this table).

#include <cstdint>

namespace vitrail::format {

enum class Rule : std::uint8_t {
  none = 0,
  V01 = 1,
  V02,
  V03,
  V04,
  V05,
  V06,
  V07,
  V08,
  V09,
  V10,
  V11,
  V12,
  V13,
  V14,
  V15,
  V16,
  V17,
  V18,
  V20 = 20,
  V21,
  V22,
  V23,
  V24,
  V25,
  V26,
  V27,
  V28,
  V29,
  V30,
  V31,
  V32,
  V33,
  V40 = 40,
  V41,
  V42,
};

struct RuleText {
  Rule rule;
  const char* code;
  const char* text;
};

inline constexpr RuleText kRules[] = {
    {Rule::V01, "V01", "the file has at least 4096 bytes and as many as the prologue says"},
    {Rule::V02, "V02", "magic"},
    {Rule::V03, "V03", "prologue_hash"},
    {Rule::V04, "V04", "format_major"},
    {Rule::V05, "V05",
     "fixed fields, equalities and reserved words of the prologue; reserved word of a directory entry"},
    {Rule::V06, "V06", "required_features has no unknown bit"},
    {Rule::V07, "V07", "footer: magic, hash, and its copies equal the prologue"},
    {Rule::V08, "V08", "meta_hash"},
    {Rule::V09, "V09", "the bytes between metadata and data are zero"},
    {Rule::V10, "V10", "an object lies inside the block, and total_bytes fits kind, count and stride"},
    {Rule::V11, "V11", "an object stands at its only legal offset"},
    {Rule::V12, "V12", "ids ascend; flags and the zero word of a field are legal"},
    {Rule::V13, "V13", "a field's type exists and matches its object; a bool is 0 or 1; the root is a table"},
    {Rule::V14, "V14", "text is UTF-8 without NUL; ends of strings ascend and use all characters"},
    {Rule::V15, "V15", "padding between objects is zero"},
    {Rule::V16, "V16", "depth, number of objects and fields, length of texts"},
    {Rule::V17, "V17", "the block ends with its last object"},
    {Rule::V18, "V18", "no field with must_understand that the reader does not know"},
    {Rule::V20, "V20",
     "fields 1 and 3 to 6 of the root are there with their types and strides; number of tensors"},
    {Rule::V21, "V21", "names ascend, have legal lengths and are all used; name indices are in range"},
    {Rule::V22, "V22", "the directory ascends by role and name"},
    {Rule::V23, "V23", "element type, rank, extents and their product"},
    {Rule::V24, "V24", "bytes of a tensor equal its shape times its type"},
    {Rule::V25, "V25", "offset of a tensor equals the placement rule"},
    {Rule::V26, "V26", "the file ends where the last tensor requires"},
    {Rule::V27, "V27", "chunk numbers are consecutive and complete"},
    {Rule::V28, "V28",
     "an alias names an earlier owner in its role, and has its type, elements, place and hash"},
    {Rule::V29, "V29", "the role table equals the directory"},
    {Rule::V30, "V30", "content_id"},
    {Rule::V31, "V31",
     "of a shard and an index: root fields 16 and 17 (section 9); "
     "slices lie inside their tensors and, in an index, cover each once"},
    {Rule::V32, "V32",
     "optimizer groups name parameters, each at most once; moments have the shape of their parameter"},
    {Rule::V33, "V33", "the sections that the kind of file requires are there with their types"},
    {Rule::V40, "V40", "hashes of tensors and chunks"},
    {Rule::V41, "V41", "padding between tensors and behind the last is zero"},
    {Rule::V42, "V42", "bools are 0 or 1"},
};

// "V08"; "" for none.
constexpr const char* code_of(Rule rule) {
  for (const RuleText& row : kRules) {
    if (row.rule == rule) return row.code;
  }
  return "";
}

constexpr const char* text_of(Rule rule) {
  for (const RuleText& row : kRules) {
    if (row.rule == rule) return row.text;
  }
  return "";
}

}  // namespace vitrail::format
