#pragma once
// A training run: weights, gradients, moments and everything else a step needs, all allocated before step 1.
// It moves by micro-batches, can be saved between any two of them, and goes on from there bit for bit.

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "engine/checkpoint_saver.h"
#include "engine/data/dataset.h"
#include "engine/evaluate.h"
#include "engine/memory_plan.h"
#include "engine/train_config.h"
#include "engine/train_progress.h"
#include "format/container.h"
#include "kernels/backend.h"

namespace vitrail {

struct StepReport {
  std::int64_t step = 0;   // steps done, this one included
  std::int64_t epoch = 0;  // of this step, counts from 0
  double loss = 0;         // mean over the step's samples
  double grad_norm = 0;    // before clipping
  double lr = 0;
};

// Where a training begins that does not begin with random weights. The sets are those of the trainer's
// network; without moments they are zero, without an average of the weights it begins as these.
struct Beginning {
  const ParamSet& weights;
  const ParamSet* first_moment = nullptr;
  const ParamSet* second_moment = nullptr;
  const ParamSet* ema = nullptr;
  std::int64_t step = 0;  // steps that another program has done
};

class Trainer {
 public:
  // Starts at step 0 with fresh weights. `data` may hold no validation part; `writer`: of begin_save(), empty
  // for the usual one.
  Trainer(Backend& backend, const TrainConfig& config, const DataSource& data, int data_threads,
          ContainerWriter writer = {});
  ~Trainer();

  // Only at step 0. The data are read on from where `step` steps of this configuration would have come.
  void begin_from(const Beginning& beginning);
  // Goes on from a checkpoint whose config is this trainer's, except that epochs, steps, save.* and the place
  // of the data may differ. Not while saving(). Throws format::FormatError when the file is damaged,
  // ConfigError when it belongs to another run.
  void load(const std::filesystem::path& path);
  // The state as it is now, in a file that is durable when this returns.
  format::WriteResult save(const std::filesystem::path& path) const;

  // The same behind training's back (config.save.mode), which goes on as if nothing were saved, bit for bit.
  // `then` is called by another thread once the file is durable, and must not throw. One save at a time: the
  // next one may begin when the outcome of the last has been taken, by poll_save() or await_save().
  void begin_save(const std::filesystem::path& path, std::function<void()> then = {});
  bool saving() const;
  std::optional<SaveOutcome> poll_save();
  std::optional<SaveOutcome> await_save();
  double seconds_blocked() const;  // for which saves have held up training

  const TrainConfig& config() const;  // with what was automatic filled in (warmup_steps)
  std::int64_t step() const;          // steps done
  std::int64_t total_steps() const;
  std::int64_t steps_per_epoch() const;
  bool mid_step() const;  // some micro-batches of a step are done
  bool done() const;
  bool at_epoch_end() const;  // the last step of an epoch (or of the run) is done and not yet recorded

  // One micro-batch; a report when it completes a step. Throws DivergedError, before any weight is touched,
  // when the loss or the gradient norm is NaN or infinite.
  std::optional<StepReport> advance();

  // On the validation part, with the EMA weights where there are any; records the epoch in history().
  EpochReport finish_epoch(const EvalProgress& progress = {});
  const std::vector<EpochReport>& history() const;
  std::optional<double> best_top1() const;

  MemoryPlan memory() const;  // what was taken: plan_memory() of config()
  std::int64_t parameters() const;
  double seconds_waited() const;            // for data
  std::vector<std::string> broken() const;  // images replaced so far

  const ParamSet& weights() const;
  const ParamSet& first_moment() const;
  const ParamSet& second_moment() const;
  const ParamSet* ema() const;  // null when it is off

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The configuration a checkpoint was made with, its data spec included.
TrainConfig read_train_config(const std::filesystem::path& path);

}  // namespace vitrail
