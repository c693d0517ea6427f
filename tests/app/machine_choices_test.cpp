#include "engine/app/machine_choices.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "engine/app/random_images.h"
#include "engine/error.h"
#include "engine/keys.h"
#include "engine/memory_plan.h"

using namespace vitrail;
using namespace vitrail::app;

namespace {

using Arguments = std::vector<std::string>;

DataSource some_data() {
  VitConfig shape;
  shape.img_size = 28;
  shape.in_chans = 1;
  shape.num_classes = 5;
  return random_images(shape, 4096);
}

RunConfig chosen(const Arguments& told, std::uint64_t available, const BackendInfo& device = {}) {
  const DataSource data = some_data();
  RunConfig config = read_run_config(told);
  choose(config, data);
  choose_for_machine(config, data, device, available);
  CHECK_NOTHROW(config.train.check());
  return config;
}

std::uint64_t needed(const TrainConfig& config) {
  return plan_memory(config, some_data().val != nullptr).total();
}

constexpr std::uint64_t kPlenty = std::uint64_t{64} << 30;

std::string limit_of(std::uint64_t bytes) {
  return "memory.limit=" + std::to_string(bytes) + "B";
}

// What a run takes where its memory is, in parts and at a level.
std::uint64_t needed(TrainConfig config, std::int64_t parts, Recompute level, bool own_memory) {
  config.accumulate = parts;
  config.memory.recompute = level;
  const MemoryPlan plan = plan_memory(config, some_data().val != nullptr, own_memory);
  return own_memory ? plan.on_device() : plan.total();
}

}  // namespace

TEST_CASE("accumulate=auto takes the fewest parts that fit, and the batch stays") {
  const RunConfig whole = chosen({"batch=96", "accumulate=auto"}, kPlenty);
  CHECK(whole.train.batch == 96);
  CHECK(whole.train.accumulate == 1);
  for (const std::int64_t parts : {2, 3, 8, 96}) {
    TrainConfig wanted = whole.train;
    wanted.accumulate = parts;
    const std::uint64_t limit = needed(wanted);
    const RunConfig told =
        chosen({"batch=96", "accumulate=auto", "memory.limit=" + std::to_string(limit) + "B"}, 0);
    CHECK(told.train.accumulate == parts);
    CHECK(told.train.batch == 96);
    CHECK(chosen({"batch=96", "accumulate=auto"}, limit / 4 * 5 + 5).train.accumulate == parts);
    CHECK(told.origins.at("accumulate").find("memory.limit") != std::string::npos);
  }
}

TEST_CASE("a device with memory of its own is filled by what lies there, not by the host's") {
  BackendInfo device;
  device.own_memory = true;
  TrainConfig wanted = chosen({"batch=96"}, kPlenty).train;
  wanted.accumulate = 3;
  const MemoryPlan plan = plan_memory(wanted, some_data().val != nullptr, true);
  CHECK(plan.on_device() < plan.total());
  const std::string limit = "memory.limit=" + std::to_string(plan.on_device()) + "B";
  CHECK(chosen({"batch=96", "accumulate=auto", limit}, 0, device).train.accumulate == 3);
  CHECK(chosen({"batch=96", "accumulate=auto", limit}, 0).train.accumulate > 3);
  CHECK_THROWS_WITH_AS(chosen({"batch=96", limit}, 0, device), doctest::Contains("on the device"),
                       ConfigError);
}

TEST_CASE("batch=auto is the data's batch, cut to fit") {
  const RunConfig usual = chosen({}, kPlenty), cut = chosen({"batch=auto"}, needed(usual.train));
  CHECK(cut.train.batch == usual.train.batch);
  CHECK(cut.train.accumulate > 1);
  CHECK(cut.train.batch % cut.train.accumulate == 0);
}

