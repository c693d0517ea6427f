#include "engine/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

#include "engine/checkpoint.h"
#include "engine/compute_weights.h"
#include "engine/data/loader.h"
#include "engine/error.h"
#include "engine/micro_batch.h"
#include "engine/optimizer.h"
#include "engine/transfer.h"
#include "engine/vit.h"
#include "kernels/check.h"

namespace vitrail {
namespace {

std::int64_t planned_steps(const TrainConfig& config, std::int64_t steps_per_epoch) {
  return config.steps > 0 ? config.steps : config.epochs * steps_per_epoch;
}

std::int64_t checked_steps_per_epoch(const TrainConfig& config, const DataSource& data) {
  config.check();
  if (!data.train) throw DataError("training: the data has no training part");
  const std::int64_t steps = data.train->size() / config.batch;
  if (steps == 0) {
    throw ConfigError(fmt::format("batch: expected at most the {} training images, found {}",
                                  data.train->size(), config.batch));
  }
  return steps;
}

// Fills in what was left to be decided by the length of the run.
TrainConfig resolved(TrainConfig config, std::int64_t total_steps) {
  if (config.schedule.warmup_steps < 0) config.schedule.warmup_steps = total_steps / 20;
  return config;
}

// Decay at update t (counts from 0): timm/utils/model_ema.py, ModelEmaV3 with warm-up.
double ema_decay_at(const EmaConfig& ema, std::int64_t update) {
  if (!ema.warmup) return ema.decay;
  return std::min(ema.decay, 1 - std::pow(1.0 + double(update), -2.0 / 3.0));
}

void copy_params(Backend& backend, const ParamSet& to, const ParamSet& from) {
  assert(to.flat().shape == from.flat().shape);
  if (to.dtype() == from.dtype()) return backend.copy(to.flat(), from.flat());
  std::vector<float> values(static_cast<std::size_t>(from.flat().shape.elements()));
  download_floats(backend, values, from.flat());
  upload_floats(backend, to.flat(), values);
}

}  // namespace

struct Trainer::State {
  State(Backend& backend_in, const TrainConfig& config_in, const DataSource& data_in, int data_threads_in,
        ContainerWriter writer)
      : backend(backend_in),
        own_memory(backend.info().own_memory),
        steps_per_epoch(checked_steps_per_epoch(config_in, data_in)),
        total_steps(planned_steps(config_in, steps_per_epoch)),
        config(resolved(config_in, total_steps)),
        data(data_in),
        data_threads(data_threads_in),
        micro_samples(config.batch / config.accumulate),
        weights(backend, config.model, statistics_dtype(config.dtype)),
        grads(backend, config.model, weights.dtype()),
        computed(backend, config.model, config.dtype),
        optimizer(backend, config.model, config.opt, weights),
        vit(backend, config.model, config.dtype, micro_samples, VitMode::training, config.memory.recompute),
        micro(backend, config.model, weights.dtype(), micro_samples),
        loader(data.train, config.input, config.augment,
               {.batch = micro_samples,
                .threads = data_threads,
                .ahead = kTrainAhead,
                .train = true,
                .seed = config.seed}),
        ema(config.ema.decay > 0 ? std::make_unique<ParamSet>(backend, config.model, weights.dtype())
                                 : nullptr),
        saver(backend, config.save.mode, tensors(), config.accumulate > 1, std::move(writer)) {
    init_params(backend, config.model, weights, config.seed);
    if (ema) backend.copy(ema->flat(), weights.flat());
    computed.follow(weights);
    if (data.val) classifier.emplace(backend, vit, computed.views(), micro.images);
    host_targets.resize(static_cast<std::size_t>(micro_samples * config.model.num_classes));
    host_losses.resize(static_cast<std::size_t>(micro_samples));
  }

  Draws draws() const {
    return {.train = true,
            .seed = config.seed,
            .step = static_cast<std::uint32_t>(progress.step),
            .first_sample = static_cast<std::uint32_t>(progress.micro * micro_samples)};
  }

  DataIdentity identity() const { return {data.fingerprint, data.train->size(), data.class_names}; }

  CheckpointTensors tensors() const {
    return {weights, optimizer.first_moment(), optimizer.second_moment(), grads, ema.get()};
  }

  void seek_data() {
    ahead = nullptr;
    loader.seek(progress.step / steps_per_epoch,
                progress.step % steps_per_epoch * config.accumulate + progress.micro);
  }
  const Batch& next_batch();
  void upload();
  void look_ahead();
  void forward_backward();
  StepReport finish_step();
  EvalReport evaluate_now(const EvalProgress& watch);
  void require_finite(double value, const char* what) const;

