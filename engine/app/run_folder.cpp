#include "engine/app/run_folder.h"

#include <fmt/format.h>

#include "engine/app/foreign.h"
#include "engine/error.h"
#include "format/file.h"

namespace vitrail::app {
namespace fs = std::filesystem;

bool RunFolder::holds_run(const fs::path& path) {
  return fs::exists(path / "config.toml") || fs::exists(path / "last.vitrail");
}

RunFolder RunFolder::create(const fs::path& path) {
  if (holds_run(path)) {
    throw ConfigError(
        fmt::format("out: {} holds a run already; go on with 'vitrail resume {}', or choose another folder",
                    path.string(), path.string()));
  }
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw Error(fmt::format("out: {} cannot be made: {}", path.string(), error.message()));
  return RunFolder(path);
}

RunFolder RunFolder::open(const fs::path& path) {
  if (!fs::is_directory(path) || !holds_run(path)) {
    throw ConfigError(
        fmt::format("{}: expected the folder of a run (with config.toml and last.vitrail), found {}",
                    path.string(), fs::exists(path) ? "something else" : "nothing"));
  }
  return RunFolder(path);
}

fs::path RunFolder::next_free(const std::string& data) {
  fs::path folder = fs::path(data).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  std::string name = folder.filename().string();
  if (name.empty() || name == "." || name == "..") name = "run";
  for (int number = 1;; ++number) {
    const fs::path candidate = fs::path("runs") / fmt::format("{}-{}", name, number);
    if (!fs::exists(candidate)) return candidate;
  }
}

void RunFolder::write_text(const char* name, std::string_view text) const {
  format::replace_file(path_ / name, text);
}

void RunFolder::write_status(const nlohmann::ordered_json& status) const {
  format::replace_file(path_ / "status.json", status.dump(2) + "\n", format::Durability::fast);
}

nlohmann::ordered_json RunFolder::read_status() const {
  std::ifstream file(path_ / "status.json");
  nlohmann::ordered_json status = nlohmann::ordered_json::parse(file, nullptr, false);
  return status.is_object() ? status : nlohmann::ordered_json::object();
}

void RunFolder::add_metrics(const nlohmann::ordered_json& line) {
  if (!metrics_.is_open()) metrics_.open(path_ / "metrics.jsonl", std::ios::app);
  metrics_ << line.dump() << '\n' << std::flush;
  metrics_.clear();  // a full disk must not end the run, nor silence the lines after it
}

void RunFolder::rewind_metrics(std::int64_t step) {
  std::ifstream file(path_ / "metrics.jsonl");
  std::string kept;
  for (std::string line; std::getline(file, line);) {
    const nlohmann::json entry = nlohmann::json::parse(line, nullptr, false);
    if (entry.is_object() && entry.value("step", std::int64_t{0}) <= step) kept += line + '\n';
  }
  format::replace_file(path_ / "metrics.jsonl", kept, format::Durability::fast);
}

fs::path model_file(const fs::path& run_or_file, Prefer prefer) {
  if (!fs::exists(run_or_file)) {
    throw ConfigError(fmt::format("{}: expected the folder of a run or a .vitrail file, found nothing",
                                  run_or_file.string()));
  }
  if (!fs::is_directory(run_or_file)) {
    refuse_foreign(run_or_file);
    return run_or_file;
  }
  const fs::path last = run_or_file / "last.vitrail", best = run_or_file / "best.vitrail";
  if (prefer == Prefer::best && fs::exists(best)) return best;
  if (fs::exists(last)) return last;
  throw ConfigError(
      fmt::format("{}: expected the folder of a run, found no last.vitrail in it", run_or_file.string()));
}

}  // namespace vitrail::app
