// Which checkpoints of a run stay, and which of them is the newest. No file points at another: what is there,
// and the steps in its heads, decide.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <tuple>

#include "engine/app/run_folder.h"
#include "format/container.h"
#include "format/sections.h"

namespace vitrail::app {
namespace {

namespace fs = std::filesystem;
namespace section = format::section;

void sync(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0)
    throw fs::filesystem_error("cannot open", path, std::error_code(errno, std::generic_category()));
  // Some file systems know no fsync for folders; there a rename is as durable as it gets.
  const bool failed = ::fsync(descriptor) != 0 && errno != EINVAL && errno != ENOTSUP;
  const std::error_code error(errno, std::generic_category());
  ::close(descriptor);
  if (failed) throw fs::filesystem_error("cannot fsync", path, error);
}

bool same_file(const fs::path& a, const fs::path& b) {
  std::error_code error;
  return fs::equivalent(a, b, error) && !error;
}

// `to` becomes another name of the file `from`, in one step and durably; a copy where the file system has no
// links.
void link_or_copy(const fs::path& from, const fs::path& to) {
  if (same_file(from, to)) return;  // a rename between two names of one file does nothing
  const fs::path temporary = to.parent_path() / fmt::format(".{}.tmp-link", to.filename().string());
  std::error_code error;
  fs::remove(temporary, error);
  fs::create_hard_link(from, temporary, error);
  try {
    if (error) {
      fs::copy_file(from, temporary, fs::copy_options::overwrite_existing);
      sync(temporary);
    }
    fs::rename(temporary, to);
  } catch (const fs::filesystem_error&) {
    fs::remove(temporary, error);
    throw;
  }
  sync(to.parent_path());
}

struct StepFile {
  std::int64_t step = 0;
  fs::path path;
};

std::string step_name(std::int64_t step) {
  return fmt::format("step-{:010}.vitrail", step);
}

// The files of a folder that bear the name of a step, newest first; what others have put there is not ours.
std::vector<StepFile> step_files(const fs::path& folder) {
  std::vector<StepFile> files;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("step-")) continue;
    std::int64_t step = 0;
    std::from_chars(name.data() + 5, name.data() + name.size(), step);
    if (name == step_name(step)) files.push_back({step, entry.path()});
  }
  std::sort(files.begin(), files.end(), [](const StepFile& a, const StepFile& b) { return a.step > b.step; });
  return files;
}

// As link_or_copy() into a shelf of the run, made where it is not there yet. The run's own folder is never
// made again: it may have been moved away, and is to find its place free when it comes back.
void shelve(const fs::path& from, const fs::path& shelf, std::int64_t step) {
  fs::create_directory(shelf);
  link_or_copy(from, shelf / step_name(step));
}

std::vector<fs::path> all_checkpoints(const RunFolder& folder) {
  std::vector<fs::path> files;
  for (const fs::path& file : {folder.last(), folder.best()}) {
    if (fs::exists(file)) files.push_back(file);
  }
  for (const char* shelf : {"rolling", "kept"}) {
    for (const StepFile& file : step_files(folder.path() / shelf))
      files.push_back(file.path);
  }
  return files;
}

// Is a checkpoint better than best.vitrail? One that cannot be read is worse than any.
bool beats_best(const CheckpointHead& head, const fs::path& best) {
  if (!head.top1) return false;
  try {
    const CheckpointHead before = read_checkpoint_head(best);
    return !before.top1 || *head.top1 > *before.top1 || head.step == before.step;
  } catch (const std::runtime_error&) {
    return true;
  }
}

}  // namespace

CheckpointHead read_checkpoint_head(const fs::path& path) {
  const format::Container file = format::Container::open(path);
  if (file.kind() != format::FileKind::checkpoint) {
    throw format::FormatError(fmt::format("{}: expected a checkpoint, found a {} file", path.string(),
                                          format::name_of(file.kind())));
  }
  const format::Table& root = file.root();
  CheckpointHead head;
  head.step = root.table(section::kOptimizer, "optimizer").i64(section::optimizer::kStep, "step");
  head.micro =
      root.table(section::kDataOrder, "data order").i64(section::data_order::kMicro, "micro-batches");
  if (!root.has(section::kHistory) || head.micro > 0) return head;
  const format::Table& history = root.table(section::kHistory, "history");
  const std::vector<std::string>& columns = history.strings(section::history::kColumns, "columns");
  const std::vector<std::uint64_t> steps = history.u64s(section::history::kSteps, "history steps");
  const std::vector<double> values = history.f64s(section::history::kValues, "history values");
  const auto top1 = std::find(columns.begin(), columns.end(), "top1");
  const bool epoch_ended = !steps.empty() && steps.back() == static_cast<std::uint64_t>(head.step);
  if (epoch_ended && top1 != columns.end() && values.size() == steps.size() * columns.size())
    head.top1 = values[values.size() - static_cast<std::size_t>(columns.end() - top1)];
  return head;
}

std::vector<FoundCheckpoint> RunFolder::checkpoints() const {
  std::vector<FoundCheckpoint> found;
  for (const fs::path& path : all_checkpoints(*this)) {
    const auto known = [&](const FoundCheckpoint& other) { return same_file(other.path, path); };
    if (std::any_of(found.begin(), found.end(), known)) continue;
    found.push_back({.path = path, .head = {}});
    try {
      found.back().head = read_checkpoint_head(path);
    } catch (const std::runtime_error&) {
      // It is listed without a head; whoever opens it learns the reason.
    }
  }
  const auto key = [](const FoundCheckpoint& file) {
    return file.head ? std::tuple(1, -file.head->step, -file.head->micro) : std::tuple(0, 0L, 0L);
  };
  std::stable_sort(found.begin(), found.end(),
                   [&](const FoundCheckpoint& a, const FoundCheckpoint& b) { return key(a) < key(b); });
  return found;
}

void RunFolder::retain(const RetentionPolicy& policy) const {
  const CheckpointHead head = read_checkpoint_head(last());
  if (policy.best && beats_best(head, best())) link_or_copy(last(), best());
  const std::int64_t every = policy.keep_every;
  if (every > 0 && head.step >= every) {
    const std::vector<StepFile> files = step_files(kept());
    const bool there = std::any_of(files.begin(), files.end(), [&](const StepFile& file) {
      return file.step / every == head.step / every && file.step != head.step;
    });
    if (!there) shelve(last(), kept(), head.step);
  }
  if (policy.keep > 0) shelve(last(), rolling(), head.step);
  // rolling/ holds the last one too: the next save will take its other name away.
  const std::size_t stay = policy.keep > 0 ? static_cast<std::size_t>(policy.keep) + 1 : 0;
  const std::vector<StepFile> files = step_files(rolling());
  for (std::size_t i = stay; i < files.size(); ++i)
    fs::remove(files[i].path);
}

void RunFolder::set_aside(const std::vector<fs::path>& damaged) const {
  for (const fs::path& file : damaged) {
    const fs::path aside = file.string() + ".damaged";
    fs::rename(file, aside);
    for (const fs::path& other : all_checkpoints(*this)) {
      if (same_file(other, aside)) fs::remove(other);
    }
  }
}

void RunFolder::make_last(const fs::path& good) const {
  link_or_copy(good, last());
}

void RunFolder::remove_temporaries() const {
  for (const fs::path& folder : {path_, rolling(), kept()}) {
    std::vector<fs::path> stale;
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with('.') && name.find(".tmp-") != std::string::npos) stale.push_back(entry.path());
    }
    for (const fs::path& file : stale)
      fs::remove(file, error);
  }
}

}  // namespace vitrail::app
