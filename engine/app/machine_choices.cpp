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

struct Fit {
  std::int64_t parts;
  Recompute level;
};

// What there is for a run, and what it would take of it.
struct Room {
  std::uint64_t bytes;
  std::string text;
  bool evaluates, own_memory;

  std::uint64_t taken(TrainConfig config, const Fit& fit) const {
    config.accumulate = fit.parts;
    config.memory.recompute = fit.level;
    const MemoryPlan plan = plan_memory(config, evaluates, own_memory);
    return own_memory ? plan.on_device() : plan.total();
  }
};

Room room_for(const TrainConfig& config, const DataSource& data, const BackendInfo& device,
              std::uint64_t available) {
  Room room{.bytes = config.memory.limit,
            .text = "memory.limit=" + size_text(config.memory.limit),
            .evaluates = data.val != nullptr,
            .own_memory = device.own_memory};
  if (config.memory.limit == 0) {
    room.bytes = available / 5 * 4;
    room.text = bytes_text(room.bytes) + ", four fifths of the " + (device.own_memory ? "device's " : "") +
                "free memory";
  }
  return room;
}

// By what they cost. On the CPU none is not among them: gelu is as fast there, and the memory is others' too.
// On a GPU gelu in the tanh form is not: cuBLASLt's bits need not be those of the kernel that makes it again.
std::vector<std::vector<Recompute>> levels_by_cost(const TrainConfig& config, bool own_memory) {
  if (!config.memory.recompute_auto) return {{config.memory.recompute}};
  if (!own_memory) return {{Recompute::gelu}, {Recompute::block}};
  if (config.model.gelu == GeluKind::tanh) return {{Recompute::none}, {Recompute::block}};
  return {{Recompute::none, Recompute::gelu}, {Recompute::block}};
}

std::vector<std::int64_t> possible_parts(const TrainConfig& config) {
  if (config.accumulate > 0) return {config.accumulate};
  std::vector<std::int64_t> parts;
  for (std::int64_t count = 1; count <= config.batch; ++count) {
    if (config.batch % count == 0) parts.push_back(count);
  }
  return parts;
}

struct Search {
  Fit fit;  // what fits, or else what takes least
  bool fits;
};

// More parts cost next to nothing, a block made again a quarter of a step's time: so it comes after them.
Search cheapest_fit(const TrainConfig& config, const Room& room) {
  Fit fit{};
  for (const std::vector<Recompute>& levels : levels_by_cost(config, room.own_memory)) {
    for (const std::int64_t parts : possible_parts(config)) {
      for (const Recompute level : levels) {
        fit = {parts, level};
        if (room.taken(config, fit) <= room.bytes) return {fit, true};
      }
    }
  }
  return {fit, false};
}

[[noreturn]] void refuse(const TrainConfig& config, const Fit& least, const Room& room) {
  throw ConfigError(fmt::format(
      "the training needs {} with {} of {} images{}, and its limit is {}; use {}{}a smaller model{}",
      bytes_text(room.taken(config, least)), least.parts == 1 ? "batches" : "parts",
      config.batch / least.parts, room.own_memory ? " on the device" : "", room.text,
      least.parts < config.batch ? "accumulate=auto, " : "",
      least.level != Recompute::block ? "memory.recompute=block, " : "",
      room.own_memory ? "" : ", or save.mode=barrier, which needs no copy for checkpoints"));
}

std::string reason(const TrainConfig& config, const Search& found, const Room& room) {
  return fmt::format("{} of {} images take {}{}{}", found.fit.parts == 1 ? "batches" : "parts",
                     config.batch / found.fit.parts, bytes_text(room.taken(config, found.fit)),
                     found.fits ? " of " : ", the least there is, and there are ", room.text);
}

// Of accumulate and memory.recompute what is automatic.
std::vector<Choice> take(RunConfig& config, const Search& found, const Room& room) {
  std::vector<Choice> choices;
  TrainConfig& train = config.train;
  const std::string why = reason(train, found, room);
  if (train.accumulate == 0)
    choices.push_back(made(config, "accumulate", std::to_string(found.fit.parts), why));
  if (train.memory.recompute_auto) {
    train.memory.recompute = found.fit.level;
    choices.push_back({"memory.recompute", name_of(found.fit.level), why});
  }
  return choices;
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
  if (train.accumulate > 0 && train.batch % train.accumulate != 0)
    return choices;  // TrainConfig::check() refuses
  const Room room = room_for(train, data, device, available);
  const Search found = cheapest_fit(train, room);
  if (!found.fits && (train.accumulate == 0 || train.memory.limit > 0)) refuse(train, found.fit, room);
  for (Choice& choice : take(config, found, room))
    choices.push_back(std::move(choice));
  return choices;
}

std::vector<Choice> choose_recompute(RunConfig& config, const DataSource& data, const BackendInfo& device,
                                     std::uint64_t available) {
  const Room room = room_for(config.train, data, device, available);
  return take(config, cheapest_fit(config.train, room), room);
}

}  // namespace vitrail::app
