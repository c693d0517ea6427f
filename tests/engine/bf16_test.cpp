// Training with bf16 products: gradients near those of f64, the same bits whatever the threads, and
// everything that a run must do.

#include <doctest/doctest.h>

#include <cmath>

#include "engine/compute_weights.h"
#include "engine/micro_batch.h"
#include "engine/model_io.h"
#include "engine/trainer.h"
#include "engine/transfer.h"
#include "engine/vit.h"
#include "kernels/check.h"
#include "tests/support/synthetic_data.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_vit.h"

namespace vitrail {
namespace {

constexpr std::int64_t kBatch = 6;

std::vector<float> floats(const Backend& backend, In view) {
  std::vector<float> values(static_cast<std::size_t>(view.shape.elements()));
  download_floats(backend, values, view);
  return values;
}

// The gradient of one batch, by parameter in their order.
std::vector<std::vector<float>> gradients(Backend& backend, const VitConfig& config, DType dtype,
                                          Recompute level = Recompute::none) {
  const ParamSet params(backend, config, statistics_dtype(dtype)), grads(backend, config, params.dtype());
  test::randomize(backend, params, 7);
  ComputeWeights computed(backend, config, dtype);
  computed.follow(params);
  Vit vit(backend, config, dtype, kBatch, VitMode::training, level);
  const MicroBatch micro(backend, config, params.dtype(), kBatch);
  std::vector<float> images(static_cast<std::size_t>(micro.images.shape.elements()));
  for (std::size_t i = 0; i < images.size(); ++i)
    images[i] = std::sin(static_cast<float>(i));
  std::vector<float> targets(static_cast<std::size_t>(micro.targets.shape.elements()));
  for (std::size_t i = 0; i < kBatch; ++i)
    targets[i * static_cast<std::size_t>(config.num_classes + 1) % targets.size()] = 1;
  upload_floats(backend, micro.images, images);
  upload_floats(backend, micro.targets, targets);
  const Draws draws{.train = true, .seed = 11, .step = 5, .first_sample = 0};
  backend.run(CrossEntropy{.losses = micro.losses,
                           .dlogits = micro.dlogits,
                           .logits = vit.forward(computed.views(), micro.images, draws),
                           .targets = micro.targets,
                           .label_smoothing = 0.1,
                           .scale = 1.0 / kBatch});
  vit.backward(computed.views(), grads.views(), micro.dlogits, draws);
  std::vector<std::vector<float>> all;
  for (const ParamTensor& tensor : grads.tensors())
    all.push_back(floats(backend, tensor.view));
  return all;
}

double norm(const std::vector<float>& values) {
  double sum = 0;
  for (const float value : values)
    sum += double(value) * double(value);
  return std::sqrt(sum);
}

std::vector<float> difference(std::vector<float> a, const std::vector<float>& b) {
  for (std::size_t i = 0; i < a.size(); ++i)
    a[i] -= b[i];
  return a;
}

std::vector<test::NamedConfig> configs() {
  std::vector<test::NamedConfig> all = test::switch_configs();
  test::NamedConfig dropouts{"dropouts", test::tiny_config()};
  dropouts.config.layer_scale = true;
  dropouts.config.init_values = 0.5;
  dropouts.config.drop_rate = dropouts.config.pos_drop_rate = 0.1;
  dropouts.config.proj_drop_rate = dropouts.config.attn_drop_rate = 0.2;
  dropouts.config.drop_path_rate = 0.4;
  all.push_back(dropouts);
  return all;
}

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
  return floats(*backend, trainer.weights().flat());
}

}  // namespace

// bf16 has 8 significant bits: each rounding is off by up to 0.4 %, and a gradient passes some tens of them.
// The furthest of these tiny tensors is 4.2 % away, in a network 8 numbers wide, where little averages out.
TEST_CASE("bf16: each tensor's gradient is within 6 % of f64's, for each switch") {
  const auto backend = make_backend("cpu", {.threads = 2});
  for (const test::NamedConfig& named : configs()) {
    CAPTURE(named.name);
    const auto exact = gradients(*backend, named.config, DType::f64);
    const auto rounded = gradients(*backend, named.config, DType::bf16);
    const ParamSet names(*backend, named.config, DType::f32);
    double whole = 0;
    for (const std::vector<float>& tensor : exact)
      whole = std::max(whole, norm(tensor));
    for (std::size_t p = 0; p < exact.size(); ++p) {
      CAPTURE(names.tensors()[p].spec.name);
      // A gradient that is zero by symmetry (the key's bias) is rounding alone.
      CHECK(norm(difference(rounded[p], exact[p])) <= 0.06 * std::max(norm(exact[p]), 0.02 * whole));
    }
  }
}

TEST_CASE("bf16: the same bits at 1, 2, 3 and 8 threads") {
  for (const test::NamedConfig& named : configs()) {
    CAPTURE(named.name);
    const auto expected = gradients(*make_backend("cpu", {.threads = 1}), named.config, DType::bf16);
    for (const int threads : {2, 3, 8})
      CHECK((gradients(*make_backend("cpu", {.threads = threads}), named.config, DType::bf16) == expected));
  }
}

TEST_CASE("bf16: every level of recomputation gives the same bits") {
  const auto backend = make_backend("cpu", {.threads = 2});
  for (const test::NamedConfig& named : configs()) {
    CAPTURE(named.name);
    const auto expected = gradients(*backend, named.config, DType::bf16);
    for (const Recompute level : {Recompute::gelu, Recompute::block})
      CHECK((gradients(*backend, named.config, DType::bf16, level) == expected));
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
    CHECK((floats(*backend, trainer.weights().flat()) == expected));
  }
}

}  // namespace vitrail
