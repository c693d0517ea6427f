// Copies to shared memory that run beside the arithmetic.

#include <cuda_launch.h>
#include <cuda_ptx.h>
#include <doctest/doctest.h>

#include "tests/cuda_emulation/expect_fault.h"

namespace vitrail::cuda {
namespace {

using cuda_emulation::DeviceArray;
using cuda_emulation::expect_fault;

struct alignas(16) Four {
  float of[4];
};
struct Stages {
  Four of[3][32];
};

// Three copies in a group each; what is there after each wait.
__global__ void in_stages(float* y, const Four* x) {
  Stages& stages = static_shared<Stages>();
  const unsigned i = threadIdx.x;
  for (int stage = 0; stage < 3; ++stage) {
    copy_async(&stages.of[stage][i], x + stage * 32 + i);
    commit_copies();
  }
  const auto look = [&](int when) {
    for (int stage = 0; stage < 3; ++stage)
      y[(i * 4 + static_cast<unsigned>(when)) * 3 + static_cast<unsigned>(stage)] = stages.of[stage][i].of[1];
  };
  look(0);
  wait_for_copies<2>();
  look(1);
  wait_for_copies<1>();
  look(2);
  wait_for_copies<0>();
  look(3);
}

TEST_CASE("emulation: a copy is NaN until it has been waited for") {
  DeviceArray<Four> x(96);
  DeviceArray<float> y(32 * 4 * 3);
  for (std::size_t i = 0; i < 96; ++i)
    x.host[i] = {{0, static_cast<float>(i), 0, 0}};
  x.upload();
  launch<in_stages>({.grid = 1, .block = 32}, y.device(), x.device());
  y.download();
  for (std::size_t i = 0; i < 32; ++i) {
    for (std::size_t when = 0; when < 4; ++when) {
      for (std::size_t stage = 0; stage < 3; ++stage) {
        const float got = y.host[(i * 4 + when) * 3 + stage];
        CHECK((stage < when ? got == static_cast<float>(stage * 32 + i) : got != got));
      }
    }
  }
}

__global__ void part_of_it(float* y, const Four* x, int bytes) {
  Stages& stages = static_shared<Stages>();
  copy_async(&stages.of[0][0], x, bytes);
  commit_copies();
  wait_for_copies<0>();
  for (int i = 0; i < 4; ++i)
    y[i] = stages.of[0][0].of[i];
}

TEST_CASE("emulation: what a copy does not read is zero") {
  DeviceArray<Four> x(1, {{1, 2, 3, 4}});
  DeviceArray<float> y(4);
  for (int floats = 0; floats <= 4; ++floats) {
    launch<part_of_it>({.grid = 1, .block = 1}, y.device(), floats == 0 ? nullptr : x.device(), floats * 4);
    y.download();
    for (int i = 0; i < 4; ++i)
      CHECK(y.host[static_cast<std::size_t>(i)] == static_cast<float>(i < floats ? i + 1 : 0));
  }
}

enum class Flaw {
  misaligned_to,
  misaligned_from,
  outside,
  not_device,
  behind,
  twice,
  no_wait,
  no_commit,
  load
};

template <Flaw F>
__global__ void flawed(unsigned* y, const float* x) {
  Stages& stages = static_shared<Stages>();
  const bool last = threadIdx.x == 31;
  Four* const to = stages.of[F == Flaw::outside && last ? 3 : 0] + threadIdx.x;
  const float* from = x + threadIdx.x * 4;
  if (F == Flaw::misaligned_from && last) from += 1;
  if (F == Flaw::behind && last) from += 4;
  copy_async(F == Flaw::misaligned_to && last ? &to->of[1] : to->of,
             F == Flaw::not_device ? stages.of[1]->of : from);
  if (F == Flaw::twice) copy_async(to, from);
  if (F == Flaw::no_commit) return;
  commit_copies();
  unsigned words[4] = {};
  if (F == Flaw::load) load_matrices(words, to);
  y[threadIdx.x] = words[0];
  if (F != Flaw::no_wait) wait_for_copies<0>();
}

template <Flaw F>
void expect(const std::string& report) {
  DeviceArray<unsigned> y(32);
  DeviceArray<float> x(128, 1.0f);
  expect_fault([&] { launch<flawed<F>>({.grid = 1, .block = 32}, y.device(), x.device()); },
               {"kernel flawed", report, "async_copies_test.cpp:"});
}

TEST_CASE("emulation: what copies do not allow") {
  expect<Flaw::misaligned_to>("the address in shared memory is misaligned");
  expect<Flaw::misaligned_from>("the address in device memory is misaligned");
  expect<Flaw::outside>("it goes outside the block's shared memory");
  expect<Flaw::not_device>("it reads what is not device memory");
  expect<Flaw::behind>("beyond the end of an allocation");
  expect<Flaw::twice>("another copy to the same place is on its way");
  expect<Flaw::no_wait>("the thread ended without a wait for this copy");
  expect<Flaw::no_commit>("the thread ended without a commit of this copy");
  expect<Flaw::load>("is written by an asynchronous copy that has not been waited for");
}

}  // namespace
}  // namespace vitrail::cuda
