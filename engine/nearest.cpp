#include <algorithm>
#include <cstddef>
#include <limits>

#include "engine/keys.h"

namespace vitrail {
namespace {

// Insertions, deletions, replacements and swaps of neighbours that lead from a to b (optimal string
// alignment).
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j)
    above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(above);
    above.swap(row);
  }
  return above[b.size()];
}

std::string_view group_of(std::string_view key) {
  const std::size_t dot = key.find('.');
  return dot == std::string_view::npos ? std::string_view() : key.substr(0, dot);
}

std::string_view last_part(std::string_view key) {
  return key.substr(key.rfind('.') + 1);
}

// "lr" shortens "learning_rate": it begins with the same letter and its letters follow one another in it.
bool shortens(std::string_view brief, std::string_view word) {
  if (brief.size() < 2 || word.empty() || brief.front() != word.front()) return false;
  std::size_t at = 0;
  for (const char letter : word) {
    if (at < brief.size() && letter == brief[at]) ++at;
  }
  return at == brief.size();
}

// "embed_dim" holds the word "dim".
bool has_word(std::string_view part, std::string_view word) {
  for (std::size_t begin = 0; begin <= part.size();) {
    const std::size_t end = std::min(part.find('_', begin), part.size());
    if (part.substr(begin, end - begin) == word) return true;
    begin = end + 1;
  }
  return false;
}

// Small when a person who typed `word` is likely to have meant `candidate`.
std::size_t unlikeness(std::string_view word, std::string_view candidate) {
  const std::size_t distance = edit_distance(word, candidate);
  const std::string_view part = last_part(word), candidate_part = last_part(candidate);
  const bool group_fits = group_of(word).empty() || group_of(word) == group_of(candidate);
  if (group_fits && part == candidate_part) return 0;
  if (group_fits && has_word(part, candidate_part)) return std::min<std::size_t>(distance, 1);
  if (group_fits && (shortens(candidate_part, part) || shortens(part, candidate_part))) {
    return std::min<std::size_t>(distance, 2);
  }
  return distance;
}

}  // namespace

std::string nearest(std::string_view word, std::span<const std::string> candidates) {
  const std::size_t limit = std::max<std::size_t>(2, word.size() / 3);
  std::size_t best = limit + 1;
  std::size_t best_distance = std::numeric_limits<std::size_t>::max();
  std::string found;
  for (const std::string& candidate : candidates) {
    const std::size_t score = unlikeness(word, candidate), distance = edit_distance(word, candidate);
    if (score < best || (score == best && distance < best_distance && !found.empty())) {
      best = score;
      best_distance = distance;
      found = candidate;
    }
  }
  return found;
}

}  // namespace vitrail
