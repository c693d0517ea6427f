#pragma once
// What the kernels of attention in bf16 share: tiles of rows in shared memory, fragments in registers, and
// their products on tensor cores.
//
// A block has four warps, a warp 16·M resident rows (queries, or keys in the pass for dk and dv): fragments
// A, read from device memory once. The others come by tiles of 64 rows of two tensors, copied into one of two
// stages while the block computes with the other. Rows in shared memory are D + 8 numbers apart, an odd
// number of 16-byte pieces: eight rows of a matrix fall on different banks. Two fragments C with the scores
// of 16 neighbouring rows of the tile are, rounded, the fragment A of the product that follows: scores never
// leave the registers.

#include <cuda_bf16.h>
#include <cuda_launch.h>
#include <cuda_ptx.h>

#include <cstring>

#include "kernels/cuda/attention_heads.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vector.cuh"

namespace vitrail::cuda {

using Bf16 = __nv_bfloat16;

inline constexpr int kMmaWarps = 4, kMmaThreads = 32 * kMmaWarps;
inline constexpr int kMmaTile = 64;  // rows of a tile
inline constexpr int kGroup = 16;    // rows of a tile that a product takes at a time
inline constexpr float kLog2E = 1.44269504088896341f;
inline constexpr std::size_t kLargestShared = 99 * 1024;  // of a block on sm_120; sm_80 has 163, sm_90 227

// Twice the rows halve the reads of shared memory; for wider heads the registers do not suffice.
constexpr int row_tiles(int dim) {
  return dim <= 64 ? 2 : 1;
}

// Where in a fragment C (or A) a lane's numbers are.
__device__ __forceinline__ int fragment_row() {
  return static_cast<int>(threadIdx.x) % 32 / 4;
}
__device__ __forceinline__ int fragment_column() {
  return static_cast<int>(threadIdx.x) % 4 * 2;
}

__device__ __forceinline__ unsigned word_of(const void* two_numbers) {
  unsigned word;
  memcpy(&word, two_numbers, sizeof(word));
  return word;
}

// Columns `column` and the next; zeros beyond the last token and the head's end.
__device__ __forceinline__ unsigned load_word(const HeadRows<const Bf16>& from, int token, int column,
                                              const AttentionSizes& sizes) {
  Pack<Bf16, 2> pack{};
  if (token < sizes.tokens && column < sizes.head_dim) {
    const Bf16* place = from.data + token * from.stride + column;
    if (sizes.aligned) {
      pack = load<2>(place);
    } else {
      pack.of[0] = place[0];
      if (column + 1 < sizes.head_dim) pack.of[1] = place[1];
    }
  }
  return word_of(&pack);
}

// 16·M rows of a head, from row `first` on, in fragments of 16 columns.
template <int M, int D>
struct Resident {
  FragmentA of[M][D / 16];

  __device__ Resident(const HeadRows<const Bf16>& from, int first, const AttentionSizes& sizes) {
#pragma unroll
    for (int m = 0; m < M; ++m)
#pragma unroll
      for (int step = 0; step < D / 16; ++step)
#pragma unroll
        for (int word = 0; word < 4; ++word)
          of[m][step].of[word] = load_word(from, first + m * 16 + fragment_row() + word % 2 * 8,
                                           step * 16 + fragment_column() + word / 2 * 8, sizes);
  }
  __device__ const FragmentA& at(int m, int step) const {
    return of[m][step];
  }
};

// The same where the registers do not suffice: all but the last two fragments lie in shared memory, each
// lane's own.
template <int D>
struct Parked {
  static constexpr int kSteps = D / 16 - 2, kFragments = kSteps * kMmaThreads;
  FragmentA* memory;
  FragmentA last[2];

  __device__ Parked(FragmentA* to, const Resident<1, D>& from)
      : memory(to + threadIdx.x), last{from.at(0, kSteps), from.at(0, kSteps + 1)} {
#pragma unroll
    for (int step = 0; step < kSteps; ++step)
      memory[step * kMmaThreads] = from.at(0, step);
  }
  __device__ FragmentA at(int, int step) const {
    return step < kSteps ? memory[step * kMmaThreads] : last[step - kSteps];
  }
};

// One half of 16 rows of a result, from row `first` on, times factor, rounded.
template <int Columns>
__device__ __forceinline__ void store_rows(const HeadRows<Bf16>& to, int first,
                                           const FragmentC (&sums)[Columns], int half, float factor,
                                           const AttentionSizes& sizes) {
  const int token = first + fragment_row() + half * 8;
  if (token >= sizes.tokens) return;
#pragma unroll
  for (int i = 0; i < Columns; ++i) {
    const int column = i * 8 + fragment_column();
    if (column >= sizes.head_dim) continue;
    Bf16* place = to.data + token * to.stride + column;
    const Pack<Bf16, 2> pack{__float2bfloat16(sums[i].of[half * 2] * factor),
                             __float2bfloat16(sums[i].of[half * 2 + 1] * factor)};
    if (sizes.aligned) {
      store(place, pack);
    } else {
      place[0] = pack.of[0];
      if (column + 1 < sizes.head_dim) place[1] = pack.of[1];
    }
  }
}

// The fragment A of which c has columns 0 to 7 and 8 to 15.
__device__ __forceinline__ FragmentA rounded(const FragmentC (&c)[2]) {
  FragmentA a;
#pragma unroll
  for (int word = 0; word < 4; ++word) {
    const float* from = c[word / 2].of + word % 2 * 2;
    const __nv_bfloat162 pack = __floats2bfloat162_rn(from[0], from[1]);
    a.of[word] = word_of(&pack);
  }
  return a;
}

// D: the head's size, rounded up to a multiple of 16; what lies beyond it is zero.
template <int D>
struct MmaTile {
  static constexpr int kStride = D + 8;
  static constexpr int kNumbers = kMmaTile * kStride;

