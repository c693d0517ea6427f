#pragma once
// The loop around a trainer, shared by `train` and `resume`: progress, evaluation, checkpoints, signals,
// summary.

#include "engine/app/console.h"
#include "engine/app/exit_codes.h"
#include "engine/app/run_config.h"
#include "engine/app/run_folder.h"
#include "engine/app/run_saver.h"
#include "engine/app/step_meter.h"
#include "engine/app/stopwatch.h"
#include "engine/trainer.h"

namespace vitrail::app {

class TrainingLoop {
 public:
  // All must outlive the loop. `arithmetic` is kept in status.json for the next resume.
  TrainingLoop(Console& console, RunFolder& folder, Trainer& trainer, const DataSource& data,
               const RunConfig& config, nlohmann::ordered_json arithmetic);

  // done, resumable, diverged, or failed when the last state could not be saved.
  ExitCode run();

 private:
  void advance();
  void record_step(const StepReport& report);
  void finish_epoch();
  void show_step(const StepReport& report);
  void add_step_metrics(const StepReport& report);
  ExitCode stop();
  ExitCode give_up(const std::exception& divergence);
  ExitCode finish();
  void write_status(const char* state);
  void write_data_notes();
  void list_files() const;
  double eta() const;

  Console& console_;
  RunFolder& folder_;
  Trainer& trainer_;
  const DataSource& data_;
  const RunConfig& config_;
  nlohmann::ordered_json arithmetic_;
  StepMeter meter_;
  Stopwatch status_age_;  // of status.json
  StepReport latest_;
  double step_seconds_ = 0;  // so far, of the step under way
  double waited_before_ = 0;
  double eval_seconds_ = 0;
  std::int64_t evals_ = 0;
  RunSaver saver_;
  std::int64_t saves_in_status_ = 0;  // that had ended when status.json was written
};

RetentionPolicy retention(const RunConfig& config, const DataSource& data);

// data.txt: what was learnt from, and the images that could not be read.
std::string data_notes(const DataSource& data, const std::vector<std::string>& broken);

}  // namespace vitrail::app
