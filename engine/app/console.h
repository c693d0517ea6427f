#pragma once
// The one place through which the program speaks. On a terminal progress is a single line that is redrawn; in
// a pipe or a file it is one plain line an interval, without carriage returns and escape codes. A log file
// gets the plain form of everything.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>

namespace vitrail::app {

struct ConsoleOptions {
  std::FILE* out = stdout;
  std::FILE* err = stderr;
  bool live = false;     // out is a terminal that can redraw a line
  bool color = false;    // and wants emphasis
  bool quiet = false;    // only errors and warnings, to err
  double interval = 10;  // seconds between progress lines where they are not redrawn
};

// What the standard streams and the environment (NO_COLOR, TERM) call for.
ConsoleOptions detect_console();

class Console {
 public:
  explicit Console(const ConsoleOptions& options);
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  void set_interval(double seconds) { options_.interval = seconds; }
  void set_quiet(bool quiet) { options_.quiet = quiet; }
  // Appends to `path` from here on. Throws Error when it cannot be opened.
  void log_to(const std::filesystem::path& path);

  void line(std::string_view text = {});
  void row(std::string_view label, std::string_view text);  // label right-aligned and bold
  void warning(std::string_view text);
  void error(std::string_view text, std::string_view help);
  void document(std::string_view json);        // to standard output even when quiet
  void raw(std::span<const std::byte> bytes);  // so too; throws Error when they cannot be written

  // Progress of something slow. Ask first: most calls would show nothing.
  bool progress_due() const;
  void progress(std::string_view text);
  // At once, and only where a line can be redrawn: for the moment before something slow.
  void announce(std::string_view text);
  bool redraw_due() const;  // what is announced over and over need not be shown more often than this

 private:
  using Clock = std::chrono::steady_clock;

  bool line_due() const;
  void draw(std::string_view text);
  void erase();
  enum class Weight : std::uint8_t { usual, urgent };  // urgent: to err, even when quiet
  void put(Weight weight, std::string_view plain, std::string_view styled);

  ConsoleOptions options_;
  std::ofstream log_;
  bool drawn_ = false;  // a progress line stands on the terminal
  Clock::time_point drawn_at_{}, lined_at_{};
};

}  // namespace vitrail::app
