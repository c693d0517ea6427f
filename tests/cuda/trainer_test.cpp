// The trainer on a device with memory of its own: batches that come ahead, checkpoints that are copied while
// it goes on, and what it takes.

#include <doctest/doctest.h>

#include "engine/trainer.h"
#include "tests/support/cuda_emulated.h"
#include "tests/support/synthetic_data.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_vit.h"
#include "tests/support/vit_run.h"

namespace vitrail::test {
namespace {

constexpr int kMicroBatches = 18;  // a whole epoch

struct Run {
  explicit Run(const DataSource& data) : trainer(*cuda_backend(), training_with_everything(), data, 1) {}

  void advance(int micro_batches) {
    for (int i = 0; i < micro_batches; ++i) {
      if (trainer.at_epoch_end()) trainer.finish_epoch();
      if (const auto report = trainer.advance()) losses.push_back(report->loss);
    }
  }
  Values state() const {
    return {{"losses", losses},
            {"validation losses", validation_losses()},
            {"weights", values_of<float>(*cuda_backend(), trainer.weights().flat())},
            {"first moment", values_of<float>(*cuda_backend(), trainer.first_moment().flat())},
            {"average", values_of<float>(*cuda_backend(), trainer.ema()->flat())}};
  }

  std::vector<double> validation_losses() const {
    std::vector<double> found;
    for (const EpochReport& epoch : trainer.history())
      found.push_back(epoch.val_loss);
    return found;
  }

  Trainer trainer;
  std::vector<double> losses;
};

Values trained(const DataSource& data, int micro_batches) {
  Run run(data);
  run.advance(micro_batches);
  return run.state();
}

TEST_CASE("cuda: a training has the same bits in any order of its streams") {
  const DataSource data = synthetic_data(40, 11, 4, 10);
  const Values expected = trained(data, kMicroBatches + 4);
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    CAPTURE(seed);
    shuffle_cuda(seed);
    CHECK(trained(data, kMicroBatches + 4) == expected);
  }
  shuffle_cuda(0);
}

// Saves after so many micro-batches, goes on at once, and then from the file.
void check_saved_beside(const DataSource& data, int at, const Values& expected) {
  const TemporaryFolder folder;
  Run run(data), resumed(data);
  run.advance(at);
  run.trainer.begin_save(folder / "beside.vitrail");
  run.advance(kMicroBatches - at);
  CHECK_FALSE(run.trainer.await_save()->error);
  CHECK(run.state() == expected);
  resumed.trainer.load(folder / "beside.vitrail");
  resumed.advance(kMicroBatches - at);
  resumed.losses = run.losses;
  CHECK(resumed.state() == expected);
}

TEST_CASE("cuda: a checkpoint that is copied while training goes on is that of its moment") {
  const DataSource data = synthetic_data(40, 11, 4, 10);
  const Values expected = trained(data, kMicroBatches);
  for (const int at : {6, 8}) {  // between two steps, and in the middle of one
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
      CAPTURE(at);
      CAPTURE(seed);
      shuffle_cuda(seed);
      check_saved_beside(data, at, expected);
    }
  }
  shuffle_cuda(0);
}

TEST_CASE("cuda: a training takes what was planned") {
  const DataSource data = synthetic_data(40, 11, 4, 10);
  const auto backend = make_backend("cuda");
  const std::uint64_t before = *backend->free_memory();
  Trainer trainer(*backend, training_with_everything(), data, 1);
  for (int i = 0; i < 4; ++i)
    trainer.advance();
  const MemoryPlan plan = trainer.memory();
  CHECK((plan == plan_memory(trainer.config(), true, true)));
  if (!cuda_is_emulated()) return;
  const std::uint64_t taken = before - *backend->free_memory();
  CHECK(taken >= plan.on_device());
  CHECK(taken <= plan.on_device() + (std::uint64_t{1} << 20));  // for the moment, inside ops
}

}  // namespace
}  // namespace vitrail::test
