// Attention backward in f32, without atomics: one kernel for dq (a block owns queries and walks over keys),
// one for dk and dv (a block owns keys and walks over queries); both compute the probabilities again from
// lse. 14·tokens²·D FLOPs for a pair of sample and head (10 would do in one kernel that adds dq atomically,
// with other bits every time), and 40·tokens·D bytes of qkv, dy, y and dqkv. Shared memory at D = 64: 61 and
// 71 KB; at D = 128, with 32 rows a block, 72 and 77 KB.

#include "kernels/cuda/attention_bf16.h"
#include "kernels/cuda/attention_tiles.cuh"
#include "kernels/cuda/ops.h"

namespace vitrail::cuda {
namespace {

struct Backward {
  float *dqkv, *delta;  // delta (batch, heads, tokens)
  const float *dy, *y, *qkv, *lse;
  AttentionSizes sizes;
  float scale;
  DropoutMask dropout;
};

// Wider heads leave room for fewer rows.
constexpr int rows_for(int dim) {
  return dim <= 64 ? 64 : 32;
}

constexpr int kDeltaThreads = 128;

// delta = Σ dy ∘ y of a token's head: eight lanes each.
__global__ void __launch_bounds__(kDeltaThreads) attention_delta(Backward op) {
  const std::int64_t index = (std::int64_t{blockIdx.x} * kDeltaThreads + threadIdx.x) / 8;
  const int lane = static_cast<int>(threadIdx.x) % 8;
  const std::int64_t count = op.sizes.batch * op.sizes.heads * op.sizes.tokens;
  float sum = 0;
  if (index < count) {                                  // no early return: the shuffles want whole warps
    const std::int64_t at = index * op.sizes.head_dim;  // (batch, tokens, heads): as dy and y lie
    for (int d = lane; d < op.sizes.head_dim; d += 8)
      sum += op.dy[at + d] * op.y[at + d];
  }
  sum = warp_sum<8>(sum);
  if (index >= count || lane > 0) return;
  const std::int64_t head = index % op.sizes.heads, row = index / op.sizes.heads;
  const std::int64_t sample = row / op.sizes.tokens, token = row % op.sizes.tokens;
  op.delta[(sample * op.sizes.heads + head) * op.sizes.tokens + token] = sum;
}

template <int D>
__global__ void __launch_bounds__(2 * rows_for(D), 2) attention_backward_query(Backward op) {
  constexpr int kRows = rows_for(D);
  using Tile = AttentionTile<D, kRows>;
  float* const query = dynamic_shared<float>();
  float* const dy = query + kRows * Tile::kStride;
  float* const key = dy + kRows * Tile::kStride;
  float* const value = key + kTile * Tile::kStride;
  float* const shared_scores = value + kTile * Tile::kStride;
  const BlockPlace<kRows> place(op.sizes);
  const auto part = [&](int number) {
    return head_of_qkv(op.qkv, op.sizes, place.sample, place.head, number);
  };
  Tile::fetch(query, part(0), place.first, kRows, op.sizes);
  Tile::fetch(dy, head_of_output(op.dy, op.sizes, place.sample, place.head), place.first, kRows, op.sizes);
  float lse[4] = {}, delta[4] = {};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int token = place.first + Tile::row() + i;
    if (token >= op.sizes.tokens) continue;
    lse[i] = op.lse[place.statistics(op.sizes) + token];
    delta[i] = op.delta[place.statistics(op.sizes) + token];
  }
  typename Tile::Sums dq = {};
  for (int first = 0; first < op.sizes.tokens; first += kTile) {
    __syncthreads();  // the tile before has been read
    Tile::fetch(key, part(1), first, kTile, op.sizes);
    Tile::fetch(value, part(2), first, kTile, op.sizes);
    __syncthreads();
    float scores[4][4], dp[4][4];
    Tile::multiply(scores, query, key);
    Tile::multiply(dp, dy, value);
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int column = first + Tile::lane() + 8 * j;
        const float p = column < op.sizes.tokens ? expf(scores[i][j] * op.scale - lse[i]) : 0.0f;
        const float mask = mask_of_score(op.dropout, op.sizes, place.sample, place.head,
                                         place.first + Tile::row() + i, column);
        scores[i][j] = p * (mask * dp[i][j] - delta[i]);
      }
    Tile::share(shared_scores, scores);
    Tile::accumulate(dq, shared_scores, key);
  }
  const HeadRows<float> to = head_of_qkv(op.dqkv, op.sizes, place.sample, place.head, 0);
#pragma unroll
  for (int i = 0; i < 4; ++i)
    Tile::put(to, place.first + Tile::row() + i, dq[i], op.scale, op.sizes);
}

