// Training with bf16 products: gradients near those of f64, the same bits whatever the threads, and
// everything that a run must do.

#include <doctest/doctest.h>

#include "engine/model_io.h"
#include "engine/trainer.h"
#include "tests/support/bf16_network.h"
#include "tests/support/synthetic_data.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_vit.h"

namespace vitrail {
namespace {

TrainConfig bf16_training() {
  TrainConfig config = test::tiny_training();
  config.dtype = DType::bf16;
  config.model.embed_dim = 16;
  config.input.crop_pct = 1;
  config.batch = 8;
  return config;
}

std::vector<float> trained(const TrainConfig& config, const DataSource& data, int threads) {
  const auto backend = make_backend("cpu", {.threads = threads});
  Trainer trainer(*backend, config, data, 1);
  while (!trainer.done()) {
    trainer.advance();
    if (trainer.at_epoch_end()) trainer.finish_epoch();
  }
  return test::floats_of(*backend, trainer.weights().flat());
}

}  // namespace

TEST_CASE("bf16: each tensor's gradient is near f64's, for each switch") {
  const auto backend = make_backend("cpu", {.threads = 2});
  for (const test::NamedConfig& named : test::bf16_configs()) {
    CAPTURE(named.name);
    test::check_bf16_gradients(*backend, *backend, named.config);
  }
}

TEST_CASE("bf16: the same bits at 1, 2, 3 and 8 threads") {
  for (const test::NamedConfig& named : test::bf16_configs()) {
    CAPTURE(named.name);
    const auto expected =
        test::network_gradients(*make_backend("cpu", {.threads = 1}), named.config, DType::bf16);
    for (const int threads : {2, 3, 8})
      CHECK((test::network_gradients(*make_backend("cpu", {.threads = threads}), named.config, DType::bf16) ==
             expected));
  }
}

TEST_CASE("bf16: every level of recomputation gives the same bits") {
  const auto backend = make_backend("cpu", {.threads = 2});
  for (const test::NamedConfig& named : test::bf16_configs()) {
    CAPTURE(named.name);
    const auto expected = test::network_gradients(*backend, named.config, DType::bf16);
    for (const Recompute level : {Recompute::gelu, Recompute::block})
      CHECK((test::network_gradients(*backend, named.config, DType::bf16, level) == expected));
  }
}

TEST_CASE("bf16: overfitting one batch drives the loss below 0.01") {
  TrainConfig config = bf16_training();
  config.augment.flip = 0;
  config.epochs = 300;
  config.opt.lr = 3e-3;
  const auto backend = make_backend("cpu", {.threads = 2});
  Trainer trainer(*backend, config, test::synthetic_data(8, 0, 4, 8), 1);
  double loss = 100;
  while (!trainer.done())
    loss = trainer.advance()->loss;
  CHECK(loss < 0.01);
}

TEST_CASE("bf16: an evaluation of the averaged weights leaves training as it was") {
  TrainConfig config = bf16_training();
  config.ema.decay = 0.9;
  config.epochs = 3;
  const std::vector<float> evaluated = trained(config, test::synthetic_data(16, 8, 4, 8), 2);
  CHECK((evaluated == trained(config, test::synthetic_data(16, 0, 4, 8), 1)));
}

TEST_CASE(
    "bf16: a checkpoint is one of f32, and a run goes on from it bit for bit, in the middle of a step too") {
  const test::TemporaryFolder folder;
  const DataSource data = test::synthetic_data(24, 8, 4, 8);
  TrainConfig config = bf16_training();
  config.ema.decay = 0.9;
  config.accumulate = 2;
  config.epochs = 2;
  config.model.drop_path_rate = 0.2;
  const std::vector<float> expected = trained(config, data, 2);
  for (const int at : {1, 2, 6, 7}) {
    CAPTURE(at);
    const auto backend = make_backend("cpu", {.threads = 1});
    {
      Trainer trainer(*backend, config, data, 1);
      for (int i = 0; i < at; ++i) {
        trainer.advance();
        if (trainer.at_epoch_end()) trainer.finish_epoch();
      }
      trainer.save(folder / "a.vitrail");
    }
    CHECK(get_model_info(folder / "a.vitrail").dtype == "f32");
    Trainer trainer(*backend, read_train_config(folder / "a.vitrail"), data, 1);
    CHECK(trainer.config().dtype == DType::bf16);
    trainer.load(folder / "a.vitrail");
    while (!trainer.done()) {
      trainer.advance();
      if (trainer.at_epoch_end()) trainer.finish_epoch();
    }
    CHECK((test::floats_of(*backend, trainer.weights().flat()) == expected));
  }
}

}  // namespace vitrail
