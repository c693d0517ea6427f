// Warp operations and atomics of the emulation itself.

#include <cuda_launch.h>
#include <doctest/doctest.h>

#include "tests/cuda_emulation/expect_fault.h"

namespace vitrail::cuda {
namespace {

using cuda_emulation::DeviceArray;
using cuda_emulation::expect_fault;

constexpr unsigned kAll = 0xffffffffu;

__global__ void shuffles(int* y) {
  const int lane = static_cast<int>(threadIdx.x) % 32, base = static_cast<int>(threadIdx.x) * 8;
  y[base + 0] = __shfl_sync(kAll, lane, 5);
  y[base + 1] = __shfl_sync(kAll, lane, 9, 8);
  y[base + 2] = __shfl_up_sync(kAll, lane, 3);
  y[base + 3] = __shfl_up_sync(kAll, lane, 3, 16);
  y[base + 4] = __shfl_down_sync(kAll, lane, 3);
  y[base + 5] = __shfl_xor_sync(kAll, lane, 16);
  y[base + 6] = __shfl_xor_sync(kAll, lane, 8, 8);
  y[base + 7] = static_cast<int>(__shfl_down_sync(kAll, static_cast<double>(lane) + 0.5, 1, 4) * 2);
}

TEST_CASE("emulation: shuffles of every kind") {
  for (std::uint64_t seed : {0, 1, 2}) {
    cuda_emulation::set_seed(seed);
    DeviceArray<int> y(64 * 8);
    launch<shuffles>({.grid = 1, .block = 64}, y.device());
    y.download();
    for (int thread = 0; thread < 64; ++thread) {
      const int lane = thread % 32;
      const int* got = y.host.data() + thread * 8;
      CHECK(got[0] == 5);
      CHECK(got[1] == lane / 8 * 8 + 1);
      CHECK(got[2] == (lane < 3 ? lane : lane - 3));
      CHECK(got[3] == (lane % 16 < 3 ? lane : lane - 3));
      CHECK(got[4] == (lane > 28 ? lane : lane + 3));
      CHECK(got[5] == (lane ^ 16));
      CHECK(got[6] == ((lane ^ 8) > (lane | 7) ? lane : (lane ^ 8)));
      CHECK(got[7] == 2 * (lane % 4 == 3 ? lane : lane + 1) + 1);
    }
  }
}

__global__ void votes(unsigned* y) {
  const unsigned lane = threadIdx.x;
  unsigned* to = y + lane * 8;
  to[0] = __ballot_sync(kAll, lane % 3 == 0);
  to[1] = static_cast<unsigned>(__any_sync(kAll, lane == 31) + 2 * __any_sync(kAll, lane == 32));
  to[2] = static_cast<unsigned>(__all_sync(kAll, lane < 32) + 2 * __all_sync(kAll, lane < 31));
  to[3] = __match_any_sync(kAll, lane / 4);
  to[4] = __reduce_add_sync(kAll, lane);
  to[5] = static_cast<unsigned>(__reduce_min_sync(kAll, static_cast<int>(lane) - 7) + 100);
  to[6] = __reduce_max_sync(kAll, lane ^ 7u);
  to[7] = __reduce_xor_sync(kAll, lane) + 10 * __reduce_or_sync(kAll, lane) + __reduce_and_sync(kAll, lane);
}

TEST_CASE("emulation: ballots, votes, matches and reductions") {
  DeviceArray<unsigned> y(32 * 8);
  launch<votes>({.grid = 1, .block = 32}, y.device());
  y.download();
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned* got = y.host.data() + lane * 8;
    CHECK(got[0] == 0x49249249u);
    CHECK(got[1] == 1);
    CHECK(got[2] == 1);
    CHECK(got[3] == 0xfu << (lane / 4 * 4));
    CHECK(got[4] == 31 * 16);
    CHECK(got[5] == 93);
    CHECK(got[6] == 31);
    CHECK(got[7] == 310);
  }
}

// Half warps apart, each with its own mask and its own number of steps.
__global__ void halves(int* y) {
  const int lane = static_cast<int>(threadIdx.x);
  const unsigned mask = lane < 16 ? 0xffffu : 0xffff0000u;
  int value = lane;
  for (int i = 0; i < (lane < 16 ? 1 : 3); ++i)
    value = __shfl_sync(mask, value + 1, lane < 16 ? 2 : 20);
  y[lane] = value;
}

__global__ void mask_without_me(int* y) {
  y[threadIdx.x] = __shfl_sync(0xfu, 1, 0);
}

__global__ void source_without_part(int* y) {
  if (threadIdx.x < 16) y[threadIdx.x] = __shfl_sync(0xffffu, 1, static_cast<int>(threadIdx.x) + 1);
}

__global__ void mask_of_more_than_come(int* y) {
  if (threadIdx.x < 16) {
    y[threadIdx.x] = __shfl_xor_sync(kAll, 1, 1);
  } else {
    __syncthreads();
  }
}

__global__ void missing_syncwarp(float* y) {
  struct Values {
    float of[32];
  };
  Values& values = static_shared<Values>();
  values.of[threadIdx.x] = 1;
  y[threadIdx.x] = values.of[31 - threadIdx.x];
}

TEST_CASE("emulation: masks") {
  DeviceArray<int> y(32);
  launch<halves>({.grid = 1, .block = 32}, y.device());
  y.download();
  for (std::size_t lane = 0; lane < 32; ++lane)
    CHECK(y.host[lane] == (lane < 16 ? 3 : 23));
  expect_fault([&] { launch<mask_without_me>({.grid = 1, .block = 32}, y.device()); },
               {"kernel mask_without_me", "a mask that does not name it", "warp_test.cpp:"});
  expect_fault([&] { launch<source_without_part>({.grid = 1, .block = 32}, y.device()); },
               {"lane 15 reads from lane 16, which takes no part"});
  expect_fault([&] { launch<mask_of_more_than_come>({.grid = 1, .block = 32}, y.device()); },
               {"divergent barrier", "__shfl_xor_sync", "__syncthreads"});
  DeviceArray<float> unset(32);
  launch<missing_syncwarp>({.grid = 1, .block = 32}, unset.device());
  unset.download();
  int nans = 0;
  for (float value : unset.host)
    nans += value != value;
  CHECK(nans > 0);  // lanes are not in step
}

__global__ void atomics(float* f, double* d, int* i, unsigned long long* u) {
  atomicAdd(f, 0.5f);
  atomicAdd(d, 0.25);
  atomicAdd(i, 2);
  atomicAdd(u, 3ull);
  atomicMax(i + 1, static_cast<int>(threadIdx.x));
  atomicMin(i + 2, -static_cast<int>(threadIdx.x));
  atomicCAS(i + 3, 7, 9);
  atomicExch(i + 4, 5);
}

TEST_CASE("emulation: atomics") {
  DeviceArray<float> f(1, 0);
  DeviceArray<double> d(1, 0);
  DeviceArray<int> i(5, 7);
  DeviceArray<unsigned long long> u(1, 0);
  launch<atomics>({.grid = 2, .block = 64}, f.device(), d.device(), i.device(), u.device());
  f.download();
  d.download();
  i.download();
  u.download();
  CHECK(f.host[0] == 64);
  CHECK(d.host[0] == 32);
  CHECK(i.host == std::vector<int>{7 + 256, 63, -63, 9, 5});
  CHECK(u.host[0] == 384);
}

}  // namespace
}  // namespace vitrail::cuda
