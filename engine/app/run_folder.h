#pragma once
// The folder of a training run: what is in it, and how its files are written.
//   config.toml     the effective configuration, a valid input again
//   metrics.jsonl   one JSON line for each step and each epoch
//   log.txt         what was printed
//   status.json     where the run stands, replaced as a whole at each interval
//   data.txt        what was learnt from, and images that could not be read
//   last.vitrail    the newest checkpoint; best.vitrail: that of the best epoch
//   rolling/        the last few checkpoints; kept/: one of every so many steps, never deleted

#include <filesystem>
#include <fstream>
#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

namespace vitrail::app {

// Where a run stood when a checkpoint was written, from the file's head.
struct CheckpointHead {
  std::int64_t step = 0, micro = 0;
  std::optional<double> top1;  // of the epoch that ended just then
};
// Throws format::FormatError when the head is damaged or the file is no checkpoint, format::FileError.
CheckpointHead read_checkpoint_head(const std::filesystem::path& path);

struct FoundCheckpoint {
  std::filesystem::path path;
  std::optional<CheckpointHead> head;  // nothing when it could not be read
};

// Which checkpoints stay besides last.vitrail.
struct RetentionPolicy {
  std::int64_t keep = 0;        // so many before the last, in rolling/
  std::int64_t keep_every = 0;  // the first of every so many steps, in kept/; 0: none
  bool best = false;            // the one with the highest top-1 accuracy, as best.vitrail
};

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
  // Whatever there is, by the steps in the files' heads and not by their names: those that cannot be read
  // first, then newest first. Several names of one file count once.
  std::vector<FoundCheckpoint> checkpoints() const;

  void write_text(const char* name, std::string_view text) const;  // replaces the file in one step
  void write_status(const nlohmann::ordered_json& status) const;
  nlohmann::ordered_json read_status() const;  // empty when there is none or it cannot be read

  void add_metrics(const nlohmann::ordered_json& line);
  // Drops the lines of steps after `step`: a resumed run writes them again.
  void rewind_metrics(std::int64_t step);

  // Once last.vitrail is durable: gives it its other names, makes them durable, and only then deletes what is
  // kept no longer. It looks at files alone, so doing it again completes one that was interrupted. Throws
  // FormatError, FileError, filesystem_error; then nothing was deleted.
  void retain(const RetentionPolicy& policy) const;
  // Renames damaged files to NAME.damaged, under all their names in this folder.
  void set_aside(const std::vector<std::filesystem::path>& damaged) const;
  void make_last(const std::filesystem::path& good) const;  // last.vitrail becomes another name of `good`
  // What writers that were killed left behind. Only while nothing else writes here.
  void remove_temporaries() const;

 private:
  explicit RunFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path rolling() const { return path_ / "rolling"; }
  std::filesystem::path kept() const { return path_ / "kept"; }

  std::filesystem::path path_;
  std::ofstream metrics_;
};

// What a RUN or FILE argument means. Throws ConfigError when there is no such file, or no checkpoint in the
// folder, FormatError when it is a file of a known other format.
enum class Prefer : std::uint8_t { best, last };
std::filesystem::path model_file(const std::filesystem::path& run_or_file, Prefer prefer);

}  // namespace vitrail::app
