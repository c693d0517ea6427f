#pragma once
// Numbers as people read them.

#include <cstdint>
#include <string>
#include <string_view>

namespace vitrail::app {

std::string count_text(std::int64_t count);       // "12 480"
std::string bytes_text(std::uint64_t bytes);      // "248 MB", decimal units
std::string duration_text(double seconds);        // "21s", "4m 05s", "2h 10m"
std::string parameters_text(std::int64_t count);  // "21.7 M"
std::string lr_text(double lr);                   // "5.0e-4"

// At most `columns` characters of `text`, cut between UTF-8 characters.
std::string fit(std::string_view text, std::size_t columns);

}  // namespace vitrail::app
