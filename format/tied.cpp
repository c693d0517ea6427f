#include "format/tied.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "format/error.h"
#include "format/layout.h"

namespace vitrail::format {
namespace {

using Key = std::pair<Role, std::string_view>;

Key key_of(const TiedTensor& entry) {
  return {entry.tensor->role, entry.tensor->name};
}

std::size_t target_of(const std::vector<TiedTensor>& entries, const TensorRecord& alias) {
  const Key key(alias.role, alias.alias_of);
  const auto found =
      std::lower_bound(entries.begin(), entries.end(), key,
                       [](const TiedTensor& entry, const Key& k) { return key_of(entry) < k; });
  const bool fits = found != entries.end() && key_of(*found) == key && found->tensor->alias_of.empty() &&
                    found->tensor->type == alias.type &&
                    element_count(found->tensor->shape) == element_count(alias.shape);
  if (!fits) {
    throw FormatError(
        fmt::format("tensor '{}': expected '{}', whose bytes it shares, in the same role, of the same "
                    "type and number of elements, and no alias itself",
                    alias.name, alias.alias_of));
  }
  return static_cast<std::size_t>(found - entries.begin());
}

}  // namespace

std::vector<TiedTensor> tie_tensors(std::span<const TensorRecord> tensors) {
  std::vector<TiedTensor> entries;
  for (const TensorRecord& tensor : tensors)
    entries.push_back({.tensor = &tensor});
  std::sort(entries.begin(), entries.end(),
            [](const TiedTensor& a, const TiedTensor& b) { return key_of(a) < key_of(b); });
  for (std::size_t i = 1; i < entries.size(); ++i) {
    if (key_of(entries[i - 1]) == key_of(entries[i]))
      throw FormatError(fmt::format("tensor '{}' is there twice in one role", entries[i].tensor->name));
  }
  std::vector<std::size_t> target(entries.size()), first(entries.size());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    target[i] = entries[i].tensor->alias_of.empty() ? i : target_of(entries, *entries[i].tensor);
    first[i] = i;
  }
  for (std::size_t i = 0; i < entries.size(); ++i)
    first[target[i]] = std::min(first[target[i]], i);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    entries[i].owner = first[target[i]];
    entries[i].source = entries[target[i]].tensor;
    entries[i].bytes = entries[i].source->bytes;
  }
  return entries;
}

}  // namespace vitrail::format
