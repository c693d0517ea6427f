#include "engine/key_parse.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "engine/error.h"

namespace vitrail {
namespace {

template <class T>
std::optional<T> read(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

bool NumberRange::holds(double value) const {
  return std::isfinite(value) && (low_open ? value > low : value >= low) &&
         (high_open ? value < high : value <= high);
}

std::string NumberRange::text() const {
  const std::string from = low_open ? fmt::format("above {}", low) : fmt::format("of at least {}", low);
  if (high == std::numeric_limits<double>::max()) return "a number " + from;
  return fmt::format("a number {} and {} {}", from, high_open ? "below" : "at most", high);
}

std::string WholeRange::text() const {
  if (high == std::numeric_limits<std::int64_t>::max())
    return fmt::format("a whole number, at least {}", low);
  return fmt::format("a whole number, {} to {}", low, high);
}

void refuse_value(std::string_view name, std::string_view accepts, std::string_view found) {
  throw ConfigError(fmt::format("{}: expected {}, found '{}'", name, accepts, found));
}

double parse_number(std::string_view name, std::string_view text, const NumberRange& range) {
  const auto value = read<double>(text);
  if (!value || !range.holds(*value)) refuse_value(name, range.text(), text);
  return *value;
}

std::int64_t parse_whole(std::string_view name, std::string_view text, const WholeRange& range) {
  const auto value = read<std::int64_t>(text);
  if (!value || *value < range.low || *value > range.high) refuse_value(name, range.text(), text);
  return *value;
}

std::uint64_t parse_seed(std::string_view name, std::string_view text) {
  const auto value = read<std::uint64_t>(text);
  if (!value) refuse_value(name, "a whole number, at least 0", text);
  return *value;
}

namespace {

struct Unit {
  std::string_view name;
  int bits;
};
constexpr Unit kUnits[] = {{"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"B", 0}};  // "B" ends them all: last

}  // namespace

std::uint64_t parse_size(std::string_view name, std::string_view text) {
  for (const Unit& unit : kUnits) {
    if (!text.ends_with(unit.name)) continue;
    const auto count = read<std::uint64_t>(text.substr(0, text.size() - unit.name.size()));
    if (!count || *count == 0 || *count > UINT64_MAX >> unit.bits) break;
    return *count << unit.bits;
  }
  refuse_value(name, "a whole number with its unit, such as 8GiB or 800MiB", text);
}

std::string size_text(std::uint64_t bytes) {
  for (const Unit& unit : kUnits) {
    if (bytes % (std::uint64_t{1} << unit.bits) == 0)
      return fmt::format("{}{}", bytes >> unit.bits, unit.name);
  }
  return {};
}

bool parse_switch(std::string_view name, std::string_view text) {
  if (text != "true" && text != "false") refuse_value(name, "true | false", text);
  return text == "true";
}

std::array<double, 4> parse_channels(std::string_view name, std::string_view text, const NumberRange& range) {
  std::array<double, 4> channels{};
  std::size_t count = 0;
  for (std::string_view rest = text;; ++count) {
    if (count == channels.size()) refuse_value(name, "at most 4 numbers, one for each channel", text);
    const std::size_t comma = rest.find(',');
    channels[count] = parse_number(name, rest.substr(0, comma), range);
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  for (std::size_t i = count + 1; i < channels.size(); ++i)
    channels[i] = channels[count];
  return channels;
}

std::string to_text(double value) {
  std::array<char, 32> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), end};
}

std::string to_text(const std::array<double, 4>& channels) {
  std::size_t count = channels.size();
  while (count > 1 && channels[count - 1] == channels[count - 2])
    --count;
  std::string text = to_text(channels[0]);
  for (std::size_t i = 1; i < count; ++i)
    text += "," + to_text(channels[i]);
  return text;
}

}  // namespace vitrail
