#include "engine/checkpoint.h"

#include <fmt/format.h>

#include <map>

#include "engine/error.h"
#include "engine/keys.h"
#include "engine/optimizer.h"
#include "engine/schedule.h"
#include "engine/sections.h"
#include "engine/trainer.h"
#include "format/sections.h"
#include "kernels/check.h"
#include "kernels/random.h"

namespace vitrail {
namespace {

namespace section = format::section;
using format::FormatError;
using format::Role;
using format::Table;

// Groups by index into the sorted names: by layer where layers differ, those with weight decay first.
Table optimizer_table(const TrainConfig& config, const TrainProgress& progress, const ParamSet& weights) {
  namespace ids = section::optimizer;
  std::map<std::string, const ParamSpec*> specs;  // by name, which is the order of the file's names
  for (const ParamTensor& tensor : weights.tensors())
    specs[tensor.spec.name] = &tensor.spec;
  std::map<ParamGroup, std::vector<std::uint64_t>, std::greater<>> members;
  std::uint64_t index = 0;
  for (const auto& [name, spec] : specs)
    members[group_of(*spec, config.model, config.opt)].push_back(index++);
  Table groups;
  Table::Id number = 0;
  for (const auto& [group, indices] : members) {
    Table row;
    row.set(ids::kLrScale, group.lr_scale);
    row.set(ids::kWeightDecay, group.weight_decay);
    row.set(ids::kNameIndices, indices);
    groups.set(number++, std::move(row));
  }
  Table table;
  table.set(ids::kAlgorithm, config.opt.kind == AdamKind::adamw ? "adamw" : "adam");
  table.set(ids::kStep, progress.step);
  table.set(ids::kBeta1, config.opt.beta1);
  table.set(ids::kBeta2, config.opt.beta2);
  table.set(ids::kEps, config.opt.eps);
  table.set(ids::kClipNorm, config.opt.clip_norm);
  table.set(ids::kGroups, std::move(groups));
  return table;
}

Table schedule_table(const TrainConfig& config, const TrainProgress& progress, std::int64_t total_steps) {
  namespace ids = section::schedule;
  Table table;
  table.set(ids::kKind, std::string(name_of(config.schedule.kind)));
  table.set(ids::kLr, config.opt.lr);
  table.set(ids::kMinLr, config.schedule.min_lr);
  table.set(ids::kWarmupLr, config.schedule.warmup_lr);
  table.set(ids::kWarmupSteps, config.schedule.warmup_steps);
  table.set(ids::kTotalSteps, total_steps);
  table.set(ids::kStepEvery, config.schedule.step_every);
  table.set(ids::kGamma, config.schedule.gamma);
  table.set(ids::kStep, progress.step);
  table.set(ids::kLrAtSave, lr_at(config.schedule, config.opt.lr, progress.step, total_steps));
  return table;
}

// Philox has no state but its key and the step: one entry says all.
format::Vector rng_vector(const TrainConfig& config, const TrainProgress& progress) {
  format::Vector vector{32, 56, {}};
  format::append(vector.data, std::uint32_t{0});  // purpose: all
  format::append(vector.data, std::uint32_t{1});  // algorithm: Philox4x32-10
  format::append(vector.data, config.seed);
  format::append(vector.data, std::uint64_t{0});
  for (std::uint64_t counter :
       {static_cast<std::uint64_t>(progress.step), std::uint64_t{0}, std::uint64_t{0}, std::uint64_t{0}}) {
    format::append(vector.data, counter);
  }
  return vector;
}

Table data_table(const TrainConfig& config, const DataIdentity& data, const TrainProgress& progress) {
  namespace ids = section::data_order;
  const std::int64_t steps_per_epoch = data.samples / config.batch;
  const std::int64_t micro = config.batch / config.accumulate;
  Table table;
  table.set(ids::kSpec, config.data);
  table.set(ids::kFingerprint, data.fingerprint);
  table.set(ids::kSamples, data.samples);
  table.set(ids::kEpoch, progress.step / steps_per_epoch);
  table.set(ids::kConsumed, progress.step % steps_per_epoch * config.batch + progress.micro * micro);
  table.set(ids::kPermutation, "fisher-yates-philox 1");
  table.set(ids::kSeed, config.seed);
  table.set(ids::kBatch, config.batch);
  table.set(ids::kAccumulate, config.accumulate);
  table.set(ids::kMicro, progress.micro);
  table.set(ids::kStepLoss, progress.step_loss);
  table.set(ids::kEpochLoss, progress.epoch_loss);
  return table;
}

Table history_table(const TrainProgress& progress) {
  namespace ids = section::history;
  std::vector<std::uint64_t> steps;
  std::vector<double> values;
  for (const EpochReport& epoch : progress.history) {
    steps.push_back(static_cast<std::uint64_t>(epoch.step));
    values.insert(values.end(), {double(epoch.epoch), epoch.train_loss, epoch.top1, epoch.top1_error,
                                 epoch.top5, epoch.val_loss});
  }
  Table table;
  table.set(ids::kColumns,
            std::vector<std::string>{"epoch", "train_loss", "top1", "top1_error", "top5", "val_loss"});
  table.set(ids::kSteps, steps);
  table.set(ids::kValues, values);
  return table;
}

std::vector<EpochReport> history_from(const Table& table) {
  namespace ids = section::history;
  const std::vector<std::uint64_t> steps = table.u64s(ids::kSteps, "history steps");
  const std::vector<double> values = table.f64s(ids::kValues, "history values");
  if (values.size() != steps.size() * 6)
    throw FormatError("history: its columns are not those of this build");
  std::vector<EpochReport> history;
  for (std::size_t row = 0; row < steps.size(); ++row) {
    const double* v = values.data() + row * 6;
    history.push_back({.epoch = static_cast<std::int64_t>(v[0]),
                       .step = static_cast<std::int64_t>(steps[row]),
                       .train_loss = v[1],
                       .top1 = v[2],
                       .top1_error = v[3],
                       .top5 = v[4],
                       .val_loss = v[5]});
  }
  return history;
}

Table ema_table(const TrainConfig& config, const TrainProgress& progress) {
  Table table;
  table.set(section::ema::kDecay, config.ema.decay);
  table.set(section::ema::kWarmup, config.ema.warmup);
  table.set(section::ema::kUpdates, progress.step);
  return table;
}

format::Container open_checkpoint(const std::filesystem::path& path) {
  format::Container file = format::Container::open(path);
  if (file.kind() != format::FileKind::checkpoint) {
    throw FormatError(fmt::format("{}: expected a checkpoint, found a {} file, which cannot be resumed",
                                  path.string(), format::name_of(file.kind())));
  }
  return file;
}

TrainConfig config_of(const format::Container& file) {
  const Table& user = file.root().table(section::kUser, "user");
  return from_settings(user.strings(section::user::kSettings, "settings"));
}

// What may differ between a checkpoint and the run that goes on from it does not take part.
void require_same_config(const std::string& name, TrainConfig saved, const TrainConfig& config) {
  saved.epochs = config.epochs;
  saved.steps = config.steps;
  saved.save = config.save;
  saved.memory = config.memory;
  saved.data = config.data;
  const std::vector<std::string> theirs = to_settings(saved), ours = to_settings(config);
  for (std::size_t i = 0; i < ours.size(); ++i) {
    if (theirs[i] != ours[i]) {
      throw ConfigError(fmt::format("{}: the checkpoint belongs to another run: it has {}, expected {}", name,
                                    theirs[i], ours[i]));
    }
  }
}

void require_same_data(const std::string& name, const Table& table, const DataIdentity& data) {
  namespace ids = section::data_order;
  const std::int64_t samples = table.i64(ids::kSamples, "samples");
  const std::string& fingerprint = table.text(ids::kFingerprint, "fingerprint");
  if (samples != data.samples || fingerprint != data.fingerprint) {
    throw ConfigError(
        fmt::format("{}: the data have changed since the checkpoint: it was trained on {} images with "
                    "fingerprint {}, found {} with {}",
                    name, samples, fingerprint, data.samples, data.fingerprint));
  }
}

}  // namespace

std::vector<RoleSet> checkpoint_sets(const CheckpointTensors& tensors, bool mid_step) {
  std::vector<RoleSet> sets{{Role::parameter, &tensors.weights}};
  if (tensors.ema) sets.push_back({Role::ema_parameter, tensors.ema});
  sets.push_back({Role::first_moment, &tensors.first_moment});
  sets.push_back({Role::second_moment, &tensors.second_moment});
  if (mid_step) sets.push_back({Role::accumulated_gradient, &tensors.grads});
  return sets;
}

Table checkpoint_root(const TrainConfig& config, std::int64_t total_steps, const DataIdentity& data,
                      const TrainProgress& progress, const CheckpointTensors& tensors) {
  Table root, user;
  std::vector<std::string> settings = to_settings(config);
  std::erase_if(settings, [](const std::string& setting) { return setting.starts_with("save.mode="); });
  user.set(section::user::kSettings, std::move(settings));
  if (progress.first_step > 0) user.set(section::user::kFirstStep, progress.first_step);
  root.set(section::kProducer, producer());
  root.set(section::kModel, to_table(config.model, statistics_dtype(config.dtype)));
  root.set(section::kInput, to_table(config.input, data.labels));
  root.set(section::kOptimizer, optimizer_table(config, progress, tensors.weights));
  root.set(section::kSchedule, schedule_table(config, progress, total_steps));
  root.set(section::kRng, rng_vector(config, progress));
  root.set(section::kDataOrder, data_table(config, data, progress));
  root.set(section::kHistory, history_table(progress));
  if (tensors.ema) root.set(section::kEma, ema_table(config, progress));
  root.set(section::kUser, std::move(user));
  return root;
}

format::WriteResult save_checkpoint(const std::filesystem::path& path, const Backend& backend,
                                    const TrainConfig& config, std::int64_t total_steps,
                                    const DataIdentity& data, const TrainProgress& progress,
                                    const CheckpointTensors& tensors) {
  format::ContainerContents file{.kind = format::FileKind::checkpoint,
                                 .root = checkpoint_root(config, total_steps, data, progress, tensors),
                                 .tensors = {}};
  std::vector<HostTensors> sets;
  sets.reserve(5);
  for (const RoleSet& set : checkpoint_sets(tensors, progress.micro > 0)) {
    const std::vector<format::TensorRecord> records =
        sets.emplace_back(backend, *set.params, set.role).records();
    file.tensors.insert(file.tensors.end(), records.begin(), records.end());
  }
  return format::write_container(path, file);
}

TrainProgress load_checkpoint(const std::filesystem::path& path, Backend& backend, const TrainConfig& config,
                              const DataIdentity& data, const CheckpointTensors& tensors) {
  namespace ids = section::data_order;
  const format::Container file = open_checkpoint(path);
  const Table& order = file.root().table(section::kDataOrder, "data order");
  require_same_config(file.name(), config_of(file), config);
  require_same_data(file.name(), order, data);
  TrainProgress progress;
  progress.step = file.root().table(section::kOptimizer, "optimizer").i64(section::optimizer::kStep, "step");
  progress.micro = order.i64(ids::kMicro, "micro-batches done");
  if (progress.step < 0 || progress.micro < 0 || progress.micro >= config.accumulate) {
    throw FormatError(fmt::format("{}: step {} with {} micro-batches cannot be", file.name(), progress.step,
                                  progress.micro));
  }
  progress.step_loss = order.f64(ids::kStepLoss, "loss of the step");
  progress.epoch_loss = order.f64(ids::kEpochLoss, "loss of the epoch");
  const Table& user = file.root().table(section::kUser, "user");
  if (user.has(section::user::kFirstStep))
    progress.first_step = user.i64(section::user::kFirstStep, "first step");
  progress.history = history_from(file.root().table(section::kHistory, "history"));
  load_tensors(file, Role::parameter, backend, tensors.weights);
  load_tensors(file, Role::first_moment, backend, tensors.first_moment);
  load_tensors(file, Role::second_moment, backend, tensors.second_moment);
  if (tensors.ema) load_tensors(file, Role::ema_parameter, backend, *tensors.ema);
  if (progress.micro > 0) load_tensors(file, Role::accumulated_gradient, backend, tensors.grads);
  return progress;
}

TrainConfig read_train_config(const std::filesystem::path& path) {
  return config_of(open_checkpoint(path));
}

}  // namespace vitrail
