#pragma once
// Where `train` begins when it is given a file: init=, weights to fine-tune; resume_from=, a training of
// PyTorch that goes on.

#include "engine/app/choices.h"
#include "engine/app/console.h"
#include "engine/app/model_source.h"
#include "engine/torch_training.h"
#include "engine/trainer.h"

namespace vitrail::app {

class FileBeginning {
 public:
  // Reads the file that `config` names and recognises what is in it. Throws ConfigError, format::FormatError.
  FileBeginning(const RunConfig& config, Backend& backend);

  // Fits the network to data and settings, fills in what `config` was not told, and shows what was found.
  std::vector<Choice> fit(RunConfig& config, const DataSource& data, Console& console);
  // Weights, and of a training moments and step, into the trainer. The file is let go.
  void hand_over(Trainer& trainer, Console& console);

 private:
  void fit_weights(RunConfig& config, const DataSource& data, Console& console);
  void fit_training(RunConfig& config, Console& console);

  Backend& backend_;
  std::string origin_;  // "init=FILE"
  WeightFile file_;
  ImportOptions options_;
  Import import_;
  std::optional<TorchTraining> training_;
  std::uint64_t seed_ = 0;
};

// The command line's configuration, with the settings beneath it that a checkpoint of resume_from carries
// when it was made from one of ours.
RunConfig read_train_arguments(const std::vector<std::string>& arguments);

}  // namespace vitrail::app
