#include "engine/app/banner.h"

#include <fmt/format.h>

#include "engine/app/platform.h"
#include "engine/app/text.h"
#include "engine/keys.h"

namespace vitrail::app {
namespace {

void show_model(Console& console, const Trainer& trainer) {
  const VitConfig& model = trainer.config().model;
  console.row(
      "Model",
      fmt::format("{}  {} parameters  {} x {} px in patches of {}  {} blocks, dim {}, {} heads  {} classes",
                  model.name, parameters_text(trainer.parameters()), model.img_size, model.img_size,
                  model.patch_size, model.depth, model.embed_dim, model.num_heads, model.num_classes));
}

std::string schedule_text(const TrainConfig& config) {
  std::string text = fmt::format("{} {} {}", name_of(config.opt.kind), lr_text(config.opt.lr),
                                 name_of(config.schedule.kind));
  if (config.schedule.warmup_steps > 0)
    text += fmt::format(" after {} warm-up steps", config.schedule.warmup_steps);
  return text;
}

void show_run(Console& console, const Trainer& trainer) {
  const TrainConfig& config = trainer.config();
  const std::string batch =
      config.accumulate == 1
          ? std::to_string(config.batch)
          : fmt::format("{} = {} x {}", config.batch, config.batch / config.accumulate, config.accumulate);
  const std::string length =
      config.steps > 0 ? fmt::format("{} steps", config.steps)
                       : fmt::format("{} epochs of {} steps", config.epochs, trainer.steps_per_epoch());
  std::string extras;
  if (config.opt.clip_norm > 0) extras += fmt::format("  clip {}", config.opt.clip_norm);
  if (config.label_smoothing > 0) extras += fmt::format("  smoothing {}", config.label_smoothing);
  if (config.ema.decay > 0) extras += fmt::format("  EMA {}", config.ema.decay);
  console.row("Plan", fmt::format("{}  batch {}  {}  {}{}", length, batch, schedule_text(config),
                                  name_of(config.dtype), extras));
}

// "weights 1 MB, gradients …"
std::string parts_on_device(const MemoryPlan& plan, Recompute recompute) {
  return fmt::format(
      "weights {}, gradients {}, moments {}, {}activations {}{}, batch {}", bytes_text(plan.weights),
      bytes_text(plan.gradients), bytes_text(plan.moments),
      plan.ema > 0 ? "EMA " + bytes_text(plan.ema) + ", " : "", bytes_text(plan.activations),
      recompute == Recompute::none ? "" : fmt::format(" with recompute={}", name_of(recompute)),
      bytes_text(plan.batch));
}

std::string parts_on_host(const MemoryPlan& plan) {
  return fmt::format("data {}{}", bytes_text(plan.data),
                     plan.saving > 0 ? ", a copy for checkpoints " + bytes_text(plan.saving) : "");
}

// free_on_device: what is left of its own memory, where it has any.
void show_memory(Console& console, const MemoryPlan& plan, Recompute recompute,
                 std::optional<std::uint64_t> free_on_device) {
  const MemoryState memory = memory_state();
  const std::string device = parts_on_device(plan, recompute), host = parts_on_host(plan);
  const std::string free =
      fmt::format("{} of {} still free", bytes_text(memory.available), bytes_text(memory.total));
  if (!free_on_device) {
    return console.row("Memory", fmt::format("{} planned before step 1 ({}, {})  {}",
                                             bytes_text(plan.total()), device, host, free));
  }
  console.row("Memory", fmt::format("{} planned on the device ({})  {} still free there",
                                    bytes_text(plan.on_device()), device, bytes_text(*free_on_device)));
  console.row(
      "", fmt::format("{} on the host ({})  {}", bytes_text(plan.total() - plan.on_device()), host, free));
}

}  // namespace

void show_program(Console& console, const BackendInfo& device, const std::filesystem::path& run) {
  console.line(fmt::format("{}  {}  run {}", version_text(), build_text(), run.string()));
  console.row("Device", device_text(device));
}

void show_data(Console& console, const DataSource& data, double seconds) {
  console.row("Data", fmt::format("{}: {}  training {}, validation {}  (found in {:.1f} s)", data.spec,
                                  data.description, count_text(data.train ? data.train->size() : 0),
                                  count_text(data.val ? data.val->size() : 0), seconds));
}

void show_choices(Console& console, const std::vector<Choice>& choices) {
  std::vector<Choice> groups;  // one for each reason, in order of appearance; value: the settings
  for (const Choice& choice : choices) {
    auto group = groups.begin();
    while (group != groups.end() && group->why != choice.why)
      ++group;
    if (group == groups.end()) group = groups.insert(groups.end(), {"", "", choice.why});
    group->value += (group->value.empty() ? "" : " ") + choice.setting + "=" + choice.value;
  }
  const char* label = "Chosen";
  for (const Choice& group : groups) {
    console.row(label, fmt::format("{}  ({})", group.value, group.why));
    label = "";
  }
}

void show_plan(Console& console, const Trainer& trainer, const Backend& device) {
  show_model(console, trainer);
  show_run(console, trainer);
  show_memory(console, trainer.memory(), trainer.config().memory.recompute, device.free_memory());
}

}  // namespace vitrail::app
