#include "engine/app/run_saver.h"

#include <fmt/format.h>

#include <utility>

#include "engine/app/text.h"

namespace vitrail::app {

RunSaver::RunSaver(Console& console, const RunFolder& folder, Trainer& trainer,
                   const RetentionPolicy& retention)
    : console_(console), folder_(folder), trainer_(trainer), retention_(retention) {
  if (std::filesystem::exists(folder.last())) saved_step_ = trainer.step();
}

RunSaver::~RunSaver() {
  (void)trainer_.await_save();  // it would tell an object that is gone
}

void RunSaver::moved() {
  pending_.present = present_saved_ = false;
  if (const std::optional<SaveOutcome> outcome = trainer_.poll_save()) follow_up(*outcome);
}

void RunSaver::at_interval() {
  if (!trainer_.saving()) return begin(false);
  ++skipped_;
  ++skipped_unreported_;
}

void RunSaver::at_epoch_end(bool best) {
  settle();
  begin(best);
}

void RunSaver::settle() {
  if (!trainer_.saving()) return;
  console_.announce(fmt::format("waiting for the checkpoint of step {}", pending_.step));
  follow_up(*trainer_.await_save());
}

bool RunSaver::secure() {
  settle();
  if (!present_saved_) {
    begin(false);
    settle();
  }
  return present_saved_;
}

void RunSaver::begin(bool best) {
  pending_ = {trainer_.step(), best, true, trainer_.seconds_blocked()};
  try {
    trainer_.begin_save(folder_.last(), [this] { retain(); });
  } catch (const std::exception& error) {
    return fail(pending_.step, error.what());
  }
  if (const std::optional<SaveOutcome> outcome = trainer_.poll_save()) follow_up(*outcome);
}

// By the thread that saves, so that training does not wait for it. The state itself is safe when this fails.
void RunSaver::retain() {
  try {
    folder_.retain(retention_);
  } catch (const std::exception& error) {
    disorder_ = error.what();
  }
}

void RunSaver::follow_up(const SaveOutcome& outcome) {
  try {
    if (outcome.error) std::rethrow_exception(outcome.error);
    report(outcome);
  } catch (const std::exception& error) {
    fail(pending_.step, error.what());
  }
}

void RunSaver::report(const SaveOutcome& outcome) {
  ++saved_;
  saved_step_ = pending_.step;
  present_saved_ = pending_.present;
  last_seconds_ = outcome.seconds;
  const std::int64_t skipped = std::exchange(skipped_unreported_, 0);
  console_.row("Saved",
               fmt::format("{}{}  step {}  {}  {:.2f} s, of which training waited {:.2f} s{}",
                           folder_.last().string(), pending_.best ? " and best.vitrail" : "", pending_.step,
                           bytes_text(outcome.result.file_bytes), outcome.seconds,
                           trainer_.seconds_blocked() - pending_.blocked_before,
                           skipped == 0 ? ""
                                        : fmt::format("; {} skipped meanwhile: the disk is slower than "
                                                      "save.every_steps={}",
                                                      skipped, trainer_.config().save.every_steps)));
  const std::string disorder = std::exchange(disorder_, {});
  if (disorder.empty()) return;
  console_.warning(fmt::format("{} is saved, but the checkpoints beside it could not be put in order: {}",
                               folder_.last().string(), disorder));
}

void RunSaver::fail(std::int64_t step, const char* reason) {
  ++failed_;
  console_.warning(fmt::format("the checkpoint of step {} could not be saved: {}", step, reason));
  if (saved_step_ >= 0)
    console_.warning(fmt::format("{} still holds step {}", folder_.last().string(), saved_step_));
}

void RunSaver::describe(nlohmann::ordered_json& status) const {
  status["saved_step"] = saved_step_;
  status["saves"] = saved_;
  status["failed_saves"] = failed_;
  status["skipped_saves"] = skipped_;
  status["last_save_seconds"] = last_seconds_;
  status["blocked_seconds"] = trainer_.seconds_blocked();
}

}  // namespace vitrail::app
