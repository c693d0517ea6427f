// Attention forward in bf16 on tensor cores: scores, online softmax (Milakov and Gimelshein, arXiv
// 1805.02867) and the sum over values in one kernel. Per pair of sample and head 4·tokens²·D FLOPs, with
// queries in wholes of 16·M a warp and keys in wholes of 16, and 8·tokens·D bytes of qkv and y (keys and
// values again for every 64·M queries, from the second cache). Shared memory: 512·(D + 8) bytes, 36 KB at D
// = 64.

#include "kernels/cuda/attention_bf16.h"
#include "kernels/cuda/attention_mma.cuh"

namespace vitrail::cuda {
namespace {

struct Forward {
  Bf16* y;
  float* lse;
  const Bf16* qkv;
  AttentionSizes sizes;
  float scale;
  DropoutMask dropout;
};

constexpr int kGroups = kMmaTile / kGroup;

// What is known of a row's softmax so far, in units of scores. `sum` is the thread's own share.
struct SoftmaxRow {
  float most = -INFINITY, sum = 0;
};

// Scores of one half of a fragment's rows become 2^(factor · (scores − most)); returns the factor of what was
// summed with an earlier maximum.
template <int M>
__device__ __forceinline__ float exponentiate(FragmentC (&scores)[kGroups][M][2], int m, int half,
                                              SoftmaxRow& row, float factor) {
  float most = row.most;
#pragma unroll
  for (int group = 0; group < kGroups; ++group)
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float* of = scores[group][m][i].of + half * 2;
      most = fmaxf(most, fmaxf(of[0], of[1]));
    }
  most = warp_max<4>(most);
  const float earlier = fast_exp2((row.most - most) * factor), shift = most * factor;
  row.most = most;
  row.sum *= earlier;
#pragma unroll
  for (int group = 0; group < kGroups; ++group)
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int x = half * 2; x < half * 2 + 2; ++x) {
        float& score = scores[group][m][i].of[x];
        score = fast_exp2(score * factor - shift);
        row.sum += score;
      }
  return earlier;
}

// `keeps` as keeps_of_queries gives them.
template <int M>
__device__ __forceinline__ void drop(FragmentC (&weights)[kGroups][M][2], int m, unsigned keeps, float kept) {
#pragma unroll
  for (int i = 0; i < 2 * kGroups; ++i)
#pragma unroll
    for (int x = 0; x < 4; ++x)
      weights[i / 2][m][i % 2].of[x] *= (keeps >> (4 * i + x) & 1) != 0 ? kept : 0;
}

// Drawing masks takes the registers of the second sixteen rows.
constexpr int row_tiles_with(int dim, bool dropped) {
  return dropped ? 1 : row_tiles(dim);
}

template <int D, bool Dropped>
__global__ void __launch_bounds__(kMmaThreads, 2) attention_forward_mma(Forward op) {
  constexpr int M = row_tiles_with(D, Dropped);
  using Tile = MmaTile<D>;
  Bf16* const stages = dynamic_shared<Bf16>();
  const BlockPlace<kMmaWarps * 16 * M> place(op.sizes);
  const int query_row = place.first + static_cast<int>(threadIdx.x) / 32 * 16 * M;
  const auto part = [&](int number) {
    return head_of_qkv(op.qkv, op.sizes, place.sample, place.head, number);
  };
  const HeadRows<const Bf16> keys = part(1), values = part(2);
  const auto stage_of = [&](int first) { return stages + first / kMmaTile % 2 * 2 * Tile::kNumbers; };
  const auto fetch = [&](int first) {
    Tile::fetch(stage_of(first), keys, first, op.sizes);
    Tile::fetch(stage_of(first) + Tile::kNumbers, values, first, op.sizes);
    commit_copies();
  };
  fetch(0);
  const Resident<M, D> query(part(0), query_row, op.sizes);
  SoftmaxRow rows[M][2];
  FragmentC sums[M][D / 8] = {};
  for (int first = 0; first < op.sizes.tokens; first += kMmaTile) {
    wait_for_copies<0>();
    __syncthreads();  // the tile is there, the one before has been read
    if (first + kMmaTile < op.sizes.tokens) fetch(first + kMmaTile);
    if (query_row >= op.sizes.tokens) continue;
    const Bf16* const key = stage_of(first);
    const int left = op.sizes.tokens - first;
    FragmentC scores[kGroups][M][2] = {};
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      if (group * kGroup < left) Tile::multiply(scores[group], query, key, group * kGroup);
      if (left < kMmaTile) hide_columns(scores[group], left - group * kGroup);
    }
#pragma unroll
    for (int m = 0; m < M; ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float earlier = exponentiate(scores, m, half, rows[m][half], op.scale * kLog2E);
#pragma unroll
        for (FragmentC& sum : sums[m]) {
          sum.of[half * 2] *= earlier;
          sum.of[half * 2 + 1] *= earlier;
        }
      }
    if constexpr (Dropped) {
#pragma unroll
      for (int m = 0; m < M; ++m)
        drop(scores, m,
             keeps_of_queries(op.dropout, op.sizes, place.sample, place.head, query_row + m * 16, first,
                              2 * kGroups),
             op.dropout.kept());
    }
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      if (group * kGroup >= left) continue;
      FragmentA weights[M];
#pragma unroll
      for (int m = 0; m < M; ++m)
        weights[m] = rounded(scores[group][m]);
      Tile::accumulate(sums, weights, key + Tile::kNumbers, group * kGroup);
    }
  }
  const HeadRows<Bf16> y = head_of_output(op.y, op.sizes, place.sample, place.head);
#pragma unroll
  for (int m = 0; m < M; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float sum = warp_sum<4>(rows[m][half].sum);
      store_rows(y, query_row + m * 16, sums[m], half, 1 / sum, op.sizes);
      const int token = query_row + m * 16 + half * 8 + fragment_row();
      if (fragment_column() == 0 && token < op.sizes.tokens) {
        op.lse[place.statistics(op.sizes) + token] = rows[m][half].most * op.scale + logf(sum);
      }
    }
}

template <int D, bool Dropped>
void run(Context& context, const Forward& forward) {
  constexpr int kRows = kMmaWarps * 16 * row_tiles_with(D, Dropped);
  constexpr std::size_t kBytes = 2 * 2 * MmaTile<D>::kNumbers * sizeof(Bf16);
  static_assert(kBytes <= kLargestShared);
  const std::int64_t tiles = (forward.sizes.tokens + kRows - 1) / kRows;
  launch<attention_forward_mma<D, Dropped>>({.grid = static_cast<unsigned>(tiles * forward.sizes.pairs()),
                                             .block = kMmaThreads,
                                             .shared_bytes = kBytes,
                                             .stream = context.stream()},
                                            forward);
}

}  // namespace

void attention_bf16(Context& context, const AttentionForward& op) {
  const AttentionSizes sizes = attention_sizes(op.qkv.shape, op.heads, op.qkv.as<Bf16>(), op.y.as<Bf16>());
  const Forward forward{op.y.as<Bf16>(), op.lse.as<float>(), op.qkv.as<Bf16>(),
                        sizes,           score_scale(sizes), DropoutMask(op.dropout)};
  with_head_dim<32, 64, 80, 96, 128>(AttentionForward::kName, sizes.head_dim, [&](auto dim) {
    constexpr int kDim = decltype(dim)::value;
    forward.dropout.on() ? run<kDim, true>(context, forward) : run<kDim, false>(context, forward);
  });
}

}  // namespace vitrail::cuda