template <int D>
__global__ void __launch_bounds__(2 * rows_for(D), 2) attention_backward_key_value(Backward op) {
  constexpr int kRows = rows_for(D);
  using Tile = AttentionTile<D, kRows>;
  float* const key = dynamic_shared<float>();
  float* const value = key + kRows * Tile::kStride;
  float* const query = value + kRows * Tile::kStride;
  float* const dy = query + kTile * Tile::kStride;
  float* const shared_p = dy + kTile * Tile::kStride;
  float* const shared_ds = shared_p + kRows * kScoreStride;
  const BlockPlace<kRows> place(op.sizes);
  const auto part = [&](int number) {
    return head_of_qkv(op.qkv, op.sizes, place.sample, place.head, number);
  };
  Tile::fetch(key, part(1), place.first, kRows, op.sizes);
  Tile::fetch(value, part(2), place.first, kRows, op.sizes);
  typename Tile::Sums dk = {}, dv = {};
  for (int first = 0; first < op.sizes.tokens; first += kTile) {
    __syncthreads();  // the tile before has been read
    Tile::fetch(query, part(0), first, kTile, op.sizes);
    Tile::fetch(dy, head_of_output(op.dy, op.sizes, place.sample, place.head), first, kTile, op.sizes);
    __syncthreads();
    float p[4][4], ds[4][4];  // (key, query)
    Tile::multiply(p, key, query);
    Tile::multiply(ds, value, dy);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int token = first + Tile::lane() + 8 * j;
      const bool inside = token < op.sizes.tokens;
      const float lse = inside ? op.lse[place.statistics(op.sizes) + token] : 0.0f;
      const float delta = inside ? op.delta[place.statistics(op.sizes) + token] : 0.0f;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float mask = mask_of_score(op.dropout, op.sizes, place.sample, place.head, token,
                                         place.first + Tile::row() + i);
        const float probability = inside ? expf(p[i][j] * op.scale - lse) : 0.0f;
        p[i][j] = probability * mask;
        ds[i][j] = probability * (mask * ds[i][j] - delta);
      }
    }
    Tile::share(shared_p, p);
    Tile::share(shared_ds, ds);
    Tile::accumulate(dv, shared_p, dy);
    Tile::accumulate(dk, shared_ds, query);
  }
  const HeadRows<float> to_key = head_of_qkv(op.dqkv, op.sizes, place.sample, place.head, 1);
  const HeadRows<float> to_value = head_of_qkv(op.dqkv, op.sizes, place.sample, place.head, 2);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int token = place.first + Tile::row() + i;
    Tile::put(to_key, token, dk[i], op.scale, op.sizes);
    Tile::put(to_value, token, dv[i], 1, op.sizes);
  }
}

template <int D>
void run(Context& context, const Backward& backward) {
  constexpr int kRows = rows_for(D);
  constexpr std::size_t kTiles = (2 * kRows + 2 * kTile) * AttentionTile<D, kRows>::kStride;
  constexpr std::size_t kScores = kRows * kScoreStride;
  const std::int64_t tiles = (backward.sizes.tokens + kRows - 1) / kRows;
  LaunchShape shape{.grid = static_cast<unsigned>(tiles * backward.sizes.pairs()),
                    .block = 2 * kRows,
                    .shared_bytes = (kTiles + kScores) * sizeof(float),
                    .stream = context.stream()};
  launch<attention_backward_query<D>>(shape, backward);
  shape.shared_bytes = (kTiles + 2 * kScores) * sizeof(float);
  launch<attention_backward_key_value<D>>(shape, backward);
}

}  // namespace

void execute(Context& context, const AttentionBackward& op) {
  if (op.qkv.dtype == DType::bf16) return attention_bf16(context, op);
  const AttentionSizes sizes = attention_sizes(op.qkv.shape, op.heads, op.qkv.as<float>(),
                                               op.dqkv.as<float>(), op.dy.as<float>(), op.y.as<float>());
  const std::int64_t rows = sizes.pairs() * sizes.tokens;
  const Backward backward{op.dqkv.as<float>(),
                          context.scratch(static_cast<std::size_t>(rows) * sizeof(float)),
                          op.dy.as<float>(),
                          op.y.as<float>(),
                          op.qkv.as<float>(),
                          op.lse.as<float>(),
                          sizes,
                          score_scale(sizes),
                          DropoutMask(op.dropout)};
  launch<attention_delta>({.grid = static_cast<unsigned>((rows * 8 + kDeltaThreads - 1) / kDeltaThreads),
                           .block = kDeltaThreads,
                           .stream = context.stream()},
                          backward);
  with_head_dim<32, 64, 96, 128>(AttentionBackward::kName, sizes.head_dim,
                                 [&](auto dim) { run<decltype(dim)::value>(context, backward); });
}

}  // namespace vitrail::cuda
