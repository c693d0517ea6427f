#include "engine/memory_plan.h"

#include "engine/activations.h"
#include "engine/checkpoint_saver.h"
#include "engine/compute_weights.h"
#include "engine/data/loader.h"
#include "engine/evaluate.h"
#include "engine/micro_batch.h"
#include "engine/param_set.h"
#include "kernels/check.h"

namespace vitrail {
namespace {

std::int64_t micro_samples(const TrainConfig& config) {
  return config.batch / config.accumulate;
}

}  // namespace

std::size_t loader_bytes(const TrainConfig& config, bool evaluates) {
  LoaderOptions options;
  options.batch = micro_samples(config);
  options.ahead = kTrainAhead;
  std::size_t bytes = Loader::bytes_for(config.input, options);
  options.ahead = kEvalAhead;
  if (evaluates) bytes += Loader::bytes_for(config.input, options);
  return bytes;
}

MemoryPlan plan_memory(const TrainConfig& config, bool evaluates, bool own_memory) {
  const DType wide = statistics_dtype(config.dtype);
  const std::size_t set = ParamSet::bytes_for(config.model, wide);
  const bool ema = config.ema.decay > 0, mid_step = config.accumulate > 1;
  MemoryPlan plan;
  plan.weights = set + ComputeWeights::bytes_for(config.model, config.dtype);
  plan.gradients = set;
  plan.moments = 2 * set;
  plan.ema = ema ? set : 0;
  Activations activations(config.model, config.dtype, VitMode::training, config.memory.recompute);
  plan.activations = activations.bytes_for(micro_samples(config));
  plan.batch = MicroBatch::bytes_for(config.model, wide, micro_samples(config)) +
               (own_memory ? MicroBatch::input_bytes(config.model, wide, micro_samples(config)) : 0);
  plan.data = loader_bytes(config, evaluates);
  if (config.save.mode == SaveMode::staged || own_memory) {
    plan.saving = CheckpointSaver::arena_bytes_for(config.model, wide, 3 + ema + mid_step);
  }
  return plan;
}

}  // namespace vitrail
