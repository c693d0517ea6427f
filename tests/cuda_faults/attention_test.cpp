// Broken copies of the attention forward's plan: tiles of keys and values in dynamic shared memory, weights
// shared within a warp. One head of 32 numbers, a warp a query, no running maximum.

#include <cuda_launch.h>
#include <doctest/doctest.h>

#include <cmath>

#include "tests/cuda_emulation/expect_fault.h"
#include "tests/cuda_faults/broken.h"

namespace vitrail::cuda {
namespace {

using cuda_emulation::DeviceArray;

enum class Flaw {
  none,
  no_barrier_before,  // a tile is overwritten while it is read
  no_barrier_after,   // a tile is read while it is written
  barrier_in_branch,  // warps without a query leave the loop
  no_mask,            // keys behind the last token count
  no_syncwarp,
  too_little_shared,  // the weights were forgotten
  too_much_shared,
  too_many_threads,
};

constexpr int kTokens = 45, kDim = 32, kTileRows = 32, kWarps = 4, kStride = kDim + 1;
constexpr float kScale = 0.1f;
constexpr std::size_t kTileFloats = 2 * kTileRows * kStride, kWeightFloats = kWarps * kTileRows;

template <Flaw F>
__global__ void attention_copy(float* y, const float* query, const float* keys, const float* values) {
  float* const key = dynamic_shared<float>();
  float* const value = key + kTileRows * kStride;
  float* const weights = value + kTileRows * kStride;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int row = static_cast<int>(blockIdx.x) * kWarps + warp;
  float sum = 0, total = 0;
  for (int first = 0; first < kTokens; first += kTileRows) {
    if constexpr (F == Flaw::barrier_in_branch) {
      if (row >= kTokens) break;
    }
    if constexpr (F != Flaw::no_barrier_before) __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < kTileRows * kDim; i += 32 * kWarps) {
      const int token = first + i / kDim, place = i / kDim * kStride + i % kDim;
      key[place] = token < kTokens ? keys[token * kDim + i % kDim] : 0.0f;
      value[place] = token < kTokens ? values[token * kDim + i % kDim] : 0.0f;
    }
    if constexpr (F != Flaw::no_barrier_after) __syncthreads();
    float score = 0;
    for (int d = 0; d < kDim && row < kTokens; ++d)
      score += query[row * kDim + d] * key[lane * kStride + d];
    const bool counts = F == Flaw::no_mask || first + lane < kTokens;
    weights[warp * kTileRows + lane] = counts ? expf(kScale * score) : 0.0f;
    if constexpr (F != Flaw::no_syncwarp) __syncwarp();
    for (int k = 0; k < kTileRows; ++k) {
      total += weights[warp * kTileRows + k];
      sum += weights[warp * kTileRows + k] * value[k * kStride + lane];
    }
  }
  if constexpr (F == Flaw::barrier_in_branch) __syncthreads();
  if (row < kTokens) y[row * kDim + lane] = sum / total;
}

template <Flaw F>
Numbers attended() {
  constexpr std::size_t kNumbers = std::size_t{kTokens} * kDim;
  DeviceArray<float> query(kNumbers), key(kNumbers), value(kNumbers), y(kNumbers);
  int salt = 3;
  for (DeviceArray<float>* array : {&query, &key, &value}) {
    array->host = some_numbers(kNumbers, salt++);
    array->upload();
  }
  std::size_t floats = kTileFloats + kWeightFloats;
  if (F == Flaw::too_little_shared) floats = kTileFloats;
  if (F == Flaw::too_much_shared) floats = 60000;
  launch<attention_copy<F>>({.grid = (kTokens + kWarps - 1) / kWarps,
                             .block = F == Flaw::too_many_threads ? 2048 : 32 * kWarps,
                             .shared_bytes = floats * sizeof(float)},
                            y.device(), query.device(), key.device(), value.device());
  y.download();
  return y.host;
}

Numbers expected_attention() {
  const std::size_t n = std::size_t{kTokens} * kDim;
  const Numbers query = some_numbers(n, 3), key = some_numbers(n, 4), value = some_numbers(n, 5);
  const auto at = [](const Numbers& of, int row, int d) {
    return static_cast<double>(of[static_cast<std::size_t>(row * kDim + d)]);
  };
  Numbers y;
  for (int row = 0; row < kTokens; ++row) {
    std::vector<double> sums(kDim, 0);
    double total = 0;
    for (int k = 0; k < kTokens; ++k) {
      double score = 0;
      for (int d = 0; d < kDim; ++d)
        score += at(query, row, d) * at(key, k, d);
      total += std::exp(static_cast<double>(kScale) * score);
      for (int d = 0; d < kDim; ++d)
        sums[static_cast<std::size_t>(d)] += std::exp(static_cast<double>(kScale) * score) * at(value, k, d);
    }
    for (double sum : sums)
      y.push_back(static_cast<float>(sum / total));
  }
  return y;
}

template <Flaw F>
Broken broken(const char* fault, const std::vector<std::string>& report) {
  return {fault, report, attended<F>, attended<Flaw::none>, expected_attention()};
}

TEST_CASE("cuda faults: attention") {
  check_all({
      broken<Flaw::no_barrier_before>("a tile is overwritten while others read it", {kWrongNumbers}),
      broken<Flaw::no_barrier_after>("a tile is read while others write it", {kWrongNumbers}),
      broken<Flaw::barrier_in_branch>(
          "warps without a query wait at another barrier",
          {"kernel attention_copy", "block (11, 0, 0)", "divergent barrier", "attention_test.cpp:"}),
      broken<Flaw::no_mask>("keys behind the last token count", {kWrongNumbers}),
      broken<Flaw::no_syncwarp>("weights are read before the warp has written them", {kWrongNumbers}),
      broken<Flaw::too_little_shared>("the launch forgets a part of the shared memory",
                                      {"kernel attention_copy", "shared memory was written outside"}),
      broken<Flaw::too_much_shared>("more shared memory than there is",
                                    {"launch of attention_copy", "240000 bytes of shared memory"}),
      broken<Flaw::too_many_threads>("more threads than a block may have",
                                     {"launch of attention_copy", "2048 threads"}),
  });
}

}  // namespace
}  // namespace vitrail::cuda
