#pragma once
// The checkpoints of a run: begun while training goes on, followed up once they are durable, and counted. A
// save that fails is reported, and the next one is another try.

#include <string>

#include "engine/app/console.h"
#include "engine/app/run_folder.h"
#include "engine/trainer.h"

namespace vitrail::app {

class RunSaver {
 public:
  // All must outlive the saver.
  RunSaver(Console& console, const RunFolder& folder, Trainer& trainer, const RetentionPolicy& retention);
  ~RunSaver();  // waits for the save under way
  RunSaver(const RunSaver&) = delete;
  RunSaver& operator=(const RunSaver&) = delete;

  // To be told when the trainer has moved on.
  void moved();
  // Not begun while the one before is being written: then it is skipped, counted and reported.
  void at_interval();
  void at_epoch_end(bool best);  // waits for the one before
  void settle();                 // waits for the save under way
  // Returns once the present state is durable; false when it cannot be saved.
  bool secure();

  std::int64_t ended() const { return saved_ + failed_; }  // saves, so far
  std::int64_t saved_step() const { return saved_step_; }  // of last.vitrail; -1: there is none
  void describe(nlohmann::ordered_json& status) const;

 private:
  void begin(bool best);
  void retain();
  void follow_up(const SaveOutcome& outcome);
  void report(const SaveOutcome& outcome);
  void fail(std::int64_t step, const char* reason);

  Console& console_;
  const RunFolder& folder_;
  Trainer& trainer_;
  RetentionPolicy retention_;

  struct Pending {
    std::int64_t step = 0;
    bool best = false;
    bool present = false;       // its state is still the trainer's
    double blocked_before = 0;  // seconds, when it was begun
  };
  Pending pending_;             // while trainer_.saving()
  std::string disorder_;        // why the last one was not followed by retention; the saving thread's
  bool present_saved_ = false;  // the trainer's state is durable
  std::int64_t saved_step_ = -1;
  std::int64_t saved_ = 0, failed_ = 0, skipped_ = 0, skipped_unreported_ = 0;
  double last_seconds_ = 0;
};

}  // namespace vitrail::app
