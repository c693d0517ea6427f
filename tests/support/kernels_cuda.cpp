// The ops on the cuda device, in builds that have one.

#include <doctest/doctest.h>

#include "tests/support/kernels_op_run.h"
#if VITRAIL_TEST_CUDA == 2
#include "tests/cuda_emulation/grid.h"
#endif

namespace vitrail::test {
void shuffle_cuda([[maybe_unused]] std::uint64_t seed) {
#if VITRAIL_TEST_CUDA == 2
  cuda_emulation::set_seed(seed);
#endif
}

Backend* cuda_backend() {
#if VITRAIL_TEST_CUDA
  static const std::unique_ptr<Backend> backend = make_backend("cuda");
  return backend.get();
#else
  return nullptr;
#endif
}

bool check_cuda(const Scenario& scenario, const Values& given, const Values& reference) {
  Backend* const backend = cuda_backend();
  if (backend == nullptr) return false;
  shuffle_cuda(1);
  const Values first = results_on(*backend, DType::f32, scenario, given);
  check_close(first, reference, kF32Tolerance);
  shuffle_cuda(2);
  CHECK(results_on(*backend, DType::f32, scenario, given) == first);
  return true;
}

void check_cuda_bf16(const Scenario& scenario, const Values& given, const Values& exact, double roundings,
                     double on_cuda) {
  Backend* const backend = cuda_backend();
  if (backend == nullptr) return;
  INFO("on cuda");
  shuffle_cuda(1);
  OpRun run(*backend, DType::bf16, given);
  scenario(run);
  check_rounded(run, exact, roundings, on_cuda);
  shuffle_cuda(2);
  CHECK(results_on(*backend, DType::bf16, scenario, given) == run.results());
}

}  // namespace vitrail::test
