// Attention backward in bf16 on tensor cores, without atomics: one kernel for dq (a warp owns queries and
// walks over keys), one for dk and dv (a warp owns keys and walks over queries); both compute the
// probabilities again from lse. 14·tokens²·D FLOPs for a pair of sample and head (10 would do in one kernel
// that adds dq atomically, with other bits every time), with rows in wholes of 16·M a warp and of 16;
// 24·tokens·D bytes of qkv, dy, y and dqkv. Shared memory: 512·(D + 8) bytes, 36 KB at D = 64, and 1 KB of
// statistics.

#include "kernels/cuda/attention_bf16.h"
#include "kernels/cuda/attention_mma.cuh"

namespace vitrail::cuda {
namespace {

// Of a query: log2 of the sum of its exponentials, Σ dy ∘ y. Behind the last token ∞ and 0: p and ds are 0.
struct alignas(8) Statistics {
  float lse, delta;
};

struct Backward {
  Bf16* dqkv;
  Statistics* statistics;  // (batch, heads, tokens rounded up to whole tiles)
  const Bf16 *dy, *y, *qkv;
  const float* lse;
  AttentionSizes sizes;
  float scale;
  DropoutMask dropout;
};

__host__ __device__ int padded_tokens(const AttentionSizes& sizes) {
  return (sizes.tokens + kMmaTile - 1) / kMmaTile * kMmaTile;
}

template <class Place>
__device__ Statistics* statistics_of(const Backward& op, const Place& place) {
  return op.statistics + (place.sample * op.sizes.heads + place.head) * padded_tokens(op.sizes);
}

// The two numbers of a word.
__device__ __forceinline__ float dot(unsigned a, unsigned b) {
  const auto low = [](unsigned word) { return __uint_as_float(word << 16); };
  const auto high = [](unsigned word) { return __uint_as_float(word & 0xffff0000u); };
  return low(a) * low(b) + high(a) * high(b);
}

// Of the lane's row in one half of the fragments that begin with row `first`. Every lane of the row gets it.
template <int Steps, class Place>
__device__ __forceinline__ Statistics statistics_of_row(const Backward& op, const Place& place,
                                                        const FragmentA (&dy)[Steps], int first, int half) {
  const HeadRows<const Bf16> y = head_of_output(op.y, op.sizes, place.sample, place.head);
  const int token = first + fragment_row() + half * 8;
  float delta = 0;
#pragma unroll
  for (int step = 0; step < Steps; ++step)
#pragma unroll
    for (int right = 0; right < 2; ++right)
      delta += dot(dy[step].of[half + 2 * right],
                   load_word(y, token, step * 16 + fragment_column() + right * 8, op.sizes));
  const float lse = token < op.sizes.tokens ? op.lse[place.statistics(op.sizes) + token] * kLog2E : INFINITY;
  return {lse, warp_sum<4>(delta)};
}

template <int D>
__global__ void __launch_bounds__(kMmaThreads, 2) attention_backward_query_mma(Backward op) {
  constexpr int M = row_tiles(D);
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
  const Resident<M, D> dy(head_of_output(op.dy, op.sizes, place.sample, place.head), query_row, op.sizes);
  Statistics row[M][2];
#pragma unroll
  for (int m = 0; m < M; ++m) {
    const int first = query_row + m * 16;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      row[m][half] = statistics_of_row(op, place, dy.of[m], first, half);
      const int token = first + half * 8 + fragment_row();
      if (fragment_column() == 0 && token < padded_tokens(op.sizes)) {
        statistics_of(op, place)[token] = row[m][half];
      }
    }
  }
  FragmentC dq[M][D / 8] = {};
  for (int first = 0; first < op.sizes.tokens; first += kMmaTile) {
    wait_for_copies<0>();
    __syncthreads();  // the tile is there, the one before has been read
    if (first + kMmaTile < op.sizes.tokens) fetch(first + kMmaTile);
    if (query_row >= op.sizes.tokens) continue;
    const Bf16* const key = stage_of(first);
    const int left = op.sizes.tokens - first;
#pragma unroll 1
    for (int group = 0; group < kMmaTile && group < left; group += kGroup) {
      FragmentC scores[M][2] = {}, dp[M][2] = {};
      Tile::multiply(scores, query, key, group);
      Tile::multiply(dp, dy, key + Tile::kNumbers, group);
      if (left - group < kGroup) hide_columns(scores, left - group);
      FragmentA ds[M];
#pragma unroll
      for (int m = 0; m < M; ++m) {
        unsigned keeps = ~0u;
        if (op.dropout.on()) {
          keeps = keeps_of_queries(op.dropout, op.sizes, place.sample, place.head, query_row + m * 16,
                                   first + group, 2);
        }
#pragma unroll
        for (int i = 0; i < 8; ++i) {
          const Statistics& of = row[m][i % 4 / 2];
          float& score = scores[m][i / 4].of[i % 4];
          const float p = fast_exp2(score * (op.scale * kLog2E) - of.lse);
          const float mask = (keeps >> i & 1) != 0 ? op.dropout.kept() : 0;
          score = p * (mask * dp[m][i / 4].of[i % 4] - of.delta);
        }
        ds[m] = rounded(scores[m]);
      }
      Tile::accumulate(dq, ds, key, group);
    }
  }
  const HeadRows<Bf16> to = head_of_qkv(op.dqkv, op.sizes, place.sample, place.head, 0);
#pragma unroll
  for (int m = 0; m < M; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half)
      store_rows(to, query_row + m * 16, dq[m], half, op.scale, op.sizes);
}

template <int D>
struct QueryStage {
  Bf16 query[MmaTile<D>::kNumbers], dy[MmaTile<D>::kNumbers];
  Statistics statistics[kMmaTile];
};

// For wide heads dk and dv leave too few registers.
template <int D>
constexpr bool kParks = D > 80;

template <int D>
constexpr std::size_t kKeyValueBytes = 2 * sizeof(QueryStage<D>) +
                                       (kParks<D> ? 2 * Parked<D>::kFragments * sizeof(FragmentA) : 0);

template <int D>
__device__ __forceinline__ auto keys_of_warp(FragmentA* parking, const HeadRows<const Bf16>& from, int first,
                                             const AttentionSizes& sizes) {
  const Resident<1, D> rows(from, first, sizes);
  if constexpr (kParks<D>) {
    return Parked<D>(parking, rows);
  } else {
    return rows;
  }
}

template <int D>
__global__ void __launch_bounds__(kMmaThreads, 2) attention_backward_key_value_mma(Backward op) {
  using Tile = MmaTile<D>;
  QueryStage<D>* const stages = dynamic_shared<QueryStage<D>>();
  const BlockPlace<kMmaWarps * 16> place(op.sizes);
  const int key_row = place.first + static_cast<int>(threadIdx.x) / 32 * 16;
  const auto part = [&](int number) {
    return head_of_qkv(op.qkv, op.sizes, place.sample, place.head, number);
  };
  const HeadRows<const Bf16> queries = part(0),
                             dy_rows = head_of_output(op.dy, op.sizes, place.sample, place.head);
  const auto fetch = [&](int first) {
    QueryStage<D>& stage = stages[first / kMmaTile % 2];
    Tile::fetch(stage.query, queries, first, op.sizes);
    Tile::fetch(stage.dy, dy_rows, first, op.sizes);
    const int two = static_cast<int>(threadIdx.x) * 2;
    if (two < kMmaTile) copy_async(stage.statistics + two, statistics_of(op, place) + first + two);
    commit_copies();
  };
  fetch(0);
  FragmentA* const parking = reinterpret_cast<FragmentA*>(stages + 2);
  const auto key = keys_of_warp<D>(parking, part(1), key_row, op.sizes);
  const auto value = keys_of_warp<D>(parking + Parked<D>::kFragments, part(2), key_row, op.sizes);
  FragmentC dk[1][D / 8] = {}, dv[1][D / 8] = {};
  for (int first = 0; first < op.sizes.tokens; first += kMmaTile) {
    wait_for_copies<0>();
    __syncthreads();  // the tile is there, the one before has been read
    if (first + kMmaTile < op.sizes.tokens) fetch(first + kMmaTile);
    if (key_row >= op.sizes.tokens) continue;
    const QueryStage<D>& stage = stages[first / kMmaTile % 2];
#pragma unroll 1
    for (int group = 0; group < kMmaTile && first + group < op.sizes.tokens; group += kGroup) {
      FragmentC p[1][2] = {}, ds[1][2] = {};  // (key, query)
      Tile::multiply(p, key, stage.query, group);
      Tile::multiply(ds, value, stage.dy, group);
      unsigned keeps = ~0u;
      if (op.dropout.on()) {
        keeps = keeps_of_keys(op.dropout, op.sizes, place.sample, place.head, first + group, key_row);
      }
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const Statistics of = stage.statistics[group + i / 4 * 8 + fragment_column() + i % 2];
        float &weight = p[0][i / 4].of[i % 4], &gradient = ds[0][i / 4].of[i % 4];
        const float probability = fast_exp2(weight * (op.scale * kLog2E) - of.lse);
        const float mask = (keeps >> i & 1) != 0 ? op.dropout.kept() : 0;
        weight = probability * mask;
        gradient = probability * (mask * gradient - of.delta);
      }
      const FragmentA rounded_p[1] = {rounded(p[0])}, rounded_ds[1] = {rounded(ds[0])};
      Tile::accumulate(dv, rounded_p, stage.dy, group);
      Tile::accumulate(dk, rounded_ds, stage.query, group);
    }
  }
  const HeadRows<Bf16> to_key = head_of_qkv(op.dqkv, op.sizes, place.sample, place.head, 1);
  const HeadRows<Bf16> to_value = head_of_qkv(op.dqkv, op.sizes, place.sample, place.head, 2);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    store_rows(to_key, key_row, dk[0], half, op.scale, op.sizes);
    store_rows(to_value, key_row, dv[0], half, 1, op.sizes);
  }
}

