#include "format/refusal.h"

#include <fmt/format.h>

#include <bit>

namespace vitrail::format {
namespace {

std::string written_by(const Refusal& refusal) {
  return refusal.producer.empty() ? "" : fmt::format(" (written by '{}')", refusal.producer);
}

// What a newer writer asks of its readers, by name.
std::string newer(const Refusal& refusal) {
  switch (refusal.rule) {
    case Rule::V04:
      return fmt::format("format {} file; this build reads format {}", refusal.found, refusal.expected);
    case Rule::V06:
      return fmt::format(
          "the file needs feature bit {} (of {:#x}), which this build lacks{}: use a newer build",
          std::countr_zero(refusal.found), refusal.found, written_by(refusal));
    default:
      return fmt::format(
          "metadata field {} at offset {} must be understood, and this build does not know it{}: "
          "use a newer build",
          refusal.found, refusal.offset, written_by(refusal));
  }
}

std::string where(const Refusal& refusal) {
  std::string text;
  if (!refusal.tensor.empty()) text += fmt::format("tensor '{}': ", refusal.tensor);
  text += refusal.what;
  if (refusal.tensor.empty() && refusal.entry != Refusal::kNowhere)
    text += fmt::format(" (entry {})", refusal.entry);
  if (refusal.offset != Refusal::kNowhere) text += fmt::format(" at offset {}", refusal.offset);
  return text;
}

std::string in_words(const Refusal& refusal) {
  if (refusal.rule == Rule::V04 || refusal.rule == Rule::V06 || refusal.rule == Rule::V18)
    return newer(refusal);
  switch (refusal.detail) {
    case Refusal::Detail::numbers:
      return fmt::format("{}: expected {}, found {}", where(refusal), refusal.expected, refusal.found);
    case Refusal::Detail::hashes:
      return fmt::format("{}: expected hash {}, found {}", where(refusal), to_hex(refusal.expected_hash),
                         to_hex(refusal.found_hash));
    case Refusal::Detail::none:
      break;
  }
  return where(refusal);
}

}  // namespace

Refusal refuse(Rule rule, const char* what) {
  Refusal refusal;
  refusal.rule = rule;
  refusal.what = what;
  return refusal;
}

Refusal refuse(Rule rule, const char* what, std::uint64_t expected, std::uint64_t found) {
  Refusal refusal = refuse(rule, what);
  refusal.detail = Refusal::Detail::numbers;
  refusal.expected = expected;
  refusal.found = found;
  return refusal;
}

Refusal refuse(Rule rule, const char* what, const Hash128& expected, const Hash128& found) {
  Refusal refusal = refuse(rule, what);
  refusal.detail = Refusal::Detail::hashes;
  refusal.expected_hash = expected;
  refusal.found_hash = found;
  return refusal;
}

FormatError to_error(const Refusal& refusal) {
  return FormatError(in_words(refusal), code_of(refusal.rule));
}

}  // namespace vitrail::format
