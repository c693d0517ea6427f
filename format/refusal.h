#pragma once
// Why a file is refused: found without allocating anything, put into words afterwards.

#include <string_view>

#include "format/error.h"
#include "format/hash.h"
#include "format/rules.h"

namespace vitrail::format {

struct Refusal {
  static constexpr std::uint64_t kNowhere = ~std::uint64_t{0};
  enum class Detail : std::uint8_t { none, numbers, hashes };

  Rule rule = Rule::none;  // none: not refused
  Detail detail = Detail::none;
  const char* what = "";            // static text
  std::uint64_t offset = kNowhere;  // in the file, of what is wrong
  std::uint64_t entry = kNowhere;   // index into the directory
  std::uint64_t expected = 0, found = 0;
  Hash128 expected_hash, found_hash;
  std::string_view tensor, producer;  // views of the file's metadata; empty where they are not known

  bool refused() const { return rule != Rule::none; }
};

// A refusal with two numbers, with two hashes, with neither.
Refusal refuse(Rule rule, const char* what, std::uint64_t expected, std::uint64_t found);
Refusal refuse(Rule rule, const char* what, const Hash128& expected, const Hash128& found);
Refusal refuse(Rule rule, const char* what);

// In words, with the rule's code. The bytes that the refusal views must still be there.
FormatError to_error(const Refusal& refusal);

}  // namespace vitrail::format
