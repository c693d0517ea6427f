// What a training run leaves behind: its status, notes on its data, its summary.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "engine/app/text.h"
#include "engine/app/training.h"

namespace vitrail::app {
namespace {

namespace fs = std::filesystem;

}  // namespace

void TrainingLoop::write_status(const char* state) {
  status_age_.restart();
  const std::int64_t per_epoch = trainer_.steps_per_epoch();
  nlohmann::ordered_json status{{"state", state},
                                {"step", trainer_.step()},
                                {"total_steps", trainer_.total_steps()},
                                {"epochs_done", trainer_.step() / per_epoch},
                                {"steps_per_epoch", per_epoch},
                                {"loss", latest_.loss},
                                {"grad_norm", latest_.grad_norm},
                                {"lr", latest_.lr},
                                {"images_per_second", meter_.images_per_second()},
                                {"wait_share", meter_.wait_share()},
                                {"eta_seconds", trainer_.done() ? 0.0 : eta()},
                                {"broken_images", trainer_.broken().size()},
                                {"pid", getpid()},
                                {"updated", std::int64_t{std::time(nullptr)}}};
  if (data_.val && trainer_.best_top1()) {
    status["top1"] = trainer_.history().back().top1;
    status["best_top1"] = *trainer_.best_top1();
  }
  saver_.describe(status);
  saves_in_status_ = saver_.ended();
  status["arithmetic"] = arithmetic_;
  try {
    folder_.write_status(status);
  } catch (const std::runtime_error&) {
    // A full disk: the next renewal tells what happened meanwhile.
  }
}

void TrainingLoop::write_data_notes() {
  try {
    folder_.write_text("data.txt", data_notes(data_, trainer_.broken()));
  } catch (const std::runtime_error& error) {
    console_.warning(fmt::format("data.txt could not be written: {}", error.what()));
  }
}

ExitCode TrainingLoop::finish() {
  if (!saver_.secure()) {
    write_status("failed");
    console_.error(
        fmt::format("training is done, but its last state (step {}) could not be saved", trainer_.step()),
        saver_.saved_step() >= 0 ? fmt::format("free some space, then go on from step {}: vitrail resume {}",
                                               saver_.saved_step(), folder_.path().string())
                                 : "free some space and start again");
    return ExitCode::failed;
  }
  write_status("done");
  if (data_.val) {
    const std::vector<EpochReport>& history = trainer_.history();
    const auto best =
        std::max_element(history.begin(), history.end(),
                         [](const EpochReport& a, const EpochReport& b) { return a.top1 < b.top1; });
    console_.row("Done",
                 fmt::format("top1 {:.2f} ±{:.2f} % at the end, best {:.2f} % in epoch {}",
                             history.back().top1, history.back().top1_error, best->top1, best->epoch + 1));
  } else {
    console_.row("Done", fmt::format("training loss {:.3f}", trainer_.history().back().train_loss));
  }
  console_.row(
      "Time",
      fmt::format("training {} ({:.0f} % waiting for data), evaluation {}, waiting for checkpoints {}",
                  duration_text(meter_.seconds()),
                  meter_.seconds() > 0 ? 100 * meter_.waited() / meter_.seconds() : 0,
                  duration_text(eval_seconds_), duration_text(trainer_.seconds_blocked())));
  list_files();
  const std::string run = folder_.path().string();
  console_.row("Next", fmt::format("vitrail eval {}", run));
  console_.row("", fmt::format("vitrail predict {} IMAGE.png", run));
  console_.row("", fmt::format("vitrail export {} --to onnx", run));
  console_.row("", fmt::format("vitrail resume {} {}", run,
                               config_.train.steps > 0 ? fmt::format("steps=+{}", config_.train.steps)
                                                       : fmt::format("epochs=+{}", config_.train.epochs)));
  return ExitCode::done;
}

void TrainingLoop::list_files() const {
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_.path())) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  const char* label = "Files";
  for (const fs::path& file : files) {
    console_.row(label, fmt::format("{:>7}  {}", bytes_text(fs::file_size(file)), file.string()));
    label = "";
  }
}

RetentionPolicy retention(const RunConfig& config, const DataSource& data) {
  const SaveConfig& save = config.train.save;
  return {.keep = save.keep, .keep_every = save.keep_every, .best = data.val != nullptr};
}

std::string data_notes(const DataSource& data, const std::vector<std::string>& broken) {
  std::string text = fmt::format(
      "data         {}\nfound        {}\nfingerprint  {}\ntraining     {} images\nvalidation   {} images\n",
      data.spec, data.description, data.fingerprint, data.train ? data.train->size() : 0,
      data.val ? data.val->size() : 0);
  text += fmt::format("classes      {}\n", data.class_names.size());
  for (std::size_t i = 0; i < data.class_names.size(); ++i)
    text += fmt::format("  {:>5}  {}\n", i, data.class_names[i]);
  text += fmt::format("unreadable   {} images so far, each replaced by another\n", broken.size());
  for (const std::string& name : broken)
    text += "  " + name + '\n';
  return text;
}

}  // namespace vitrail::app
