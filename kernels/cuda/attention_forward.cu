// Attention forward in f32: scores, online softmax (Milakov and Gimelshein, arXiv 1805.02867) and the sum
// over values in one kernel; of tokens × tokens nothing is written. Per pair of sample and head 4·tokens²·D
// FLOPs, and 16·tokens·D bytes of qkv and y (keys and values again for every 64 queries, from the second
// cache). Shared memory at D = 64: (64 + 2·32)·68·4 + 64·36·4 = 44 KB; 77 KB at D = 128.

#include "kernels/cuda/attention_bf16.h"
#include "kernels/cuda/attention_tiles.cuh"
#include "kernels/cuda/ops.h"

namespace vitrail::cuda {
namespace {

constexpr int kRows = 64;

struct Forward {
  float *y, *lse;
  const float* qkv;
  AttentionSizes sizes;
  float scale;
  DropoutMask dropout;
};

// What one of a thread's four rows knows of its softmax so far. `sum` is the thread's own share.
struct SoftmaxRow {
  float most = -INFINITY, sum = 0;
};

// scores becomes exp(scale · scores − most); returns the factor of what was summed with an earlier maximum.
__device__ __forceinline__ float exponentiate(float (&scores)[4], SoftmaxRow& row, float scale,
                                              int columns_left, int lane) {
  float most = -INFINITY;
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    scores[j] = lane + 8 * j < columns_left ? scores[j] * scale : -INFINITY;
    most = fmaxf(most, scores[j]);
  }
  most = fmaxf(row.most, warp_max<8>(most));
  const float factor = expf(row.most - most);
  row.most = most;
  row.sum *= factor;
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    scores[j] = expf(scores[j] - most);
    row.sum += scores[j];
  }
  return factor;
}

template <int D>
__global__ void __launch_bounds__(2 * kRows) attention_forward(Forward op) {
  using Tile = AttentionTile<D, kRows>;
  float* const query = dynamic_shared<float>();
  float* const key = query + kRows * Tile::kStride;
  float* const value = key + kTile * Tile::kStride;
  float* const shared_scores = value + kTile * Tile::kStride;
  const BlockPlace<kRows> place(op.sizes);
  const auto part = [&](int number) {
    return head_of_qkv(op.qkv, op.sizes, place.sample, place.head, number);
  };
  Tile::fetch(query, part(0), place.first, kRows, op.sizes);
  SoftmaxRow rows[4];
  typename Tile::Sums sums = {};
  for (int first = 0; first < op.sizes.tokens; first += kTile) {
    __syncthreads();  // the tile before has been read
    Tile::fetch(key, part(1), first, kTile, op.sizes);
    Tile::fetch(value, part(2), first, kTile, op.sizes);
    __syncthreads();
    float scores[4][4];
    Tile::multiply(scores, query, key);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float factor = exponentiate(scores[i], rows[i], op.scale, op.sizes.tokens - first, Tile::lane());
#pragma unroll
      for (int c = 0; c < D / 32; ++c)
#pragma unroll
        for (int x = 0; x < 4; ++x)
          sums[i][c].of[x] *= factor;
      if (op.dropout.on()) {
        for (int j = 0; j < 4; ++j) {
          scores[i][j] *= mask_of_score(op.dropout, op.sizes, place.sample, place.head,
                                        place.first + Tile::row() + i, first + Tile::lane() + 8 * j);
        }
      }
    }
    Tile::share(shared_scores, scores);
    Tile::accumulate(sums, shared_scores, value);
  }
  const HeadRows<float> y = head_of_output(op.y, op.sizes, place.sample, place.head);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float sum = warp_sum<8>(rows[i].sum);
    const int token = place.first + Tile::row() + i;
    Tile::put(y, token, sums[i], 1 / sum, op.sizes);
    if (Tile::lane() == 0 && token < op.sizes.tokens) {
      op.lse[place.statistics(op.sizes) + token] = rows[i].most + logf(sum);
    }
  }
}

}  // namespace

void execute(Context& context, const AttentionForward& op) {
  if (op.qkv.dtype == DType::bf16) return attention_bf16(context, op);
  const AttentionSizes sizes = attention_sizes(op.qkv.shape, op.heads, op.qkv.as<float>(), op.y.as<float>());
  const Forward forward{op.y.as<float>(),   op.lse.as<float>(),     op.qkv.as<float>(), sizes,
                        score_scale(sizes), DropoutMask(op.dropout)};
  const std::int64_t tiles = (sizes.tokens + kRows - 1) / kRows;
  with_head_dim<32, 64, 96, 128>(AttentionForward::kName, sizes.head_dim, [&](auto dim) {
    constexpr int kDim = decltype(dim)::value;
    constexpr std::size_t kFloats =
        (kRows + 2 * kTile) * AttentionTile<kDim, kRows>::kStride + kRows * kScoreStride;
    launch<attention_forward<kDim>>({.grid = static_cast<unsigned>(tiles * sizes.pairs()),
                                     .block = 2 * kRows,
                                     .shared_bytes = kFloats * sizeof(float),
                                     .stream = context.stream()},
                                    forward);
  });
}

}  // namespace vitrail::cuda
