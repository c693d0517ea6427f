// Broken copies of elementwise kernels, sums and masks in bf16.

#include <doctest/doctest.h>

#include "kernels/cuda/dropout_mask.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vector.cuh"
#include "tests/cuda_emulation/expect_fault.h"
#include "tests/cuda_faults/bf16.h"
#include "tests/cuda_faults/broken.h"

namespace vitrail::cuda {
namespace {

using cuda_emulation::DeviceArray;

enum class Flaw {
  none,
  packs_anywhere,   // packs of eight that begin on an odd number
  no_tail,          // what is left behind the last whole pack
  tail_of_eight,    // a whole pack where less is left
  packs_of_four,    // read, where eight are written
  f32_operand,      // bf16 read as f32
  truncated,        // the upper half of an f32, not rounded
  pre_not_rounded,  // the result is not of what is kept
};

constexpr std::int64_t kSize = 8 * 37 + 5;

template <Flaw F>
__device__ void round_copy(Bf16& to, float value) {
  if constexpr (F == Flaw::truncated) {
    to = __float2bfloat16_rz(value);
  } else {
    to = __float2bfloat16(value);
  }
}

// pre = 1.1 · x,   y = pre², of pre as it is kept
template <Flaw F, int Width>
__device__ void square(Bf16* y, Bf16* pre, const Bf16* x) {
  constexpr int kRead = F == Flaw::packs_of_four && Width == 8 ? 4 : Width;
  Pack<float, Width> value{};
  if constexpr (F == Flaw::f32_operand) {
    value = load<Width>(reinterpret_cast<const float*>(x));
  } else {
    const Pack<float, kRead> part = load_floats<kRead>(x);
    for (int i = 0; i < kRead; ++i)
      value.of[i] = part.of[i];
  }
  Pack<Bf16, Width> kept, result;
  for (int i = 0; i < Width; ++i) {
    const float product = 1.1f * value.of[i];
    round_copy<F>(kept.of[i], product);
    const float factor = F == Flaw::pre_not_rounded ? product : __bfloat162float(kept.of[i]);
    round_copy<F>(result.of[i], factor * factor);
  }
  store(pre, kept);
  store(y, result);
}

// In packs of eight, the rest one by one.
template <Flaw F>
__global__ void square_copy(Bf16* y, Bf16* pre, const Bf16* x) {
  const std::int64_t first = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * 8;
  if (first >= kSize) return;
  if (first + 8 <= kSize || F == Flaw::tail_of_eight) return square<F, 8>(y + first, pre + first, x + first);
  if (F == Flaw::no_tail) return;
  for (std::int64_t i = first; i < kSize; ++i)
    square<F, 1>(y + i, pre + i, x + i);
}

template <Flaw F>
Numbers squares() {
  constexpr std::size_t kShift = F == Flaw::packs_anywhere ? 1 : 0;
  DeviceArray<Bf16> x(kSize + kShift), pre(kSize + 8), y(kSize + kShift);
  x.host = bf16_of(some_numbers(kSize + kShift, 3));
  x.upload();
  launch<square_copy<F>>({.grid = 2, .block = 32}, y.device() + kShift, pre.device() + kShift,
                         x.device() + kShift);
  y.download();
  return floats_of({y.host.begin() + kShift, y.host.end()});
}

Numbers expected_squares() {
  Numbers values = rounded(some_numbers(kSize, 3));
  for (float& value : values)
    value = rounded(1.1f * value);
  for (float& value : values)
    value = rounded(value * value);
  return values;
}

template <Flaw F>
Broken broken(const char* fault, const std::vector<std::string>& report) {
  return {fault, report, squares<F>, squares<Flaw::none>, expected_squares()};
}

TEST_CASE("cuda faults: numbers of bf16 in packs of eight") {
  check_all({
      broken<Flaw::packs_anywhere>("packs that begin on an odd number",
                                   {"kernel square_copy", "misaligned access", "Pack", "vector.cuh:"}),
      broken<Flaw::no_tail>("nobody for the numbers behind the last pack", {kWrongNumbers}),
      broken<Flaw::tail_of_eight>("a whole pack where five numbers are left",
                                  {"square_copy", "wrote behind an allocation of 602 bytes"}),
      broken<Flaw::packs_of_four>("half of each pack is read", {kWrongNumbers}),
      broken<Flaw::f32_operand>("bf16 read as f32", {"kernel square_copy", "misaligned access"}),
      broken<Flaw::truncated>("cut off where it should be rounded", {kWrongNumbers}),
      broken<Flaw::pre_not_rounded>("the square is not of what is kept", {kWrongNumbers}),
  });
}

// A mask of eight elements is two draws of four numbers.
enum class MaskFlaw { none, one_draw, next_sample };

constexpr std::int64_t kMaskSize = 64;

template <MaskFlaw F>
__global__ void mask_copy(float* y, DropoutMask mask) {
  const std::int64_t element = std::int64_t{threadIdx.x} * 8;
  Pack<float, 8> factor = mask.at<8>(0, element);
  if constexpr (F != MaskFlaw::none) {
    const bool next = F == MaskFlaw::next_sample;
    const Pack<float, 4> second = next ? mask.at<4>(1, element) : mask.at<4>(0, element);
    for (int i = 0; i < 4; ++i)
      factor.of[4 + i] = second.of[i];
  }
  store(y + element, factor);
}

constexpr Dropout kDropout{.rate = 0.5, .key = {.seed = 4, .purpose = Purpose::mlp_drop}, .first_sample = 0};

template <MaskFlaw F>
Numbers mask() {
  DeviceArray<float> y(kMaskSize);
  launch<mask_copy<F>>({.grid = 1, .block = kMaskSize / 8}, y.device(), DropoutMask(kDropout));
  y.download();
  return y.host;
}

TEST_CASE("cuda faults: masks of eight") {
  Numbers expected;
  for (std::uint32_t i = 0; i < kMaskSize; ++i)
    expected.push_back(uniform(random4(kDropout.key, 0, i / 4)[i % 4]) < kDropout.rate ? 0.0f : 2.0f);
  check_all({
      {"the second half has the first one's numbers",
       {kWrongNumbers},
       mask<MaskFlaw::one_draw>,
       mask<MaskFlaw::none>,
       expected},
      {"the second half has the next sample's",
       {kWrongNumbers},
       mask<MaskFlaw::next_sample>,
       mask<MaskFlaw::none>,
       expected},
  });
}

// A warp's sum over a row of bf16 numbers, as LayerNorm's backward has it.
enum class SumFlaw { none, bf16_sums, pack_of_x };

constexpr int kRow = 256;

template <SumFlaw F>
__global__ void row_sum(float* y, const Bf16* dy, const float* x) {
  float sum = 0;
  for (int first = static_cast<int>(threadIdx.x) * 4; first < kRow; first += 128) {
    const Pack<float, 4> d = load_floats<4>(F == SumFlaw::pack_of_x ? dy + first / 2 : dy + first);
    const Pack<float, 4> value = load<4>(x + first);
    for (int i = 0; i < 4; ++i) {
      sum += d.of[i] * value.of[i];
      if (F == SumFlaw::bf16_sums) sum = __bfloat162float(__float2bfloat16(sum));
    }
  }
  sum = warp_sum(sum);
  if (threadIdx.x == 0) *y = sum;
}

template <SumFlaw F>
Numbers summed() {
  DeviceArray<Bf16> dy(kRow);
  DeviceArray<float> x(kRow), y(1);
  dy.host = bf16_of(some_numbers(kRow, 5));
  x.host = some_numbers(kRow, 6);
  dy.upload();
  x.upload();
  launch<row_sum<F>>({.grid = 1, .block = 32}, y.device(), dy.device(), x.device());
  y.download();
  return y.host;
}

TEST_CASE("cuda faults: sums of bf16 numbers") {
  const Numbers dy = rounded(some_numbers(kRow, 5)), x = some_numbers(kRow, 6);
  double sum = 0;
  for (std::size_t i = 0; i < kRow; ++i)
    sum += static_cast<double>(dy[i]) * static_cast<double>(x[i]);
  const Numbers expected{static_cast<float>(sum)};
  check_all({
      {"each partial sum is rounded",
       {kWrongNumbers},
       summed<SumFlaw::bf16_sums>,
       summed<SumFlaw::none>,
       expected},
      {"dy is read at x's distance in bytes",
       {"kernel row_sum", "misaligned access"},
       summed<SumFlaw::pack_of_x>,
       summed<SumFlaw::none>,
       expected},
  });
}

}  // namespace
}  // namespace vitrail::cuda
