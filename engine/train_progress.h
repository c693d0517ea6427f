#pragma once
// How far a training run has come: with the tensors and the configuration, all that resuming needs.

#include <cstdint>
#include <vector>

namespace vitrail {

struct EpochReport {
  std::int64_t epoch = 0;  // counts from 0
  std::int64_t step = 0;
  double train_loss = 0;                                    // mean over the epoch's steps
  double top1 = 0, top1_error = 0, top5 = 0, val_loss = 0;  // top1, its uncertainty and top5 in percent

  friend bool operator==(const EpochReport&, const EpochReport&) = default;
};

struct TrainProgress {
  std::int64_t step = 0;   // steps done
  std::int64_t micro = 0;  // micro-batches done of the step after them
  double step_loss = 0;    // sum over the samples of those micro-batches
  double epoch_loss = 0;   // sum over the steps since the last entry of history
  std::vector<EpochReport> history;
  std::int64_t first_step = 0;  // steps that another program had done before

  std::int64_t recorded_step() const { return history.empty() ? first_step : history.back().step; }

  friend bool operator==(const TrainProgress&, const TrainProgress&) = default;
};

}  // namespace vitrail
