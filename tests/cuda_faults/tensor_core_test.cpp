// Broken copies of the plan of attention on tensor cores: two stages of tiles copied beside the arithmetic,
// matrix loads, products whose results are the next product's operand. Weights are q·k + 1 in place of a
// softmax, of small whole numbers: every sum is exact. One head of 16 numbers, two warps, tiles of 16 keys.

#include <cuda_bf16.h>
#include <cuda_launch.h>
#include <cuda_ptx.h>
#include <doctest/doctest.h>

#include <cstring>

#include "tests/cuda_emulation/expect_fault.h"
#include "tests/cuda_faults/broken.h"

namespace vitrail::cuda {
namespace {

using cuda_emulation::DeviceArray;

enum class Flaw {
  none,
  no_wait,          // a tile is read that nobody waited for
  waits_for_fewer,  // the last group may be on its way
  no_commit,        // the wait has nothing to wait for
  no_barrier,       // others' copies are not there
  one_stage,        // a tile is overwritten while it is read
  odd_stride,       // rows in shared memory are not whole pieces apart
  odd_begin,        // rows in device memory do not begin with a piece
  past_the_end,     // rows behind the last token are read too
  wrong_rows,       // lanes give the rows of another matrix
  not_transposed,   //
  swapped_a,        // words of a fragment A
  swapped_b,        // words of a fragment B
  halves_of_words,  // the two numbers of a word
  kept_scores,      // accumulators of the tile before
  no_mask,          // keys behind the last token count
  mask_by_one,      //
  lanes_return,     // lanes without a query end
  lanes_leave_out,  // lanes without a query take no part
};

constexpr int kTokens = 36, kDim = 16, kTile = 16, kWarps = 2, kColumns = kDim + 1;  // the last: Σ weights
using Bf16 = __nv_bfloat16;

__device__ unsigned word(float low, float high) {
  const __nv_bfloat162 pack = __floats2bfloat162_rn(low, high);
  unsigned both;
  std::memcpy(&both, &pack, sizeof(both));
  return both;
}

template <Flaw F>
constexpr int kStride = F == Flaw::odd_stride ? kDim + 4 : kDim + 8;

template <Flaw F>
__device__ void fetch(Bf16* tile, const Bf16* rows, int first) {
  const int row = static_cast<int>(threadIdx.x) % 32 / 2, column = static_cast<int>(threadIdx.x) % 2 * 8;
  const bool inside = first + row < kTokens || F == Flaw::past_the_end;
  copy_async(tile + row * kStride<F> + column,
             inside ? rows + (first + row) * kDim + column + (F == Flaw::odd_begin ? 1 : 0) : nullptr,
             inside ? 16 : 0);
}

// Rows are the columns of a product, or with `transposed` its depth.
template <Flaw F>
__device__ void load(FragmentB (&b)[2], const Bf16* tile, bool transposed) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int row = lane / 16 * 8 + lane % 8, column = lane / 8 % 2 * 8;
  if (transposed != (F == Flaw::wrong_rows)) {
    row = lane % 16;
    column = lane / 16 * 8;
  }
  unsigned words[4];
  if (transposed && F != Flaw::not_transposed) {
    load_transposed(words, tile + row * kStride<F> + column);
  } else {
    load_matrices(words, tile + row * kStride<F> + column);
  }
  for (int i = 0; i < 2; ++i) {
    b[i] = {{words[2 * i], words[2 * i + 1]}};
    if (F == Flaw::swapped_b) b[i] = {{words[2 * i + 1], words[2 * i]}};
  }
}

template <Flaw F>
__global__ void attention_copy_mma(float* y, const Bf16* query, const Bf16* keys, const Bf16* values) {
  Bf16* const stages = dynamic_shared<Bf16>();
  constexpr int kNumbers = kTile * kStride<F>;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int row = (static_cast<int>(blockIdx.x) * kWarps + warp) * 16 + lane / 4, pair = lane % 4 * 2;
  const auto stage_of = [&](int first) {
    return stages + (F == Flaw::one_stage ? 0 : first / kTile % 2 * 2 * kNumbers);
  };
  const auto fetch_both = [&](int first) {
    fetch<F>(stage_of(first) + warp * kNumbers, warp == 0 ? keys : values, first);
    if (F != Flaw::no_commit) commit_copies();
  };
  fetch_both(0);
  FragmentA a{};
  for (int i = 0; i < 4; ++i) {
    const int token = row + i % 2 * 8, column = pair + i / 2 * 8;
    if (token < kTokens) std::memcpy(&a.of[i], query + token * kDim + column, 4);
  }
  if (F == Flaw::swapped_a) std::swap(a.of[1], a.of[2]);
  if (F == Flaw::lanes_return && row >= kTokens) {
    wait_for_copies<0>();
    return;
  }
  FragmentC sums[2] = {}, scores[2] = {};
  float totals[2] = {};
  for (int first = 0; first < kTokens; first += kTile) {
    if (F != Flaw::no_wait) wait_for_copies<F == Flaw::waits_for_fewer ? 1 : 0>();
    if (F != Flaw::no_barrier) __syncthreads();
    if (first + kTile < kTokens) fetch_both(first + kTile);
    if (F == Flaw::lanes_leave_out && row >= kTokens) continue;
    FragmentB b[2];
    load<F>(b, stage_of(first), false);
    for (int i = 0; i < 2; ++i) {
      if (F != Flaw::kept_scores) scores[i] = {};
      mma(scores[i], a, b[i]);
      for (int x = 0; x < 4; ++x) {
        const int key = first + i * 8 + pair + x % 2;
        const bool counts = F == Flaw::no_mask || key < kTokens + (F == Flaw::mask_by_one ? 1 : 0);
        const float weight = counts ? scores[i].of[x] + 1 : 0.0f;
        totals[x / 2] += weight;
        if (F != Flaw::kept_scores || !counts) scores[i].of[x] = weight;
      }
    }
    FragmentA weights;
    for (int i = 0; i < 4; ++i) {
      const float* of = scores[i / 2].of + i % 2 * 2;
      weights.of[i] = F == Flaw::halves_of_words ? word(of[1], of[0]) : word(of[0], of[1]);
    }
    load<F>(b, stage_of(first) + kNumbers, true);
    for (int i = 0; i < 2; ++i)
      mma(sums[i], weights, b[i]);
  }
  wait_for_copies<0>();
  for (int half = 0; half < 2; ++half) {
    float total = totals[half];
    total += __shfl_xor_sync(0xffffffffu, total, 1);
    total += __shfl_xor_sync(0xffffffffu, total, 2);
    const int token = row + half * 8;
    if (token >= kTokens) continue;
    for (int i = 0; i < 4; ++i)
      y[token * kColumns + i / 2 * 8 + pair + i % 2] = sums[i / 2].of[half * 2 + i % 2];
    y[token * kColumns + kDim] = total;
  }
}

float whole_number(std::size_t i, int salt) {
  return static_cast<float>((static_cast<int>(i) * 7 + static_cast<int>(i) / 5 + salt * 3) % 5 - 2);
}

template <Flaw F>
Numbers attended() {
  constexpr std::size_t kNumbers = std::size_t{kTokens} * kDim;
  DeviceArray<Bf16> query(kNumbers), key(kNumbers), value(kNumbers);
  int salt = 0;
  for (DeviceArray<Bf16>* array : {&query, &key, &value}) {
    for (std::size_t i = 0; i < kNumbers; ++i)
      array->host[i] = __float2bfloat16(whole_number(i, salt));
    array->upload();
    ++salt;
  }
  DeviceArray<float> y(std::size_t{kTokens} * kColumns);
  launch<attention_copy_mma<F>>({.grid = (kTokens + 16 * kWarps - 1) / (16 * kWarps),
                                 .block = 32 * kWarps,
                                 .shared_bytes = 4 * kTile * kStride<F> * sizeof(Bf16)},
                                y.device(), query.device(), key.device(), value.device());
  y.download();
  return y.host;
}

Numbers expected_attention() {
  Numbers y(std::size_t{kTokens} * kColumns, 0);
  const auto at = [](std::size_t row, std::size_t d, int salt) { return whole_number(row * kDim + d, salt); };
  for (std::size_t row = 0; row < kTokens; ++row) {
    float* of = y.data() + row * kColumns;
    for (std::size_t key = 0; key < kTokens; ++key) {
      float weight = 1;
      for (std::size_t d = 0; d < kDim; ++d)
        weight += at(row, d, 0) * at(key, d, 1);
      for (std::size_t d = 0; d < kDim; ++d)
        of[d] += weight * at(key, d, 2);
      of[kDim] += weight;
    }
  }
  return y;
}

template <Flaw F>
Broken broken(const char* fault, const std::vector<std::string>& report) {
  return {fault, report, attended<F>, attended<Flaw::none>, expected_attention()};
}

const std::string kNotWaited = "is written by an asynchronous copy that has not been waited for";

TEST_CASE("cuda faults: tensor cores") {
  check_all({
      broken<Flaw::no_wait>("nobody waits for the copies",
                            {"kernel attention_copy_mma", kNotWaited, "tensor_core_test.cpp:"}),
      broken<Flaw::waits_for_fewer>("the wait leaves the last group on its way", {kNotWaited}),
      broken<Flaw::no_commit>("the copies are no group that a wait knows", {kNotWaited}),
      broken<Flaw::no_barrier>("no barrier between the wait and the reads", {kNotWaited}),
      broken<Flaw::one_stage>("a tile is copied over the one that is read", {kNotWaited}),
      broken<Flaw::odd_stride>("rows in shared memory are 40 bytes apart",
                               {"cp.async: the address in shared memory is misaligned"}),
      broken<Flaw::odd_begin>("rows in device memory begin two bytes late",
                              {"cp.async: the address in device memory is misaligned"}),
      broken<Flaw::past_the_end>("rows behind the last token are read", {"beyond the end of an allocation"}),
      broken<Flaw::wrong_rows>("lanes give the rows of another matrix", {kWrongNumbers}),
      broken<Flaw::not_transposed>("values are loaded like keys", {kWrongNumbers}),
      broken<Flaw::swapped_a>("words of a fragment A are swapped", {kWrongNumbers}),
      broken<Flaw::swapped_b>("words of a fragment B are swapped", {kWrongNumbers}),
      broken<Flaw::halves_of_words>("the two weights of a word are swapped", {kWrongNumbers}),
      broken<Flaw::kept_scores>("the accumulators begin with the tile before", {kWrongNumbers}),
      broken<Flaw::no_mask>("keys behind the last token count", {kWrongNumbers}),
      broken<Flaw::mask_by_one>("one key behind the last token counts", {kWrongNumbers}),
      broken<Flaw::lanes_return>("lanes without a query end", {"wants all 32 lanes of a warp; lane"}),
      broken<Flaw::lanes_leave_out>("lanes without a query take no part",
                                    {"divergent barrier", "waits at ldmatrix"}),
  });
}

}  // namespace
}  // namespace vitrail::cuda
