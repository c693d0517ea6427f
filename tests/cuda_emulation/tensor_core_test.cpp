// Products on fragments, and the loads that feed them, against plain loops.

#include <cuda_launch.h>
#include <cuda_ptx.h>
#include <doctest/doctest.h>

#include <bit>

#include "tests/cuda_emulation/expect_fault.h"

namespace vitrail::cuda {
namespace {

using cuda_emulation::DeviceArray;
using cuda_emulation::expect_fault;

// What bf16 has exactly.
float small(std::size_t i, int salt) {
  return static_cast<float>(static_cast<int>((i * 37 + static_cast<std::size_t>(salt) * 11) % 61) - 30) / 8;
}
unsigned short bits_of(float value) {
  return static_cast<unsigned short>(std::bit_cast<unsigned>(value) >> 16);
}
DeviceArray<unsigned short>& fill(DeviceArray<unsigned short>& matrix, int salt) {
  for (std::size_t i = 0; i < matrix.host.size(); ++i)
    matrix.host[i] = bits_of(small(i, salt));
  matrix.upload();
  return matrix;
}

// As the PTX ISA numbers them: a_i, b_i and c_i of a lane are one number each.
__device__ int row_of_a(int lane, int i) {
  return i < 2 || (i >= 4 && i < 6) ? lane / 4 : lane / 4 + 8;
}
__device__ int col_of_a(int lane, int i) {
  return i < 4 ? lane % 4 * 2 + i % 2 : lane % 4 * 2 + i % 2 + 8;
}
__device__ int row_of_b(int lane, int i) {
  return i < 2 ? lane % 4 * 2 + i : lane % 4 * 2 + i - 2 + 8;
}
__device__ int row_of_c(int lane, int i) {
  return i < 2 ? lane / 4 : lane / 4 + 8;
}

// c (16, 8) += a (16, 16) · b (16, 8), each row-major
__global__ void multiply(float* c, const unsigned short* a, const unsigned short* b) {
  const int lane = static_cast<int>(threadIdx.x);
  FragmentA of_a{};
  FragmentB of_b{};
  FragmentC of_c{};
  for (int i = 0; i < 8; ++i) {
    const unsigned bits = a[row_of_a(lane, i) * 16 + col_of_a(lane, i)];
    of_a.of[i / 2] |= bits << i % 2 * 16;
  }
  for (int i = 0; i < 4; ++i) {
    const unsigned bits = b[row_of_b(lane, i) * 8 + lane / 4];
    of_b.of[i / 2] |= bits << i % 2 * 16;
    of_c.of[i] = c[row_of_c(lane, i) * 8 + lane % 4 * 2 + i % 2];
  }
  mma(of_c, of_a, of_b);
  for (int i = 0; i < 4; ++i)
    c[row_of_c(lane, i) * 8 + lane % 4 * 2 + i % 2] = of_c.of[i];
}

TEST_CASE("emulation: a product of fragments, in every order of lanes") {
  for (std::uint64_t seed : {0, 1, 2}) {
    cuda_emulation::set_seed(seed);
    DeviceArray<unsigned short> a(256), b(128);
    DeviceArray<float> c(128, 0.5f);
    launch<multiply>({.grid = 1, .block = 32}, c.device(), fill(a, 1).device(), fill(b, 2).device());
    c.download();
    for (std::size_t row = 0; row < 16; ++row) {
      for (std::size_t col = 0; col < 8; ++col) {
        float sum = 0.5f;  // these numbers' sums are exact
        for (std::size_t k = 0; k < 16; ++k)
          sum += small(row * 16 + k, 1) * small(k * 8 + col, 2);
        CHECK(c.host[row * 8 + col] == sum);
      }
    }
  }
  cuda_emulation::set_seed(0);
}

struct Matrices {
  alignas(16) unsigned short of[4 * 64];
};

// Four 8 × 8 matrices, read in twos and fours, straight and transposed: 12 words a lane.
__global__ void load_all(unsigned* y, const unsigned short* x) {
  Matrices& matrices = static_shared<Matrices>();
  for (unsigned i = threadIdx.x; i < 256; i += 32)
    matrices.of[i] = x[i];
  __syncwarp();
  const unsigned short* const row = matrices.of + threadIdx.x * 8;
  unsigned four[4], four_transposed[4], two[2], two_transposed[2];
  load_matrices(four, row);
  load_transposed(four_transposed, row);
  load_matrices(two, threadIdx.x < 16 ? row : nullptr);  // the upper lanes' addresses do not count
  load_transposed(two_transposed, threadIdx.x < 16 ? row : nullptr);
  unsigned* to = y + threadIdx.x * 12;
  for (unsigned word : four)
    *to++ = word;
  for (unsigned word : four_transposed)
    *to++ = word;
  for (unsigned word : two)
    *to++ = word;
  for (unsigned word : two_transposed)
    *to++ = word;
}

TEST_CASE("emulation: matrices are loaded, straight and transposed") {
  DeviceArray<unsigned short> x(256);
  DeviceArray<unsigned> y(32 * 12);
  for (std::size_t i = 0; i < 256; ++i)
    x.host[i] = static_cast<unsigned short>(i);
  x.upload();
  launch<load_all>({.grid = 1, .block = 32}, y.device(), x.device());
  y.download();
  const auto word = [](std::size_t low, std::size_t high) { return static_cast<unsigned>(low | high << 16); };
  for (std::size_t lane = 0; lane < 32; ++lane) {
    const unsigned* got = y.host.data() + lane * 12;
    const std::size_t g = lane / 4, pair = lane % 4 * 2;
    for (std::size_t matrix = 0; matrix < 4; ++matrix) {
      const std::size_t begin = matrix * 64;
      const unsigned straight = word(begin + g * 8 + pair, begin + g * 8 + pair + 1);
      const unsigned transposed = word(begin + pair * 8 + g, begin + (pair + 1) * 8 + g);
      CHECK(got[matrix] == straight);
      CHECK(got[4 + matrix] == transposed);
      if (matrix > 1) continue;
      CHECK(got[8 + matrix] == straight);
      CHECK(got[10 + matrix] == transposed);
    }
  }
}

__global__ void load_beside(unsigned* y, int offset) {
  Matrices& matrices = static_shared<Matrices>();
  unsigned words[4];
  load_matrices(words, matrices.of + static_cast<int>(threadIdx.x) * 8 + offset);
  y[threadIdx.x] = words[0];
}

__global__ void load_from_the_stack(unsigned* y) {
  alignas(16) unsigned short row[8] = {};
  unsigned words[4];
  load_matrices(words, row);
  y[threadIdx.x] = words[0];
}

__global__ void a_lane_apart(float* y) {
  FragmentC c{};
  if (threadIdx.x == 5) {
    __syncthreads();
  } else {
    mma(c, {}, {});
    __syncthreads();
  }
  y[threadIdx.x] = c.of[0];
}

__global__ void all_that_there_are(float* y) {
  FragmentC c{};
  mma(c, {}, {});
  y[threadIdx.x] = c.of[0];
}

__global__ void other_instructions(float* y) {
  Matrices& matrices = static_shared<Matrices>();
  FragmentC c{};
  unsigned words[4] = {};
  if (threadIdx.x < 16) {
    load_matrices(words, matrices.of);
  } else {
    mma(c, {}, {});
  }
  y[threadIdx.x] = c.of[0] + static_cast<float>(words[0]);
}

TEST_CASE("emulation: what instructions of a whole warp do not allow") {
  DeviceArray<unsigned> y(32);
  DeviceArray<float> f(32);
  const LaunchShape shape{.grid = 1, .block = 32};
  expect_fault([&] { launch<load_beside>(shape, y.device(), 4); },
               {"kernel load_beside", "the row of lane 0 is misaligned", "tensor_core_test.cpp:"});
  expect_fault([&] { launch<load_beside>(shape, y.device(), 8); },
               {"the row of lane 31 lies outside the block's shared memory"});
  expect_fault([&] { launch<load_from_the_stack>(shape, y.device()); },
               {"the row of lane 0 lies outside the block's shared memory"});
  expect_fault([&] { launch<a_lane_apart>(shape, f.device()); },
               {"divergent barrier", "waits at mma.sync", "thread (5, 0, 0) waits at __syncthreads"});
  expect_fault([&] { launch<all_that_there_are>({.grid = 1, .block = 24}, f.device()); },
               {"mma.sync", "wants all 32 lanes of a warp; lane 24 has ended or never was"});
  expect_fault([&] { launch<other_instructions>(shape, f.device()); },
               {"divergent barrier", "waits at ldmatrix", "waits at mma.sync"});
}

}  // namespace
}  // namespace vitrail::cuda
