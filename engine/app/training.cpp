#include "engine/app/training.h"

#include <fmt/format.h>

#include "engine/app/signals.h"
#include "engine/app/text.h"
#include "engine/error.h"

namespace vitrail::app {
namespace {

// Thrown out of an evaluation: nothing of it is recorded, and a resumed run begins it anew.
struct Stopped {};

constexpr double kStatusSeconds = 1;  // status.json is renewed no more often

}  // namespace

TrainingLoop::TrainingLoop(Console& console, RunFolder& folder, Trainer& trainer, const DataSource& data,
                           const RunConfig& config, nlohmann::ordered_json arithmetic)
    : console_(console),
      folder_(folder),
      trainer_(trainer),
      data_(data),
      config_(config),
      arithmetic_(std::move(arithmetic)),
      saver_(console, folder, trainer, retention(config, data)) {
  latest_.step = trainer.step();
}

ExitCode TrainingLoop::run() {
  write_status("running");
  write_data_notes();
  try {
    for (;;) {
      if (trainer_.at_epoch_end()) finish_epoch();
      if (trainer_.done()) return finish();
      if (stop_requested()) return stop();
      advance();
    }
  } catch (const Stopped&) {
    return stop();
  } catch (const DivergedError& error) {
    return give_up(error);
  } catch (const std::exception&) {
    saver_.settle();
    write_status("failed");
    throw;
  }
}

void TrainingLoop::advance() {
  const Stopwatch watch;
  const std::optional<StepReport> report = trainer_.advance();
  step_seconds_ += watch.seconds();
  saver_.moved();
  if (report) record_step(*report);
  if (saver_.ended() != saves_in_status_) write_status("running");
}

void TrainingLoop::record_step(const StepReport& report) {
  const double waited = trainer_.seconds_waited();
  meter_.add(step_seconds_, waited - waited_before_, config_.train.batch);
  waited_before_ = waited;
  latest_ = report;
  add_step_metrics(report);
  step_seconds_ = 0;
  if (console_.progress_due()) show_step(report);
  const std::int64_t every = config_.train.save.every_steps;
  if (every > 0 && report.step % every == 0 && !trainer_.at_epoch_end()) saver_.at_interval();
}

void TrainingLoop::add_step_metrics(const StepReport& report) {
  folder_.add_metrics({{"kind", "step"},
                       {"step", report.step},
                       {"epoch", report.epoch + 1},
                       {"loss", report.loss},
                       {"grad_norm", report.grad_norm},
                       {"lr", report.lr},
                       {"seconds", step_seconds_}});
}

void TrainingLoop::show_step(const StepReport& report) {
  const std::int64_t per_epoch = trainer_.steps_per_epoch(), total = trainer_.total_steps();
  console_.progress(
      fmt::format("step {:>{}}/{}  ep {}/{}  loss {:.3f}  |g| {:.2f}  lr {}  {} img/s  wait {:.0f} %  eta {}",
                  report.step, std::to_string(total).size(), total, report.epoch + 1,
                  (total + per_epoch - 1) / per_epoch, report.loss, report.grad_norm, lr_text(report.lr),
                  count_text(std::int64_t(meter_.images_per_second() + 0.5)), 100 * meter_.wait_share(),
                  duration_text(eta())));
  if (status_age_.seconds() >= kStatusSeconds) write_status("running");
}

void TrainingLoop::finish_epoch() {
  const std::optional<double> best_before = trainer_.best_top1();
  const Stopwatch watch;
  const EpochReport report = trainer_.finish_epoch([&](std::int64_t done, std::int64_t total) {
    if (stop_requested()) throw Stopped{};
    if (console_.redraw_due())
      console_.announce(fmt::format("evaluating {} of {} images", count_text(done), count_text(total)));
    return true;
  });
  eval_seconds_ += watch.seconds();
  ++evals_;
  const bool best = data_.val && (!best_before || report.top1 > *best_before);
  nlohmann::ordered_json metrics{{"kind", "epoch"},
                                 {"step", report.step},
                                 {"epoch", report.epoch + 1},
                                 {"train_loss", report.train_loss}};
  if (data_.val) {
    metrics.update(nlohmann::ordered_json{{"top1", report.top1},
                                          {"top1_error", report.top1_error},
                                          {"top5", report.top5},
                                          {"val_loss", report.val_loss},
                                          {"best", best}});
    console_.row("Eval",
                 fmt::format("ep {}  top1 {:.2f} ±{:.2f} %  top5 {:.2f} %  loss {:.3f}  (training {:.3f}){}",
                             report.epoch + 1, report.top1, report.top1_error, report.top5, report.val_loss,
                             report.train_loss, best ? "  best so far" : ""));
  } else {
    console_.row("Epoch", fmt::format("{}  training loss {:.3f}  (no validation images)", report.epoch + 1,
                                      report.train_loss));
  }
  folder_.add_metrics(metrics);
  write_data_notes();
  saver_.at_epoch_end(best);
  write_status("running");
}

ExitCode TrainingLoop::stop() {
  if (!saver_.secure()) {
    write_status("failed");
    console_.error(fmt::format("stopped at step {}, but that state could not be saved", trainer_.step()),
                   saver_.saved_step() >= 0
                       ? fmt::format("free some space; {} holds step {}: vitrail resume {}",
                                     folder_.last().string(), saver_.saved_step(), folder_.path().string())
                       : "free some space and start again");
    return ExitCode::failed;
  }
  write_status("interrupted");
  console_.line(fmt::format("Stopped at step {}{} ({}). Continue with: vitrail resume {}", trainer_.step(),
                            trainer_.mid_step() ? ", in the middle of the next" : "", stop_reason(),
                            folder_.path().string()));
  return ExitCode::resumable;
}

ExitCode TrainingLoop::give_up(const std::exception& divergence) {
  saver_.settle();
  write_status("diverged");
  const Failure failure = describe(divergence);
  const std::string again = fmt::format("vitrail train config={} opt.lr={}", folder_.config().string(),
                                        lr_text(config_.train.opt.lr / 4));
  console_.error(failure.error,
                 saver_.saved_step() >= 0
                     ? fmt::format("the last good checkpoint is {}, step {}; {}: {}", folder_.last().string(),
                                   saver_.saved_step(), failure.help, again)
                     : fmt::format("there was no checkpoint yet; {}: {}", failure.help, again));
  return ExitCode::diverged;
}

double TrainingLoop::eta() const {
  const std::int64_t steps = trainer_.total_steps() - trainer_.step();
  const double epochs = double(steps) / double(trainer_.steps_per_epoch());
  const double eval = evals_ > 0 ? eval_seconds_ / double(evals_) : 0;
  return double(steps) * meter_.seconds_per_step() + epochs * eval;
}

}  // namespace vitrail::app
