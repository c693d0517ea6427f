// A run that is interrupted, saved, loaded into a new trainer and finished must equal the uninterrupted run
// byte for byte: weights, both moments, EMA, and every logged number.

#include <doctest/doctest.h>

#include <fstream>

#include "engine/checkpoint.h"
#include "engine/error.h"
#include "engine/trainer.h"
#include "format/error.h"
#include "tests/support/synthetic_data.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_vit.h"

namespace vitrail {
namespace {

constexpr int kMicroBatches = 3 * 6 * 3;

struct Log {
  std::vector<double> numbers;
  void add(const StepReport& step) { numbers.insert(numbers.end(), {step.loss, step.grad_norm, step.lr}); }
  void add(const EpochReport& epoch) {
    numbers.insert(numbers.end(), {epoch.train_loss, epoch.top1, epoch.val_loss});
  }
};

void advance(Trainer& trainer, int micro_batches, Log& log) {
  for (int i = 0; i < micro_batches; ++i) {
    if (const auto report = trainer.advance()) log.add(*report);
    if (trainer.at_epoch_end()) log.add(trainer.finish_epoch());
  }
}

std::vector<std::byte> bytes_of(const Backend& backend, const ParamSet& params) {
  std::vector<std::byte> bytes(params.bytes());
  backend.download(bytes.data(), params.flat(), bytes.size());
  return bytes;
}

struct Outcome {
  std::vector<std::byte> weights, first, second, ema;
  std::vector<double> log;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome outcome(const Backend& backend, const Trainer& trainer, const Log& log) {
  return {bytes_of(backend, trainer.weights()), bytes_of(backend, trainer.first_moment()),
          bytes_of(backend, trainer.second_moment()), bytes_of(backend, *trainer.ema()), log.numbers};
}

Outcome uninterrupted(const TrainConfig& config, const DataSource& data) {
  const auto backend = make_backend("cpu", {.threads = 1});
  Trainer trainer(*backend, config, data, 1);
  Log log;
  advance(trainer, kMicroBatches, log);
  CHECK(trainer.done());
  return outcome(*backend, trainer, log);
}

Outcome interrupted(const TrainConfig& config, const DataSource& data, int at, int threads,
                    const std::filesystem::path& file) {
  Log log;
  {
    const auto backend = make_backend("cpu", {.threads = threads});
    Trainer trainer(*backend, config, data, threads);
    advance(trainer, at, log);
    trainer.save(file);
  }
  const auto backend = make_backend("cpu", {.threads = 3 - threads});
  Trainer trainer(*backend, config, data, 3 - threads);
  trainer.load(file);
  CHECK(trainer.mid_step() == (at % 3 != 0));
  advance(trainer, kMicroBatches - at, log);
  return outcome(*backend, trainer, log);
}

}  // namespace

TEST_CASE("20 interruption points, at one and two threads: byte-equal to the uninterrupted run") {
  const test::TemporaryFolder folder;
  const TrainConfig config = test::training_with_everything();
  const DataSource data = test::synthetic_data(40, 12, 4, 10);
  const Outcome expected = uninterrupted(config, data);
  CHECK(expected.log.size() == 18 * 3 + 3 * 3);
  const int points[] = {1, 2, 3, 4, 5, 7, 9, 11, 16, 17, 18, 19, 20, 25, 30, 35, 36, 37, 44, 53};
  for (int at : points) {
    for (int threads : {1, 2}) {
      CAPTURE(at);
      CAPTURE(threads);
      CHECK((interrupted(config, data, at, threads, folder / "last.vitrail") == expected));
    }
  }
}

TEST_CASE("the same run saved twice gives the same bytes") {
  const test::TemporaryFolder folder;
  const auto backend = make_backend("cpu", {.threads = 2});
  const DataSource data = test::synthetic_data(40, 12, 4, 10);
  Trainer trainer(*backend, test::training_with_everything(), data, 2);
  Log log;
  advance(trainer, 5, log);
  trainer.save(folder / "a.vitrail");
  trainer.save(folder / "b.vitrail");
  const auto content = [&](const char* name) {
    std::ifstream in(folder / name, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  CHECK(content("a.vitrail").size() > 4096);
  CHECK((content("a.vitrail") == content("b.vitrail")));
}

TEST_CASE("a checkpoint of another configuration or other data is refused by name") {
  const test::TemporaryFolder folder;
  const auto backend = make_backend("cpu", {.threads = 1});
  const DataSource data = test::synthetic_data(40, 0, 4, 10);
  const TrainConfig config = test::training_with_everything();
  Trainer(*backend, config, data, 1).save(folder / "a.vitrail");

  TrainConfig other = config;
  other.opt.lr = 0.5;
  CHECK_THROWS_WITH_AS(Trainer(*backend, other, data, 1).load(folder / "a.vitrail"),
                       doctest::Contains("opt.lr=0.001"), ConfigError);
  DataSource changed = data;
  changed.fingerprint[0] = 'f';
  CHECK_THROWS_WITH_AS(Trainer(*backend, config, changed, 1).load(folder / "a.vitrail"),
                       doctest::Contains("the data have changed"), ConfigError);
  TrainConfig longer = config;
  longer.schedule.warmup_steps = 0;  // what 18 steps resolve to
  longer.epochs = 5;
  Trainer extended(*backend, longer, data, 1);
  extended.load(folder / "a.vitrail");
  CHECK(extended.total_steps() == 30);
}

TEST_CASE("accumulation changes nothing but rounding") {
  const DataSource data = test::synthetic_data(40, 0, 4, 10);
  TrainConfig config = test::training_with_everything();
  config.dtype = DType::f64;
  std::vector<double> losses[2];
  for (int run : {0, 1}) {
    config.accumulate = run == 0 ? 1 : 3;
    const auto backend = make_backend("cpu", {.threads = 1});
    Trainer trainer(*backend, config, data, 1);
    while (!trainer.done()) {
      if (const auto report = trainer.advance()) losses[run].push_back(report->loss);
    }
  }
  CHECK(losses[0].size() == 18);
  for (std::size_t i = 0; i < losses[0].size(); ++i) {
    CHECK(losses[0][i] == doctest::Approx(losses[1][i]).epsilon(1e-6));
  }
}

TEST_CASE("overfitting one batch drives the loss below 0.01") {
  const DataSource data = test::synthetic_data(8, 0, 4, 8);
  TrainConfig config = test::tiny_training();
  config.model.embed_dim = 16;
  config.input.crop_pct = 1;
  config.augment.flip = 0;
  config.batch = 8;
  config.epochs = 300;
  config.opt.lr = 3e-3;
  const auto backend = make_backend("cpu", {.threads = 2});
  Trainer trainer(*backend, config, data, 1);
  double loss = 100;
  while (!trainer.done())
    loss = trainer.advance()->loss;
  CHECK(loss < 0.01);
}

TEST_CASE("a loss that is not finite stops the run before the weights are touched") {
  const DataSource data = test::synthetic_data(8, 0, 4, 8);
  TrainConfig config = test::tiny_training();
  config.batch = 8;
  config.epochs = 50;
  config.opt.lr = 1e30;
  config.opt.clip_norm = 0;
  config.schedule.warmup_steps = 0;
  const auto backend = make_backend("cpu", {.threads = 1});
  Trainer trainer(*backend, config, data, 1);
  std::vector<std::byte> before;
  const auto run = [&] {
    while (!trainer.done()) {
      before = bytes_of(*backend, trainer.weights());
      trainer.advance();
    }
  };
  CHECK_THROWS_AS(run(), DivergedError);
  CHECK((before == bytes_of(*backend, trainer.weights())));
}

}  // namespace vitrail