  // Begins to copy the tile's rows, from `first` on; zeros behind the last token.
  __device__ static void fetch(Bf16* tile, const HeadRows<const Bf16>& from, int first,
                               const AttentionSizes& sizes) {
    constexpr int kPiece = 8, kPieces = D / kPiece;
#pragma unroll
    for (int index = static_cast<int>(threadIdx.x); index < kMmaTile * kPieces; index += kMmaThreads) {
      const int row = index / kPieces, column = index % kPieces * kPiece;
      const bool inside = first + row < sizes.tokens && column < sizes.head_dim;
      const Bf16* place = inside ? from.data + (first + row) * from.stride + column : from.data;
      Bf16* to = tile + row * kStride + column;
      if (sizes.aligned) {
        copy_async(to, place, inside ? 16 : 0);
      } else {
        for (int i = 0; i < kPiece; ++i)
          to[i] = inside && column + i < sizes.head_dim ? place[i] : Bf16(0.0f);
      }
    }
  }

  // c += a · (rows [row, row + 16) of the tile)ᵀ; a is Resident or Parked.
  template <int M, class A>
  __device__ static void multiply(FragmentC (&c)[M][2], const A& a, const Bf16* tile, int row) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const Bf16* place = tile + (row + lane / 16 * 8 + lane % 8) * kStride + lane / 8 % 2 * 8;
#pragma unroll
    for (int step = 0; step < D / 16; ++step) {
      unsigned b[4];
      load_matrices(b, place + step * 16);
#pragma unroll
      for (int m = 0; m < M; ++m)
#pragma unroll
        for (int i = 0; i < 2; ++i)
          mma(c[m][i], a.at(m, step), {b[2 * i], b[2 * i + 1]});
    }
  }

  // sums[m] += weights[m] · rows [row, row + 16) of the tile
  template <int M>
  __device__ static void accumulate(FragmentC (&sums)[M][D / 8], const FragmentA (&weights)[M],
                                    const Bf16* tile, int row) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const Bf16* place = tile + (row + lane % 16) * kStride + lane / 16 * 8;
#pragma unroll
    for (int step = 0; step < D / 16; ++step) {
      unsigned b[4];
      load_transposed(b, place + step * 16);
#pragma unroll
      for (int m = 0; m < M; ++m)
#pragma unroll
        for (int i = 0; i < 2; ++i)
          mma(sums[m][2 * step + i], weights[m], {b[2 * i], b[2 * i + 1]});
    }
  }
};

// Scores of columns from `inside` on become −∞.
template <int M>
__device__ __forceinline__ void hide_columns(FragmentC (&scores)[M][2], int inside) {
#pragma unroll
  for (int m = 0; m < M; ++m)
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int x = 0; x < 4; ++x)
        if (i * 8 + fragment_column() + x % 2 >= inside) scores[m][i].of[x] = -INFINITY;
}

// Which of its scores with `key` and the next a query keeps: mostly from one draw, which has four numbers.
__device__ __forceinline__ unsigned keeps_of_two(const DropoutMask& dropout, const AttentionSizes& sizes,
                                                 std::int64_t sample, int head, int query, int key) {
  const std::int64_t element = (std::int64_t{head} * sizes.tokens + query) * sizes.tokens + key;
  const auto place = static_cast<int>(element % 4);
  unsigned keeps = 0;
#pragma unroll 1
  for (int first = -place; first < 2; first += 4) {
    const Pack<float, 4> draw = dropout.at<4>(sample, element + first);
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (draw.of[i] > 0 && first + i >= 0) keeps |= 1u << (first + i);
  }
  return keeps & 3;
}

// Which of a lane's scores dropout keeps, of `fragments` times eight neighbouring keys: bit 4·i + x is of[x]
// of fragment i. A loop, and a bit each, because unrolled the draws would be most of the kernel.
__device__ __forceinline__ unsigned keeps_of_queries(const DropoutMask& dropout, const AttentionSizes& sizes,
                                                     std::int64_t sample, int head, int query, int key,
                                                     int fragments) {
  unsigned keeps = 0;
#pragma unroll 1
  for (int i = 0; i < 2 * fragments; ++i)
    keeps |= keeps_of_two(dropout, sizes, sample, head, query + fragment_row() + i % 2 * 8,
                          key + fragment_column() + i / 2 * 8)
             << 2 * i;
  __syncwarp();  // the lanes' loops differ, and products follow
  return keeps;
}

// The same of two fragments whose rows are keys and whose columns are queries.
__device__ __forceinline__ unsigned keeps_of_keys(const DropoutMask& dropout, const AttentionSizes& sizes,
                                                  std::int64_t sample, int head, int query, int key) {
  unsigned keeps = 0;
#pragma unroll 1
  for (int i = 0; i < 8; ++i) {
    const float mask =
        mask_of_score(dropout, sizes, sample, head, query + fragment_column() + i / 4 * 8 + i % 2,
                      key + fragment_row() + i % 4 / 2 * 8);
    if (mask > 0) keeps |= 1u << i;
  }
  __syncwarp();
  return keeps;
}

}  // namespace vitrail::cuda