template <int D>
void run(Context& context, const Backward& backward) {
  const auto shape_of = [&](int rows, std::size_t bytes) {
    const std::int64_t tiles = (backward.sizes.tokens + rows - 1) / rows;
    return LaunchShape{.grid = static_cast<unsigned>(tiles * backward.sizes.pairs()),
                       .block = kMmaThreads,
                       .shared_bytes = bytes,
                       .stream = context.stream()};
  };
  static_assert(kKeyValueBytes<D> <= kLargestShared);
  launch<attention_backward_query_mma<D>>(
      shape_of(kMmaWarps * 16 * row_tiles(D), 2 * 2 * MmaTile<D>::kNumbers * sizeof(Bf16)), backward);
  launch<attention_backward_key_value_mma<D>>(shape_of(kMmaWarps * 16, kKeyValueBytes<D>), backward);
}

}  // namespace

void attention_bf16(Context& context, const AttentionBackward& op) {
  const AttentionSizes sizes = attention_sizes(op.qkv.shape, op.heads, op.qkv.as<Bf16>(), op.dqkv.as<Bf16>(),
                                               op.dy.as<Bf16>(), op.y.as<Bf16>());
  const std::size_t rows = static_cast<std::size_t>(sizes.pairs() * padded_tokens(sizes));
  const Backward backward{op.dqkv.as<Bf16>(),
                          reinterpret_cast<Statistics*>(context.scratch(rows * sizeof(Statistics))),
                          op.dy.as<Bf16>(),
                          op.y.as<Bf16>(),
                          op.qkv.as<Bf16>(),
                          op.lse.as<float>(),
                          sizes,
                          score_scale(sizes),
                          DropoutMask(op.dropout)};
  with_head_dim<32, 64, 80, 96, 128>(AttentionBackward::kName, sizes.head_dim,
                                     [&](auto dim) { run<decltype(dim)::value>(context, backward); });
}

}  // namespace vitrail::cuda
