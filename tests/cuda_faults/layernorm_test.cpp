// Broken copies of LayerNorm's forward (a warp a row), with the reductions of reduce.cuh.

#include <doctest/doctest.h>

#include <cmath>

#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vector.cuh"
#include "tests/cuda_emulation/expect_fault.h"
#include "tests/cuda_faults/broken.h"

namespace vitrail::cuda {
namespace {

using cuda_emulation::DeviceArray;

enum class Flaw {
  none,
  half_mask,        // half a warp is named, all take part
  step_missing,     // the widest exchange of the sum
  down_for_xor,     // only lane 0 has the sum
  early_return,     // lanes without numbers leave before the sum
  number_too_many,  // of a row, read
  number_too_few,   // of a row, written
  row_too_many,     // written
  row_before,       // written
  far_away,         // an index of the wrong sign and size
  misaligned,       // packs of four in rows of 29
  one_block_for_all,
};

constexpr int kRowCount = 7, kDim = 29, kWarps = 2;
constexpr std::size_t kNumbers = std::size_t{kRowCount} * kDim;

template <Flaw F>
__device__ float sum_of_row(float value) {
  if constexpr (F == Flaw::half_mask) {
    for (int bits = 16; bits > 0; bits /= 2)
      value += __shfl_xor_sync(0xffffu, value, bits);
    return value;
  } else if constexpr (F == Flaw::step_missing) {
    return warp_sum<16>(value);
  } else if constexpr (F == Flaw::down_for_xor) {
    for (unsigned step = 16; step > 0; step /= 2)
      value += __shfl_down_sync(kAllLanes, value, step);
    return value;
  } else {
    return warp_sum(value);
  }
}

template <Flaw F>
__global__ void layernorm_copy(float* y, const float* x) {
  const int row = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if (row >= kRowCount + (F == Flaw::row_too_many ? 1 : 0)) return;
  if (F == Flaw::early_return && lane >= kDim) return;
  if (F == Flaw::misaligned && lane == 0) {
    const Pack<float, 4> pack = load<4>(x + row * kDim);
    store(y + row * kDim, pack);
  }
  const bool inside = lane < kDim + (F == Flaw::number_too_many ? 1 : 0);
  const float value = inside ? x[row * kDim + lane] : 0.0f;
  const float mean = sum_of_row<F>(value) / kDim;
  const float difference = inside ? value - mean : 0.0f;
  const float variance = sum_of_row<F>(difference * difference) / kDim;
  if (lane >= kDim - (F == Flaw::number_too_few ? 1 : 0)) return;
  const int shift = F == Flaw::row_before ? -kDim : 0;
  const std::int64_t scale = F == Flaw::far_away ? -(std::int64_t{1} << 28) : 1;
  y[(row * kDim + lane + shift) * scale] = difference / sqrtf(variance);
}

template <Flaw F>
Numbers normed() {
  DeviceArray<float> x(kNumbers), y(kNumbers);
  x.host = some_numbers(kNumbers, 2);
  x.upload();
  const unsigned blocks = F == Flaw::one_block_for_all ? 1 : (kRowCount + kWarps - 1) / kWarps;
  launch<layernorm_copy<F>>({.grid = blocks, .block = 32 * kWarps}, y.device(), x.device());
  y.download();
  return y.host;
}

Numbers expected_norm() {
  Numbers x = some_numbers(kNumbers, 2);
  for (std::size_t row = 0; row < kRowCount; ++row) {
    double sum = 0, squares = 0;
    for (std::size_t i = 0; i < kDim; ++i)
      sum += static_cast<double>(x[row * kDim + i]);
    for (std::size_t i = 0; i < kDim; ++i)
      squares += std::pow(static_cast<double>(x[row * kDim + i]) - sum / kDim, 2);
    for (std::size_t i = 0; i < kDim; ++i) {
      float& value = x[row * kDim + i];
      value = static_cast<float>((static_cast<double>(value) - sum / kDim) / std::sqrt(squares / kDim));
    }
  }
  return x;
}

template <Flaw F>
Broken broken(const char* fault, const std::vector<std::string>& report) {
  return {fault, report, normed<F>, normed<Flaw::none>, expected_norm()};
}

TEST_CASE("cuda faults: LayerNorm") {
  check_all({
      broken<Flaw::half_mask>("a mask without half of the lanes",
                              {"kernel layernorm_copy", "__shfl_xor_sync in layernorm_test.cpp:",
                               "with a mask that does not name it"}),
      broken<Flaw::step_missing>("the sum lacks its widest exchange", {kWrongNumbers}),
      broken<Flaw::down_for_xor>("the sum is read where it is not whole", {kWrongNumbers}),
      broken<Flaw::early_return>("lanes return before a shuffle that reads from them",
                                 {"kernel layernorm_copy", "takes no part or has ended"}),
      broken<Flaw::number_too_many>("one number too many is read", {kWrongNumbers}),
      broken<Flaw::number_too_few>("one number too few is written", {kWrongNumbers}),
      broken<Flaw::row_too_many>("one row too many is written",
                                 {"layernorm_copy", "wrote behind an allocation of 812 bytes"}),
      broken<Flaw::row_before>("the row before the first is written",
                               {"layernorm_copy", "wrote before an allocation of 812 bytes"}),
      broken<Flaw::far_away>("an index far outside", {"kernel layernorm_copy", "access out of bounds"}),
      broken<Flaw::misaligned>("packs of four in rows of 29",
                               {"kernel layernorm_copy", "misaligned access", "Pack", "vector.cuh:"}),
      broken<Flaw::one_block_for_all>("a grid of one block for all rows", {kWrongNumbers}),
  });
}

// block_sum of reduce.cuh, twice behind each other as the loss does it.
enum class SumFlaw { none, no_first_barrier, no_warp_mask };

template <SumFlaw F>
__device__ float block_sum_copy(float value) {
  BlockSums<float>& sums = static_shared<BlockSums<float>>();
  const unsigned lane = threadIdx.x % 32, warps = blockDim.x / 32;
  value = warp_sum(value);
  if constexpr (F != SumFlaw::no_first_barrier) __syncthreads();  // an earlier sum has been read
  if (lane == 0) sums.of_warp[threadIdx.x / 32] = value;
  __syncthreads();
  return warp_sum(lane < warps || F == SumFlaw::no_warp_mask ? sums.of_warp[lane] : 0.0f);
}

template <SumFlaw F>
__global__ void two_sums(float* y) {
  const auto value = static_cast<float>(threadIdx.x);
  const float first = block_sum_copy<F>(value), second = block_sum_copy<F>(2 * value);
  y[threadIdx.x] = first + 4 * second;
}

constexpr unsigned kSumThreads = 256;

template <SumFlaw F>
Numbers summed() {
  DeviceArray<float> y(kSumThreads);
  launch<two_sums<F>>({.grid = 1, .block = kSumThreads}, y.device());
  y.download();
  return y.host;
}

TEST_CASE("cuda faults: sums of a block") {
  const Numbers expected(kSumThreads, 9 * 255 * 128.0f);
  check_all({
      {"the next sum overwrites what others still read",
       {kWrongNumbers},
       summed<SumFlaw::no_first_barrier>,
       summed<SumFlaw::none>,
       expected},
      {"the sums of warps that the block does not have",
       {kWrongNumbers},
       summed<SumFlaw::no_warp_mask>,
       summed<SumFlaw::none>,
       expected},
  });
}

}  // namespace
}  // namespace vitrail::cuda
