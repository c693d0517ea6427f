#pragma once
// The folder of a training run: what is in it, and how its files are written.
//   config.toml     the effective configuration, a valid input again
//   metrics.jsonl   one JSON line for each step and each epoch
//   log.txt         what was printed
//   status.json     where the run stands, replaced as a whole at each interval
//   data.txt        what was learnt from, and images that could not be read
//   last.vitrail    the newest checkpoint; best.vitrail: that of the best epoch; rolling/: earlier ones

#include <filesystem>
#include <fstream>
#include <functional>
#include <vector>

#include <nlohmann/json.hpp>

namespace vitrail::app {

class RunFolder {
 public:
  // Throws ConfigError when the folder holds a run already, Error when it cannot be written to.
  static RunFolder create(const std::filesystem::path& path);
  // Throws ConfigError when there is no run.
  static RunFolder open(const std::filesystem::path& path);
  // runs/NAME-N with the smallest free N, where NAME is the last part of `data`.
  static std::filesystem::path next_free(const std::string& data);
  static bool holds_run(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path last() const { return path_ / "last.vitrail"; }
  std::filesystem::path best() const { return path_ / "best.vitrail"; }
  std::filesystem::path log() const { return path_ / "log.txt"; }
  std::filesystem::path config() const { return path_ / "config.toml"; }
  // Newest first: last.vitrail, then rolling/.
  std::vector<std::filesystem::path> checkpoints() const;

  void write_text(const char* name, std::string_view text) const;  // replaces the file in one step
  void write_status(const nlohmann::ordered_json& status) const;
  nlohmann::ordered_json read_status() const;  // empty when there is none or it cannot be read

  void add_metrics(const nlohmann::ordered_json& line);
  // Drops the lines of steps after `step`: a resumed run writes them again.
  void rewind_metrics(std::int64_t step);

  // Before last.vitrail is replaced: keeps it as rolling/step-N.vitrail.
  void keep_last(std::int64_t step) const;
  void prune(std::int64_t keep) const;  // leaves the newest `keep` in rolling/
  void mark_best() const;               // best.vitrail becomes last.vitrail
  // Puts a damaged last.vitrail aside as last.vitrail.damaged and `good` in its place.
  void replace_last(const std::filesystem::path& good) const;

 private:
  explicit RunFolder(std::filesystem::path path) : path_(std::move(path)) {}

  std::filesystem::path path_;
  std::ofstream metrics_;
};

// What a RUN or FILE argument means. Throws ConfigError when there is no such file, or no checkpoint in the
// folder.
enum class Prefer : std::uint8_t { best, last };
std::filesystem::path model_file(const std::filesystem::path& run_or_file, Prefer prefer);

}  // namespace vitrail::app
