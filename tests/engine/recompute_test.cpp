// What the backward makes again must be what the forward made: every level of recomputation gives the same
// bits, and takes the memory that was planned.

#include <doctest/doctest.h>

#include "engine/micro_batch.h"
#include "engine/trainer.h"
#include "engine/vit.h"
#include "tests/support/synthetic_data.h"
#include "tests/support/tiny_vit.h"

namespace vitrail {
namespace {

constexpr std::int64_t kMicro = 3;

template <class T>
std::vector<T> numbers(std::int64_t count, std::uint32_t stream) {
  std::vector<T> values;
  for (std::int64_t i = 0; i < count; ++i) {
    const Random4 bits = random4({3, Purpose::init, 2}, stream, static_cast<std::uint32_t>(i));
    values.push_back(static_cast<T>(2 * uniform(bits[0]) - 1));
  }
  return values;
}

template <class T>
std::vector<T> downloaded(const Backend& backend, In view) {
  std::vector<T> values(static_cast<std::size_t>(view.shape.elements()));
  backend.download(values.data(), view, values.size() * sizeof(T));
  return values;
}

// Gradients of two micro-batches, behind the logits of an inference between them.
template <class T>
std::vector<T> results(Backend& backend, const VitConfig& config, DType dtype, Recompute level) {
  const ParamSet params(backend, config, dtype), grads(backend, config, dtype);
  test::randomize(backend, params, 7);
  Vit vit(backend, config, dtype, kMicro, VitMode::training, level);
  MicroBatch micro(backend, config, dtype, kMicro);
  const auto targets = numbers<T>(micro.targets.shape.elements(), 9);
  backend.upload(micro.targets, targets.data(), targets.size() * sizeof(T));
  std::vector<T> logits;
  for (const std::uint32_t number : {0, 1}) {
    const auto images = numbers<T>(micro.images.shape.elements(), number);
    backend.upload(micro.images, images.data(), images.size() * sizeof(T));
    logits = downloaded<T>(backend, vit.infer(params.views(), micro.images));
    const Draws draws{.train = true, .seed = 11, .step = 5, .first_sample = number * std::uint32_t{kMicro}};
    backend.run(CrossEntropy{.losses = micro.losses,
                             .dlogits = micro.dlogits,
                             .logits = vit.forward(params.views(), micro.images, draws),
                             .targets = micro.targets,
                             .scale = 0.5 / kMicro});
    vit.backward(params.views(), grads.views(), micro.dlogits, draws);
  }
  std::vector<T> all = downloaded<T>(backend, grads.flat());
  all.insert(all.begin(), logits.begin(), logits.end());
  return all;
}

VitConfig three_dropping_blocks(VitConfig config) {
  config.depth = 3;
  return test::with_every_dropout(config);
}

template <class T>
void check_levels(Backend& backend, const VitConfig& config, DType dtype) {
  const std::vector<T> expected = results<T>(backend, config, dtype, Recompute::none);
  for (const Recompute level : {Recompute::gelu, Recompute::block}) {
    CAPTURE(name_of(level));
    CAPTURE(name_of(dtype));
    CHECK((results<T>(backend, config, dtype, level) == expected));
  }
}

}  // namespace

TEST_CASE("every level of recomputation gives the same bits, with every kind of dropout") {
  const auto backend = make_backend("cpu", {.threads = 2});
  for (const test::NamedConfig& named : test::switch_configs()) {
    CAPTURE(named.name);
    check_levels<float>(*backend, three_dropping_blocks(named.config), DType::f32);
    check_levels<double>(*backend, three_dropping_blocks(named.config), DType::f64);
    check_levels<float>(*backend, named.config, DType::f32);
  }
}

TEST_CASE("an inference in the memory of a training gives the bits of the forward") {
  const auto backend = make_backend("cpu", {.threads = 2});
  for (const test::NamedConfig& named : test::switch_configs()) {
    CAPTURE(named.name);
    const ParamSet params(*backend, named.config, DType::f32);
    test::randomize(*backend, params, 7);
    const MicroBatch micro(*backend, named.config, DType::f32, kMicro);
    const auto images = numbers<float>(micro.images.shape.elements(), 4);
    backend->upload(micro.images, images.data(), images.size() * sizeof(float));
    Vit training(*backend, named.config, DType::f32, kMicro, VitMode::training);
    Vit alone(*backend, named.config, DType::f32, kMicro, VitMode::inference);
    const auto expected = downloaded<float>(*backend, training.forward(params.views(), micro.images));
    CHECK((downloaded<float>(*backend, training.infer(params.views(), micro.images)) == expected));
    CHECK((downloaded<float>(*backend, alone.infer(params.views(), micro.images)) == expected));
    const In two = rows(micro.images, 0, 2);
    CHECK((downloaded<float>(*backend, training.infer(params.views(), two)) ==
           downloaded<float>(*backend, alone.infer(params.views(), two))));
  }
}

TEST_CASE("a training takes the memory that was planned for it") {
  const DataSource data = test::synthetic_data(16, 4, 4, 8), train_only = test::synthetic_data(16, 0, 4, 8);
  const auto backend = make_backend("cpu", {.threads = 1});
  TrainConfig config = test::tiny_training();
  config.batch = 8;
  for (const Recompute level : {Recompute::none, Recompute::gelu, Recompute::block}) {
    config.memory.recompute = level;
    config.ema.decay = level == Recompute::gelu ? 0.9 : 0;
    config.accumulate = level == Recompute::block ? 2 : 1;
    CHECK((Trainer(*backend, config, data, 1).memory() == plan_memory(config, true)));
    config.save.mode = SaveMode::sync;
    CHECK((Trainer(*backend, config, train_only, 1).memory() == plan_memory(config, false)));
    config.save.mode = SaveMode::staged;
  }
}

TEST_CASE("what is made again is not kept") {
  TrainConfig config;
  config.model = vit_config("vit_base_patch16_224");
  config.input.size = config.model.img_size;
  config.batch = 8;
  std::map<Recompute, double> bytes;
  for (const Recompute level : {Recompute::none, Recompute::gelu, Recompute::block}) {
    config.memory.recompute = level;
    bytes[level] = double(plan_memory(config, true).activations);
  }
  CHECK(bytes[Recompute::gelu] < 0.72 * bytes[Recompute::none]);
  CHECK(bytes[Recompute::block] < 0.25 * bytes[Recompute::none]);
  // The residual stream, and beside it a norm and the widest tensor of a block.
  const double unit = 8.0 * 197 * 768 * 4;
  CHECK(Activations(config.model, DType::f32, VitMode::inference, Recompute::none).bytes_for(8) < 6.5 * unit);
}

}  // namespace vitrail
