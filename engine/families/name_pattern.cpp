// Patterns of the tables in names.cpp.
#include <cctype>

#include "engine/families/names.h"

namespace vitrail::families {
namespace {

struct Wildcards {
  std::string_view block, leaf;
};

bool is_digit(char c) {
  return std::isdigit(static_cast<unsigned char>(c)) != 0;
}

bool match(std::string_view pattern, std::string_view name, Wildcards& found) {
  for (; !pattern.empty(); pattern.remove_prefix(1)) {
    if (pattern.front() == '#') {
      std::size_t digits = 0;
      while (digits < name.size() && digits < 3 && is_digit(name[digits]))
        ++digits;
      found.block = name.substr(0, digits);
      if (digits == 0 || (digits > 1 && name.front() == '0')) return false;
      name.remove_prefix(digits);
    } else if (pattern.front() == '*') {
      found.leaf = name;
      return name == "weight" || name == "bias";
    } else if (name.empty() ||
               (pattern.front() == '?' ? !is_digit(name.front()) : name.front() != pattern.front())) {
      return false;
    } else {
      name.remove_prefix(1);
    }
  }
  return name.empty();
}

}  // namespace

std::optional<std::string> rename(std::string_view pattern, std::string_view name, std::string_view other) {
  Wildcards found;
  if (!match(pattern, name, found)) return std::nullopt;
  std::string result;
  for (const char c : other) {
    if (c == '#') {
      result += found.block;
    } else if (c == '*') {
      result += found.leaf;
    } else {
      result += c;
    }
  }
  return result;
}

}  // namespace vitrail::families
