#pragma once
// What the kernels of attention in f32 share: tiles of rows in shared memory and their products in registers.
//
// A block has Rows resident rows (queries, or keys in the pass for dk and dv) and walks over the others in
// tiles of 32. Eight lanes of a warp share four resident rows: each thread has a 4 × 4 piece of the scores,
// and D/8 columns of the four rows' sums. Rows in shared memory are D + 4 numbers apart, and a thread's
// columns eight apart, so that a warp's 16-byte loads of eight lanes fall on 32 different banks. A product of
// scores reads 8 · 16 bytes for 64 multiply-adds, one of sums 4 + D/8 · 16 bytes for D/2.

#include <cuda_launch.h>

#include "kernels/cuda/attention_heads.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vector.cuh"

namespace vitrail::cuda {

inline constexpr int kTile = 32;                // rows of a tile that comes and goes
inline constexpr int kScoreStride = kTile + 4;  // of scores in shared memory

// D: the head's size, rounded up to a multiple of 32; what lies beyond it is zero.
template <int D, int Rows>
struct AttentionTile {
  static constexpr int kStride = D + 4;
  static constexpr int kThreads = Rows * 2;
  using Sums = Pack<float, 4>[4][D / 32];

  // Rows [first, first + count) of the head, zeros behind the last token.
  __device__ static void fetch(float* tile, const HeadRows<const float>& from, int first, int count,
                               const AttentionSizes& sizes) {
    for (int index = static_cast<int>(threadIdx.x); index < count * (D / 4); index += kThreads) {
      const int row = index / (D / 4), column = index % (D / 4) * 4;
      Pack<float, 4> pack{};
      if (first + row < sizes.tokens) {
        const float* place = from.data + (first + row) * from.stride + column;
        if (sizes.aligned) {
          if (column < sizes.head_dim) pack = load<4>(place);
        } else {
          for (int i = 0; i < 4; ++i)
            if (column + i < sizes.head_dim) pack.of[i] = place[i];
        }
      }
      store(tile + row * kStride + column, pack);
    }
  }

  __device__ static int row() { return static_cast<int>(threadIdx.x) / 8 * 4; }  // the thread's first
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 8; }     // its columns: lane + 8·j

  // scores[i][j] = a[row + i] · b[lane + 8·j]
  __device__ static void multiply(float (&scores)[4][4], const float* a, const float* b) {
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j)
        scores[i][j] = 0;
#pragma unroll(D > 96 ? 1 : 2)  // more registers than there are, else
    for (int d = 0; d < D; d += 4) {
      Pack<float, 4> of_a[4], of_b[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        of_a[i] = load<4>(a + (row() + i) * kStride + d);
        of_b[i] = load<4>(b + (lane() + 8 * i) * kStride + d);
      }
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
#pragma unroll
          for (int e = 0; e < 4; ++e)
            scores[i][j] += of_a[i].of[e] * of_b[j].of[e];
    }
  }

  // The thread's piece of the scores for the other seven lanes of its rows. Ends with __syncwarp.
  __device__ static void share(float* shared, const float (&scores)[4][4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j)
        shared[(row() + i) * kScoreStride + lane() + 8 * j] = scores[i][j];
    __syncwarp();
  }

  // sums[i] += Σ over the tile's rows k of scores[row + i][k] · b[k], of columns 4·(lane + 8·c)
  __device__ static void accumulate(Sums& sums, const float* scores, const float* b) {
#pragma unroll(D > 96 ? 1 : 2)  // more registers than there are, else
    for (int k = 0; k < kTile; k += 4) {
      Pack<float, 4> weights[4];
#pragma unroll
      for (int i = 0; i < 4; ++i)
        weights[i] = load<4>(scores + (row() + i) * kScoreStride + k);
#pragma unroll
      for (int e = 0; e < 4; ++e)
#pragma unroll
        for (int c = 0; c < D / 32; ++c) {
          const Pack<float, 4> values = load<4>(b + (k + e) * kStride + 4 * (lane() + 8 * c));
#pragma unroll
          for (int i = 0; i < 4; ++i)
#pragma unroll
            for (int x = 0; x < 4; ++x)
              sums[i][c].of[x] += weights[i].of[e] * values.of[x];
        }
    }
  }

  // Row row + i of the result, times factor.
  __device__ static void put(const HeadRows<float>& to, int token, const Pack<float, 4> (&sums)[D / 32],
                             float factor, const AttentionSizes& sizes) {
    if (token >= sizes.tokens) return;
#pragma unroll
    for (int c = 0; c < D / 32; ++c) {
      const int column = 4 * (lane() + 8 * c);
      Pack<float, 4> pack = sums[c];
#pragma unroll
      for (int x = 0; x < 4; ++x)
        pack.of[x] *= factor;
      float* place = to.data + token * to.stride + column;
      if (sizes.aligned) {
        if (column < sizes.head_dim) store(place, pack);
      } else {
        for (int x = 0; x < 4; ++x)
          if (column + x < sizes.head_dim) place[x] = pack.of[x];
      }
    }
  }
};

}  // namespace vitrail::cuda
