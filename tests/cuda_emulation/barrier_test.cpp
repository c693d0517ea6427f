// Barriers and shared memory of the emulation itself.

#include <cuda_launch.h>
#include <doctest/doctest.h>

#include "tests/cuda_emulation/expect_fault.h"

namespace vitrail::cuda {
namespace {

using cuda_emulation::DeviceArray;
using cuda_emulation::expect_fault;

struct Tile {
  float values[256];
};

// y[i] = x[the thread opposite in the block]
__global__ void reverse(float* y, const float* x) {
  Tile& tile = static_shared<Tile>();
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  tile.values[threadIdx.x] = x[i];
  __syncthreads();
  y[i] = tile.values[blockDim.x - 1 - threadIdx.x];
}

__global__ void reverse_without_barrier(float* y, const float* x) {
  Tile& tile = static_shared<Tile>();
  tile.values[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = tile.values[blockDim.x - 1 - threadIdx.x];
}

TEST_CASE("emulation: a barrier lets all see what all wrote, in every order of threads") {
  for (std::uint64_t seed : {0, 1, 2, 3, 4}) {
    cuda_emulation::set_seed(seed);
    DeviceArray<float> x(512), y(512);
    for (std::size_t i = 0; i < 512; ++i)
      x.host[i] = static_cast<float>(i);
    x.upload();
    launch<reverse>({.grid = 2, .block = 256}, y.device(), x.device());
    y.download();
    bool right = true;
    for (std::size_t i = 0; i < 512; ++i)
      right = right && y.host[i] == static_cast<float>(i / 256 * 256 + 255 - i % 256);
    CHECK(right);
  }
}

TEST_CASE("emulation: without the barrier some thread reads NaN") {
  for (std::uint64_t seed : {0, 1, 2}) {
    cuda_emulation::set_seed(seed);
    DeviceArray<float> x(256, 1), y(256);
    launch<reverse_without_barrier>({.grid = 1, .block = 256}, y.device(), x.device());
    y.download();
    int unset = 0;
    for (float value : y.host)
      unset += value != value;
    CHECK(unset > 0);
  }
}

__global__ void barrier_for_some(int most) {
  if (static_cast<int>(threadIdx.x) < most) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void barrier_against_syncwarp() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    if (threadIdx.x == 40) __syncwarp();
    __syncthreads();
  }
}

__global__ void barrier_after_return(int* count) {
  if (threadIdx.x >= 10) return;
  __syncthreads();
  atomicAdd(count, 1);
}

TEST_CASE("emulation: divergent barriers are named") {
  expect_fault([] { launch<barrier_for_some>({.grid = 1, .block = 64}, 40); },
               {"kernel barrier_for_some", "divergent barrier", "barrier_test.cpp:", "__syncthreads"});
  expect_fault([] { launch<barrier_against_syncwarp>({.grid = 3, .block = 64}); },
               {"kernel barrier_against_syncwarp", "divergent barrier", "__syncwarp", "__syncthreads"});
  DeviceArray<int> count(1, 0);
  launch<barrier_after_return>({.grid = 1, .block = 64}, count.device());
  count.download();
  CHECK(count.host[0] == 10);  // threads that have ended are not waited for
}

__global__ void votes(int* y) {
  const int i = static_cast<int>(threadIdx.x);
  y[i] = __syncthreads_count(i % 3 == 0) * 100 + __syncthreads_and(i < 64) * 10 + __syncthreads_or(i == 70);
}

TEST_CASE("emulation: votes of a block") {
  DeviceArray<int> y(64);
  launch<votes>({.grid = 1, .block = 64}, y.device());
  y.download();
  for (int value : y.host)
    CHECK(value == 22 * 100 + 10);
}

__global__ void sum_dynamic(float* y, int n) {
  float* memory = dynamic_shared<float>();
  memory[threadIdx.x] = static_cast<float>(threadIdx.x);
  __syncthreads();
  if (threadIdx.x > 0) return;
  float sum = 0;
  for (int i = 0; i < n; ++i)
    sum += memory[i];
  *y = sum;
}

TEST_CASE("emulation: dynamic shared memory is poisoned, and its ends are watched") {
  DeviceArray<float> y(1);
  const LaunchShape shape{.grid = 1, .block = 32, .shared_bytes = 32 * sizeof(float)};
  launch<sum_dynamic>(shape, y.device(), 32);
  y.download();
  CHECK(y.host[0] == 31 * 16);
  launch<sum_dynamic>(shape, y.device(), 33);  // reads one too many
  y.download();
  CHECK(y.host[0] != y.host[0]);
  expect_fault([&] { launch<sum_dynamic>({.grid = 1, .block = 32, .shared_bytes = 124}, y.device(), 2); },
               {"kernel sum_dynamic", "shared memory was written outside"});
  expect_fault([&] { launch<sum_dynamic>({.grid = 1, .block = 32, .shared_bytes = 200000}, y.device(), 2); },
               {"launch of sum_dynamic", "200000 bytes of shared memory"});
  expect_fault([&] { launch<sum_dynamic>({.grid = 1, .block = 1025}, y.device(), 2); }, {"1025 threads"});
}

__global__ void index_beyond_array(float* y, int at) {
  Tile& tile = static_shared<Tile>();
  tile.values[at + static_cast<int>(threadIdx.x)] = 1;
  *y = tile.values[0];
}

TEST_CASE("emulation: an index beyond a shared array is named with its line") {
  DeviceArray<float> y(1);
  expect_fault(
      [&] { launch<index_beyond_array>({.grid = 1, .block = 32}, y.device(), 225); },
      {"kernel index_beyond_array, block (0, 0, 0), thread (31, 0, 0)", "index 256", "barrier_test.cpp:"});
}

__global__ void order(int* y, int* next) {
  y[atomicAdd(next, 1)] = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
}

TEST_CASE("emulation: the seed gives the order of blocks and threads, and the same one again") {
  const auto run = [](std::uint64_t seed) {
    cuda_emulation::set_seed(seed);
    DeviceArray<int> y(128), next(1, 0);
    launch<order>({.grid = 4, .block = 32}, y.device(), next.device());
    y.download();
    return y.host;
  };
  CHECK(run(1) == run(1));
  CHECK(run(1) != run(2));
  const std::vector<int> natural = run(0);
  for (int i = 0; i < 128; ++i)
    CHECK(natural[static_cast<std::size_t>(i)] == i);
}

}  // namespace
}  // namespace vitrail::cuda
