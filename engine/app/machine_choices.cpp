#include "engine/app/machine_choices.h"

#include <fmt/format.h>

#include "engine/app/text.h"
#include "engine/error.h"
#include "engine/key_parse.h"
#include "engine/keys.h"
#include "engine/memory_plan.h"

namespace vitrail::app {
namespace {

Choice made(RunConfig& config, const std::string& name, const std::string& value, const std::string& why) {
  set_key(config.train, name, value);
  config.origins[name] = why;
  return {name, value, why};
}

struct Limit {
  std::uint64_t bytes;
  std::string text;
};

Limit memory_limit(const TrainConfig& config, const BackendInfo& device, std::uint64_t available) {
  if (config.memory.limit > 0) return {config.memory.limit, "memory.limit=" + size_text(config.memory.limit)};
  const std::uint64_t bytes = available / 5 * 4;
  return {bytes, bytes_text(bytes) + ", four fifths of the " + (device.own_memory ? "device's " : "") +
                     "free memory"};
}

struct Needs {
  bool evaluates, own_memory;

  std::uint64_t bytes(TrainConfig config, std::int64_t parts) const {
    config.accumulate = parts;
    const MemoryPlan plan = plan_memory(config, evaluates, own_memory);
    return own_memory ? plan.on_device() : plan.total();
  }
};

[[noreturn]] void refuse(const TrainConfig& config, std::int64_t parts, const Needs& needs,
                         const Limit& limit) {
  const bool can_cut = parts < config.batch, can_recompute = config.memory.recompute != Recompute::block;
  throw ConfigError(fmt::format(
      "the training needs {} with {} of {} images{}, and its limit is {}; use {}{}a smaller model{}",
      bytes_text(needs.bytes(config, parts)), parts == 1 ? "batches" : "parts", config.batch / parts,
      needs.own_memory ? " on the device" : "", limit.text, can_cut ? "accumulate=auto, " : "",
      can_recompute ? "memory.recompute=block, " : "",
      needs.own_memory ? "" : ", or save.mode=barrier, which needs no copy for checkpoints"));
}

// The fewest parts of equal size that fit.
std::int64_t fewest_parts(const TrainConfig& config, const Limit& limit, const Needs& needs) {
  for (std::int64_t parts = 1; parts <= config.batch; ++parts) {
    if (config.batch % parts == 0 && needs.bytes(config, parts) <= limit.bytes) return parts;
  }
  refuse(config, config.batch, needs, limit);
}

}  // namespace

DType chosen_dtype(const TrainConfig& config, const BackendInfo& device) {
  if (!config.dtype_auto) return config.dtype;
  return device.fast_bf16 ? DType::bf16 : DType::f32;
}

std::vector<Choice> choose_for_machine(RunConfig& config, const DataSource& data, const BackendInfo& device,
                                       std::uint64_t available) {
  std::vector<Choice> choices;
  TrainConfig& train = config.train;
  if (train.dtype_auto) {
    choices.push_back(made(config, "dtype", name_of(chosen_dtype(train, device)),
                           device.fast_bf16 ? "this device multiplies bf16 faster than f32"
                                            : "this device has no instructions for bf16"));
  }
  const Limit limit = memory_limit(train, device, available);
  const Needs needs{.evaluates = data.val != nullptr, .own_memory = device.own_memory};
  if (train.accumulate == 0) {
    const std::int64_t parts = fewest_parts(train, limit, needs);
    choices.push_back(made(config, "accumulate", std::to_string(parts),
                           fmt::format("parts of {} images take {} of {}", train.batch / parts,
                                       bytes_text(needs.bytes(train, parts)), limit.text)));
  } else if (train.memory.limit > 0 && train.batch % train.accumulate == 0) {
    if (needs.bytes(train, train.accumulate) > limit.bytes) refuse(train, train.accumulate, needs, limit);
  }
  return choices;
}

}  // namespace vitrail::app
