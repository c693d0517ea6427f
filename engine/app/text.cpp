#include "engine/app/text.h"

#include <fmt/format.h>

#include <cmath>

namespace vitrail::app {

std::string count_text(std::int64_t count) {
  std::string text = std::to_string(count);
  const std::size_t first_digit = count < 0 ? 1 : 0;
  for (std::size_t at = text.size(); at > first_digit + 3;)
    text.insert(at -= 3, " ");
  return text;
}

std::string bytes_text(std::uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  double value = double(bytes);
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", value, unit > 0 && value < 9.95 ? 1 : 0, kUnits[unit]);
}

std::string duration_text(double seconds) {
  const std::int64_t whole = std::llround(std::max(seconds, 0.0));
  if (whole < 60) return fmt::format("{}s", whole);
  if (whole < 3600) return fmt::format("{}m {:02}s", whole / 60, whole % 60);
  return fmt::format("{}h {:02}m", whole / 3600, whole / 60 % 60);
}

std::string parameters_text(std::int64_t count) {
  if (count < 100'000) return count_text(count);
  return fmt::format("{:.{}f} M", double(count) / 1e6, count < 1'000'000 ? 2 : 1);
}

std::string lr_text(double lr) {
  if (!(lr > 0)) return "0";
  int exponent = static_cast<int>(std::floor(std::log10(lr)));
  std::string digits = fmt::format("{:.1f}", lr * std::pow(10.0, -exponent));
  if (digits == "10.0") {
    digits = "1.0";
    ++exponent;
  }
  return fmt::format("{}e{}", digits, exponent);
}

std::string fit(std::string_view text, std::size_t columns) {
  std::size_t characters = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool continues = (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
    if (!continues && characters++ == columns) return std::string(text.substr(0, at));
  }
  return std::string(text);
}

}  // namespace vitrail::app