TEST_CASE("what does not fit is refused with what would help") {
  CHECK_THROWS_WITH_AS(chosen({"accumulate=auto", "memory.limit=1MiB", "memory.recompute=gelu"}, kPlenty),
                       doctest::Contains("memory.recompute=block"), ConfigError);
  CHECK_THROWS_AS(chosen({"accumulate=auto", "memory.limit=1MiB"}, kPlenty), ConfigError);
  CHECK_THROWS_WITH_AS(chosen({"batch=64", "memory.limit=1MiB"}, kPlenty),
                       doctest::Contains("accumulate=auto"), ConfigError);
  CHECK_NOTHROW(chosen({"batch=64"}, 1));  // a limit that nobody told binds what is automatic alone
}

TEST_CASE("memory.recompute=auto keeps as much as fits: on a device all, on the CPU what gelu keeps") {
  BackendInfo gpu;
  gpu.own_memory = true;
  const TrainConfig whole = chosen({"batch=96"}, kPlenty).train;
  for (const BackendInfo& device : {gpu, BackendInfo{}}) {
    const bool own = device.own_memory;
    CHECK(chosen({"batch=96"}, kPlenty, device).train.memory.recompute ==
          (own ? Recompute::none : Recompute::gelu));
    for (const Recompute level : {Recompute::gelu, Recompute::block}) {
      const RunConfig told = chosen({"batch=96", limit_of(needed(whole, 1, level, own))}, 0, device);
      CHECK(told.train.memory.recompute == level);
      const std::vector<std::string> settings = to_settings(told.train);
      CHECK(std::count(settings.begin(), settings.end(), "memory.recompute=auto") == 1);
    }
  }
}

TEST_CASE("memory.recompute=auto: on a device GELU in the tanh form is not made again alone") {
  BackendInfo gpu;
  gpu.own_memory = true;
  const TrainConfig whole = chosen({"batch=96", "model.gelu=tanh"}, kPlenty, gpu).train;
  CHECK(whole.memory.recompute == Recompute::none);
  const std::string limit = limit_of(needed(whole, 1, Recompute::gelu, true));
  CHECK(chosen({"batch=96", "model.gelu=tanh", limit}, 0, gpu).train.memory.recompute == Recompute::block);
}

TEST_CASE("memory.recompute=auto makes whole blocks again only where no number of parts fits") {
  const TrainConfig whole = chosen({"batch=96"}, kPlenty).train;
  const auto fitting = [&](std::uint64_t bytes) {
    return chosen({"batch=96", "accumulate=auto", limit_of(bytes)}, 0).train;
  };
  const std::uint64_t thirds = needed(whole, 3, Recompute::gelu, false);
  CHECK(needed(whole, 2, Recompute::block, false) <= thirds);
  CHECK(fitting(thirds).accumulate == 3);
  CHECK(fitting(thirds).memory.recompute == Recompute::gelu);
  const std::uint64_t smallest = needed(whole, 96, Recompute::gelu, false);
  CHECK(fitting(smallest).memory.recompute == Recompute::gelu);
  CHECK(fitting(smallest - 1).memory.recompute == Recompute::block);
}

TEST_CASE("memory.recompute=auto: a limit that nobody told, or a run that goes on, is not refused") {
  CHECK(chosen({"batch=96"}, 1).train.memory.recompute == Recompute::block);
  RunConfig config = chosen({"batch=96", "memory.limit=64GiB"}, 0);
  config.train.memory.limit = 1;
  const std::vector<Choice> choices = choose_recompute(config, some_data(), {}, kPlenty);
  REQUIRE(choices.size() == 1);
  CHECK(choices[0].value == "block");
  CHECK(choices[0].why.find("the least there is") != std::string::npos);
  CHECK(config.train.memory.recompute == Recompute::block);
  config.train.memory.recompute_auto = false;
  CHECK(choose_recompute(config, some_data(), {}, kPlenty).empty());
}

TEST_CASE("dtype=auto is bf16 where the device is fast at it") {
  BackendInfo device;
  CHECK(chosen({"dtype=auto"}, kPlenty, device).train.dtype == DType::f32);
  device.fast_bf16 = true;
  const RunConfig config = chosen({"dtype=auto"}, kPlenty, device);
  CHECK(config.train.dtype == DType::bf16);
  CHECK_FALSE(config.train.dtype_auto);
  CHECK(chosen({}, kPlenty, device).train.dtype == DType::f32);
}
