// A whole tiny network of each switch on the cuda device, held against the CPU: gradients against f64, and
// ten steps of AdamW.

#include <doctest/doctest.h>

#include "tests/support/bf16_network.h"
#include "tests/support/kernels_op_run.h"
#include "tests/support/tiny_vit.h"
#include "tests/support/vit_run.h"

namespace vitrail::test {
namespace {

constexpr std::int64_t kBatch = 4;
constexpr double kSmoothing = 0.1;
const OptimizerConfig kOptions{.lr = 1e-3, .eps = 1e-4};

template <class T>
constexpr DType kDType = sizeof(T) == 8 ? DType::f64 : DType::f32;

std::vector<NamedConfig> configs() {
  std::vector<NamedConfig> all = switch_configs();
  VitConfig dropped = with_every_dropout(tiny_config());
  dropped.layer_scale = true;
  dropped.init_values = 0.5;
  all.push_back({"every_dropout", dropped});
  VitConfig odd = tiny_config();  // nothing is a multiple of four
  odd.embed_dim = 14;
  odd.mlp_dim = 31;
  odd.img_size = 9;
  odd.patch_size = 3;
  odd.layer_scale = true;
  odd.init_values = 0.5;
  all.push_back({"odd_sizes", odd});
  return all;
}

template <class T>
VitRun<T> run_on(Backend& backend, const VitConfig& config) {
  VitRun<T> run(backend, config, kDType<T>, kOptions, kBatch, kSmoothing);
  randomize(backend, run.weights, 7);
  run.draws = {.train = true, .seed = 11, .step = 5};
  return run;
}

template <class T>
Values gradients_on(Backend& backend, const VitConfig& config) {
  VitRun<T> run = run_on<T>(backend, config);
  Values values;
  values["the loss"] = {run.loss_and_gradients()};
  for (const ParamTensor& tensor : run.grads.tensors())
    values[tensor.spec.name] = values_of<T>(backend, tensor.view);
  return values;
}

TEST_CASE("cuda: gradients of a network of each switch are those of the CPU in f64") {
  for (const NamedConfig& named : configs()) {
    CAPTURE(named.name);
    check_close(gradients_on<float>(*cuda_backend(), named.config),
                gradients_on<double>(*cpu_backend(), named.config), kF32Tolerance);
  }
}

TEST_CASE("cuda: the same bits in ten orders of threads") {
  for (const NamedConfig& named : configs()) {
    if (named.name != "every_dropout" && named.name != "odd_sizes") continue;
    CAPTURE(named.name);
    const Values first = gradients_on<float>(*cuda_backend(), named.config);
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
      CAPTURE(seed);
      shuffle_cuda(seed);
      CHECK(gradients_on<float>(*cuda_backend(), named.config) == first);
    }
    shuffle_cuda(0);
  }
}

// cuBLASLt's GELU, which is the tanh form, need not be to the bit that of the kernel that makes it again:
// memory.recompute=auto leaves that level out there.
TEST_CASE("cuda: every level of recomputation has the same bits") {
  for (const NamedConfig& named : bf16_configs()) {
    CAPTURE(named.name);
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const auto kept = network_gradients(*cuda_backend(), named.config, dtype);
      for (const Recompute level : {Recompute::gelu, Recompute::block}) {
        CAPTURE(name_of(level));
        if (level == Recompute::gelu && named.config.gelu == GeluKind::tanh) continue;
        CHECK((network_gradients(*cuda_backend(), named.config, dtype, level) == kept));
      }
    }
  }
}

// Losses of ten steps, and the weights and their average after them.
template <class T>
Values ten_steps_on(Backend& backend, const VitConfig& config) {
  VitRun<T> run = run_on<T>(backend, config);
  const ParamSet ema(backend, config, kDType<T>);
  backend.copy(ema.flat(), run.weights.flat());
  Values values;
  for (std::uint32_t step = 1; step <= 10; ++step) {
    run.draws.step = step;
    values["losses"].push_back(run.loss_and_gradients());
    values["norms"].push_back(run.optimizer.grad_norm(run.grads));
    run.optimizer.step(run.weights, run.grads, &ema, step, kOptions.lr, 0.9);
  }
  values["weights"] = values_of<T>(backend, run.weights.flat());
  values["average"] = values_of<T>(backend, ema.flat());
  return values;
}

TEST_CASE("cuda: ten steps of AdamW are those of the CPU") {
  for (const NamedConfig& named : configs()) {
    if (named.name != "every_dropout" && named.name != "clip") continue;
    CAPTURE(named.name);
    check_close(ten_steps_on<float>(*cuda_backend(), named.config),
                ten_steps_on<double>(*cpu_backend(), named.config), kF32Tolerance);
  }
}

}  // namespace
}  // namespace vitrail::test
