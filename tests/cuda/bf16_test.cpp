// Tiny networks with products in bf16 on the cuda device.

#include "tests/support/bf16_network.h"

#include <doctest/doctest.h>

#include "tests/support/kernels_op_run.h"
#include "tests/support/vit_run.h"

namespace vitrail::test {
namespace {

TEST_CASE("cuda: bf16 gradients of a network of each switch are near those of f64") {
  for (const NamedConfig& named : bf16_configs()) {
    CAPTURE(named.name);
    check_bf16_gradients(*cuda_backend(), *cpu_backend(), named.config);
  }
}

TEST_CASE("cuda: in bf16 the same bits in three orders of threads") {
  for (const NamedConfig& named : bf16_configs()) {
    if (named.name != "dropouts") continue;
    const auto first = network_gradients(*cuda_backend(), named.config, DType::bf16);
    for (std::uint64_t seed : {1, 2}) {
      CAPTURE(seed);
      shuffle_cuda(seed);
      CHECK((network_gradients(*cuda_backend(), named.config, DType::bf16) == first));
    }
    shuffle_cuda(0);
  }
}

struct TenSteps {
  std::vector<float> losses, moved;  // moved: the weights less what they were
};

TenSteps ten_steps(Backend& backend, const VitConfig& config) {
  const OptimizerConfig options{.lr = 1e-3, .eps = 1e-4};
  VitRun<float> run(backend, config, DType::bf16, options, 4, 0.1);
  randomize(backend, run.weights, 7);
  const std::vector<float> before = floats_of(backend, run.weights.flat());
  TenSteps result;
  for (std::uint32_t step = 1; step <= 10; ++step) {
    run.draws = {.train = true, .seed = 11, .step = step};
    result.losses.push_back(static_cast<float>(run.loss_and_gradients()));
    run.optimizer.grad_norm(run.grads);
    run.optimizer.step(run.weights, run.grads, nullptr, step, options.lr, 0);
  }
  result.moved = difference(floats_of(backend, run.weights.flat()), before);
  return result;
}

// Each loss is rounded many times, but they average out: one rounding is allowed (measured: 0.1 of it). The
// two devices' gradients are up to 6 % from f64's each, apart by no more than 0.1 in all (measured: 0.03).
TEST_CASE("cuda: ten steps in bf16 go the way of the CPU's") {
  for (const NamedConfig& named : bf16_configs()) {
    if (named.name != "dropouts" && named.name != "clip") continue;
    CAPTURE(named.name);
    const TenSteps cuda = ten_steps(*cuda_backend(), named.config),
                   cpu = ten_steps(*cpu_backend(), named.config);
    CHECK(norm(difference(cuda.losses, cpu.losses)) <= kBf16Roundoff * norm(cpu.losses));
    CHECK(norm(difference(cuda.moved, cpu.moved)) <= 0.1 * norm(cpu.moved));
  }
}

}  // namespace
}  // namespace vitrail::test
