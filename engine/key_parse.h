#pragma once
// Values of settings as text: strict parsing, and the shortest text that reads back as the same value.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace vitrail {

// Numbers a key accepts. Bounds are part of the range unless marked open.
struct NumberRange {
  double low = 0, high = 0;
  bool low_open = false, high_open = false;

  bool holds(double value) const;
  std::string text() const;  // "number above 0", "number of at least 0 and below 1"
};

struct WholeRange {
  std::int64_t low = 0, high = 0;

  std::string text() const;  // "whole number, 1 to 64", "whole number, at least 1"
};

// All throw ConfigError: "NAME: expected ACCEPTS, found 'TEXT'".
double parse_number(std::string_view name, std::string_view text, const NumberRange& range);
std::int64_t parse_whole(std::string_view name, std::string_view text, const WholeRange& range);
std::uint64_t parse_seed(std::string_view name, std::string_view text);
// Bytes: a whole number with its unit, "800MiB".
std::uint64_t parse_size(std::string_view name, std::string_view text);
bool parse_switch(std::string_view name, std::string_view text);
// One to four numbers with commas between; the last one stands for the channels that are left out.
std::array<double, 4> parse_channels(std::string_view name, std::string_view text, const NumberRange& range);

std::string size_text(std::uint64_t bytes);  // in the largest unit that is exact
std::string to_text(double value);
std::string to_text(const std::array<double, 4>& channels);

[[noreturn]] void refuse_value(std::string_view name, std::string_view accepts, std::string_view found);

}  // namespace vitrail
