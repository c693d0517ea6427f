// Evaluation on the cuda device, where the next batch comes while the device is at one.

#include "engine/evaluate.h"

#include <doctest/doctest.h>

#include "tests/support/kernels_op_run.h"
#include "tests/support/synthetic_data.h"
#include "tests/support/tiny_vit.h"

namespace vitrail::test {
namespace {

// Eleven images of five classes in batches of three, the last of them smaller, twice in the same memory.
EvalReport evaluated(Backend& backend) {
  const TrainConfig config = tiny_training();
  const ParamSet params(backend, config.model, DType::f32);
  randomize(backend, params, 7);
  Classifier classifier(backend, config.model, params, 3);
  const DataSource data = synthetic_data(5, 11, 5, config.model.img_size);
  evaluate(classifier, data.val, config.input, 1);
  return evaluate(classifier, data.val, config.input, 1);
}

TEST_CASE("cuda: an evaluation is that of the CPU, in any order of the streams") {
  const EvalReport cpu = evaluated(*cpu_backend());
  for (const std::uint64_t seed : {0, 1, 2, 3}) {
    CAPTURE(seed);
    shuffle_cuda(seed);
    const EvalReport cuda = evaluated(*cuda_backend());
    CHECK(cuda.samples == 11);
    CHECK(cuda.confusion == cpu.confusion);
    CHECK(cuda.loss == doctest::Approx(cpu.loss).epsilon(kF32Tolerance));
  }
  shuffle_cuda(0);
}

}  // namespace
}  // namespace vitrail::test
