#include "engine/app/console.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>

#include "engine/app/text.h"
#include "kernels/error.h"

namespace vitrail::app {
namespace {

constexpr std::size_t kLabelColumns = 10;
constexpr double kRedrawSeconds = 0.1;

bool has_value(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

std::size_t columns_of(std::FILE* stream) {
  winsize size{};
  if (ioctl(fileno(stream), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

ConsoleOptions detect_console() {
  ConsoleOptions options;
  const char* terminal = std::getenv("TERM");
  options.live = isatty(fileno(stdout)) == 1 && terminal != nullptr && std::string_view(terminal) != "dumb";
  options.color = options.live && isatty(fileno(stderr)) == 1 && !has_value("NO_COLOR");
  return options;
}

Console::Console(const ConsoleOptions& options) : options_(options) {}

Console::~Console() {
  erase();
}

void Console::log_to(const std::filesystem::path& path) {
  log_.open(path, std::ios::app);
  if (!log_) throw Error(fmt::format("{}: expected a file that can be written", path.string()));
}

void Console::put(Weight weight, std::string_view plain, std::string_view styled) {
  if (log_.is_open()) log_ << plain << '\n' << std::flush;
  if (options_.quiet && weight == Weight::usual) return;
  std::FILE* stream = weight == Weight::urgent ? options_.err : options_.out;
  erase();
  const std::string_view text = options_.color ? styled : plain;
  std::fwrite(text.data(), 1, text.size(), stream);
  std::fputc('\n', stream);
  std::fflush(stream);
}

void Console::line(std::string_view text) {
  put(Weight::usual, text, text);
}

void Console::row(std::string_view label, std::string_view text) {
  const std::size_t width = label.size() < kLabelColumns ? kLabelColumns - label.size() : 0;
  put(Weight::usual, fmt::format("{:{}}{}  {}", "", width, label, text),
      fmt::format("{:{}}\x1b[1m{}\x1b[0m  {}", "", width, label, text));
}

void Console::warning(std::string_view text) {
  put(Weight::urgent, fmt::format("warning: {}", text), fmt::format("\x1b[1;33mwarning:\x1b[0m {}", text));
}

void Console::error(std::string_view text, std::string_view help) {
  put(Weight::urgent, fmt::format("error: {}", text), fmt::format("\x1b[1;31merror:\x1b[0m {}", text));
  if (!help.empty()) {
    put(Weight::urgent, fmt::format("help: {}", help), fmt::format("\x1b[1;36mhelp:\x1b[0m {}", help));
  }
}

void Console::document(std::string_view json) {
  erase();
  std::fwrite(json.data(), 1, json.size(), options_.out);
  std::fputc('\n', options_.out);
  std::fflush(options_.out);
}

void Console::raw(std::span<const std::byte> bytes) {
  erase();
  const bool whole = std::fwrite(bytes.data(), 1, bytes.size(), options_.out) == bytes.size();
  if (!whole || std::fflush(options_.out) != 0) throw Error("standard output cannot be written to");
}

bool Console::redraw_due() const {
  return options_.live && !options_.quiet && seconds_since(drawn_at_) >= kRedrawSeconds;
}

bool Console::line_due() const {
  const bool wanted = log_.is_open() || (!options_.live && !options_.quiet);
  return wanted && (lined_at_ == Clock::time_point{} || seconds_since(lined_at_) >= options_.interval);
}

bool Console::progress_due() const {
  return redraw_due() || line_due();
}

void Console::progress(std::string_view text) {
  if (line_due()) {
    lined_at_ = Clock::now();
    if (log_.is_open()) log_ << text << '\n' << std::flush;
    if (!options_.live && !options_.quiet) {
      std::fwrite(text.data(), 1, text.size(), options_.out);
      std::fputc('\n', options_.out);
      std::fflush(options_.out);
    }
  }
  if (redraw_due()) draw(text);
}

void Console::announce(std::string_view text) {
  if (options_.live && !options_.quiet) draw(text);
}

void Console::draw(std::string_view text) {
  // One column stays free: a full line would wrap on some terminals.
  const std::string shown = fit(text, columns_of(options_.out) - 1);
  fmt::print(options_.out, "\r{}\x1b[K", shown);
  std::fflush(options_.out);
  drawn_ = true;
  drawn_at_ = Clock::now();
}

void Console::erase() {
  if (!drawn_) return;
  std::fputs("\r\x1b[K", options_.out);
  std::fflush(options_.out);
  drawn_ = false;
  drawn_at_ = {};  // the next progress line takes its place at once
}

}  // namespace vitrail::app