  Backend& backend;
  bool own_memory;  // BackendInfo's
  std::int64_t steps_per_epoch, total_steps;
  TrainConfig config;
  DataSource data;
  int data_threads;
  std::int64_t micro_samples;
  ParamSet weights, grads;
  ComputeWeights computed;
  Optimizer optimizer;
  Vit vit;
  MicroBatch micro;
  Loader loader;
  std::unique_ptr<ParamSet> ema;
  CheckpointSaver saver;                 // reads the tensors above
  std::optional<Classifier> classifier;  // in the memory of vit and micro
  std::vector<float> host_targets, host_losses;
  const Batch* ahead = nullptr;  // whose images and targets are on their way to the device
  TrainProgress progress;
};

// The loader's next, with its targets.
const Batch& Trainer::State::next_batch() {
  const Batch& batch = loader.next();
  const std::size_t classes = static_cast<std::size_t>(config.model.num_classes);
  std::fill(host_targets.begin(), host_targets.end(), 0.0f);
  for (std::size_t i = 0; i < batch.labels.size(); ++i) {
    const std::size_t label = static_cast<std::size_t>(batch.labels[i]);
    if (label >= classes) {
      throw ConfigError(fmt::format("model.num_classes: expected at least {} for this data, found {}",
                                    data.class_names.size(), classes));
    }
    host_targets[i * classes + label] = 1;
  }
  return batch;
}

void Trainer::State::upload() {
  if (const Batch* batch = std::exchange(ahead, nullptr)) {
    deliver_floats(backend, micro.images, batch->images);
    return deliver_floats(backend, micro.targets, host_targets);
  }
  const Batch& batch = next_batch();
  upload_floats(backend, micro.images, batch.images);
  upload_floats(backend, micro.targets, host_targets);
}

// While the device computes, the next micro-batch comes to it; but for an epoch's last, after which the
// loader may begin anew.
void Trainer::State::look_ahead() {
  const bool ends_epoch = progress.micro + 1 == config.accumulate &&
                          ((progress.step + 1) % steps_per_epoch == 0 || progress.step + 1 == total_steps);
  if (!own_memory || ends_epoch) return;
  ahead = &next_batch();
  prefetch_floats(backend, micro.images, ahead->images);
  prefetch_floats(backend, micro.targets, host_targets);
}

void Trainer::State::forward_backward() {
  const Draws now = draws();
  backend.run_together([&] {
    const In logits = vit.forward(computed.views(), micro.images, now);
    backend.run(CrossEntropy{.losses = micro.losses,
                             .dlogits = micro.dlogits,
                             .logits = logits,
                             .targets = micro.targets,
                             .label_smoothing = config.label_smoothing,
                             .scale = 1.0 / double(config.batch)});
    vit.backward(computed.views(), grads.views(), micro.dlogits, now);
  });
  look_ahead();
  download_floats(backend, host_losses, micro.losses);
  for (float loss : host_losses)
    progress.step_loss += loss;
  require_finite(progress.step_loss, "loss");
}

StepReport Trainer::State::finish_step() {
  StepReport report;
  report.loss = progress.step_loss / double(config.batch);
  report.epoch = progress.step / steps_per_epoch;
  report.lr = lr_at(config.schedule, config.opt.lr, progress.step, total_steps);
  report.grad_norm = optimizer.grad_norm(grads);
  require_finite(report.grad_norm, "gradient norm");
  report.step = progress.step + 1;
  backend.fence_downloads();
  optimizer.step(weights, grads, ema.get(), report.step, report.lr, ema_decay_at(config.ema, progress.step),
                 &saver.gate(), computed.rounded());
  progress.step = report.step;
  progress.micro = 0;
  progress.step_loss = 0;
  progress.epoch_loss += report.loss;
  return report;
}

// With the EMA, where the network reads the weights otherwise: so that no second copy is needed.
EvalReport Trainer::State::evaluate_now(const EvalProgress& watch) {
  struct Back {
    State& state;
    ~Back() { state.computed.follow(state.weights); }
  };
  const Back back{*this};
  if (ema) computed.follow(*ema);
  return evaluate(*classifier, data.val, config.input, data_threads, watch);
}

void Trainer::State::require_finite(double value, const char* what) const {
  if (std::isfinite(value)) return;
  throw DivergedError(
      fmt::format("training diverged: the {} became {} at step {}; try a lower opt.lr, more "
                  "schedule.warmup_steps or opt.clip_norm=1",
                  what, value, progress.step + 1));
}

Trainer::Trainer(Backend& backend, const TrainConfig& config, const DataSource& data, int data_threads,
                 ContainerWriter writer)
    : state_(std::make_unique<State>(backend, config, data, data_threads, std::move(writer))) {}

Trainer::~Trainer() = default;

void Trainer::load(const std::filesystem::path& path) {
  State& s = *state_;
  assert(!s.saver.busy());
  s.progress = load_checkpoint(path, s.backend, s.config, s.identity(), s.tensors());
  s.computed.follow(s.weights);
  s.seek_data();
}

void Trainer::begin_from(const Beginning& beginning) {
  State& s = *state_;
  assert(s.progress.step == 0 && s.progress.micro == 0 && !s.saver.busy());
  copy_params(s.backend, s.weights, beginning.weights);
  s.computed.follow(s.weights);
  if (beginning.first_moment) copy_params(s.backend, s.optimizer.first_moment(), *beginning.first_moment);
  if (beginning.second_moment) copy_params(s.backend, s.optimizer.second_moment(), *beginning.second_moment);
  if (s.ema) copy_params(s.backend, *s.ema, beginning.ema ? *beginning.ema : beginning.weights);
  s.progress.step = s.progress.first_step = beginning.step;
  s.seek_data();
}

format::WriteResult Trainer::save(const std::filesystem::path& path) const {
  const State& s = *state_;
  return save_checkpoint(path, s.backend, s.config, s.total_steps, s.identity(), s.progress, s.tensors());
}

void Trainer::begin_save(const std::filesystem::path& path, std::function<void()> then) {
  State& s = *state_;
  s.saver.begin({.path = path,
                 .root = checkpoint_root(s.config, s.total_steps, s.identity(), s.progress, s.tensors()),
                 .gradients = mid_step(),
                 .then = std::move(then)});
}

bool Trainer::saving() const {
  return state_->saver.busy();
}
std::optional<SaveOutcome> Trainer::poll_save() {
  return state_->saver.poll();
}
std::optional<SaveOutcome> Trainer::await_save() {
  return state_->saver.wait();
}
double Trainer::seconds_blocked() const {
  return state_->saver.seconds_blocked();
}

std::optional<StepReport> Trainer::advance() {
  State& s = *state_;
  s.saver.await_gradients();
  if (s.progress.micro == 0) s.backend.zero(s.grads.flat());
  s.upload();
  s.forward_backward();
  if (++s.progress.micro < s.config.accumulate) return std::nullopt;
  const StepReport report = s.finish_step();
  // The loader's epoch may end in micro-batches that make no whole step.
  const bool epoch_over = report.step % s.steps_per_epoch == 0;
  if (epoch_over && s.loader.batches_per_epoch() != s.steps_per_epoch * s.config.accumulate) {
    s.loader.seek(report.step / s.steps_per_epoch, 0);
  }
  return report;
}

EpochReport Trainer::finish_epoch(const EvalProgress& progress) {
  State& s = *state_;
  const std::int64_t steps = std::max<std::int64_t>(s.progress.step - s.progress.recorded_step(), 1);
  EpochReport report{.epoch = (s.progress.step - 1) / s.steps_per_epoch,
                     .step = s.progress.step,
                     .train_loss = s.progress.epoch_loss / double(steps)};
  if (s.classifier) {
    const EvalReport eval = s.evaluate_now(progress);
    report.top1 = eval.top1;
    report.top1_error = eval.top1_error;
    report.top5 = eval.top5;
    report.val_loss = eval.loss;
  }
  s.progress.epoch_loss = 0;
  s.progress.history.push_back(report);
  return report;
}

const TrainConfig& Trainer::config() const {
  return state_->config;
}
std::int64_t Trainer::step() const {
  return state_->progress.step;
}
std::int64_t Trainer::total_steps() const {
  return state_->total_steps;
}
std::int64_t Trainer::steps_per_epoch() const {
  return state_->steps_per_epoch;
}
bool Trainer::mid_step() const {
  return state_->progress.micro > 0;
}
bool Trainer::done() const {
  return state_->progress.step >= state_->total_steps;
}

bool Trainer::at_epoch_end() const {
  const TrainProgress& progress = state_->progress;
  if (progress.micro > 0 || progress.step == progress.recorded_step()) return false;
  return progress.step % state_->steps_per_epoch == 0 || done();
}

const std::vector<EpochReport>& Trainer::history() const {
  return state_->progress.history;
}

std::optional<double> Trainer::best_top1() const {
  std::optional<double> best;
  for (const EpochReport& epoch : history())
    best = std::max(best.value_or(0), epoch.top1);
  return best;
}

MemoryPlan Trainer::memory() const {
  const State& s = *state_;
  MemoryPlan plan;
  plan.weights = s.weights.bytes() + s.computed.bytes();
  plan.gradients = s.grads.bytes();
  plan.moments = s.optimizer.first_moment().bytes() + s.optimizer.second_moment().bytes();
  plan.ema = s.ema ? s.ema->bytes() : 0;
  plan.activations = s.vit.bytes();
  plan.batch = s.micro.bytes();
  if (s.own_memory) plan.batch += MicroBatch::input_bytes(s.config.model, s.weights.dtype(), s.micro_samples);
  plan.data = loader_bytes(s.config, s.data.val != nullptr);
  plan.saving = s.saver.arena_bytes();
  return plan;
}

std::int64_t Trainer::parameters() const {
  return state_->weights.parameters();
}
double Trainer::seconds_waited() const {
  return state_->loader.seconds_waited();
}
std::vector<std::string> Trainer::broken() const {
  return state_->loader.broken();
}
const ParamSet& Trainer::weights() const {
  return state_->weights;
}
const ParamSet& Trainer::first_moment() const {
  return state_->optimizer.first_moment();
}
const ParamSet& Trainer::second_moment() const {
  return state_->optimizer.second_moment();
}
const ParamSet* Trainer::ema() const {
  return state_->ema.get();
}

}  // namespace vitrail
