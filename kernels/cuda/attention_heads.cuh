#pragma once
// What the kernels of attention share in every dtype: the rows of one sample and head inside qkv and y, and
// which of them a block of threads has.

#include <cuda_launch.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <type_traits>

#include "kernels/attention.h"
#include "kernels/cuda/context.h"
#include "kernels/cuda/dropout_mask.cuh"
#include "kernels/error.h"

namespace vitrail::cuda {

struct AttentionSizes {
  std::int64_t batch;
  int tokens, heads, head_dim;
  bool aligned;  // all rows can be read in aligned pieces of 16 bytes

  __host__ __device__ std::int64_t dim() const { return std::int64_t{heads} * head_dim; }
  std::int64_t pairs() const { return batch * heads; }
};

// `data` are the tensors with rows of heads.
template <class... T>
AttentionSizes attention_sizes(const Shape& qkv, std::int64_t heads, const T*... data) {
  const std::int64_t head_dim = qkv.dims[2] / 3 / heads;
  const auto aligned = [&](const auto* of) {
    return head_dim * sizeof(*of) % 16 == 0 && reinterpret_cast<std::uintptr_t>(of) % 16 == 0;
  };
  return {qkv.dims[0], static_cast<int>(qkv.dims[1]), static_cast<int>(heads), static_cast<int>(head_dim),
          (aligned(data) && ...)};
}

inline float score_scale(const AttentionSizes& sizes) {
  return static_cast<float>(1 / std::sqrt(static_cast<double>(sizes.head_dim)));
}

// Which block of threads this is: a pair of sample and head, and Rows of its tokens.
template <int Rows>
struct BlockPlace {
  std::int64_t sample;
  int head, first;

  __device__ explicit BlockPlace(const AttentionSizes& sizes) {
    const unsigned tiles = static_cast<unsigned>(sizes.tokens + Rows - 1) / Rows;
    const unsigned pair = blockIdx.x / tiles;
    sample = pair / static_cast<unsigned>(sizes.heads);
    head = static_cast<int>(pair % static_cast<unsigned>(sizes.heads));
    first = static_cast<int>(blockIdx.x % tiles) * Rows;
  }
  // Of a row of lse or delta, (batch, heads, tokens).
  __device__ std::int64_t statistics(const AttentionSizes& sizes) const {
    return (sample * sizes.heads + head) * sizes.tokens;
  }
};

// Rows of one head inside a larger tensor.
template <class T>
struct HeadRows {
  T* data;
  std::int64_t stride;
};

// part: 0 query, 1 key, 2 value
template <class T>
__device__ HeadRows<T> head_of_qkv(T* qkv, const AttentionSizes& sizes, std::int64_t sample, int head,
                                   int part) {
  return {qkv + (sample * sizes.tokens * 3 + part) * sizes.dim() + head * sizes.head_dim, 3 * sizes.dim()};
}

// Of y and dy, (batch, tokens, heads · head_dim).
template <class T>
__device__ HeadRows<T> head_of_output(T* y, const AttentionSizes& sizes, std::int64_t sample, int head) {
  return {y + sample * sizes.tokens * sizes.dim() + head * sizes.head_dim, sizes.dim()};
}

// One Philox number of four is used, because a thread's columns are not neighbours: dropout of attention
// costs about 60 integer instructions for each score.
__device__ inline float mask_of_score(const DropoutMask& dropout, const AttentionSizes& sizes,
                                      std::int64_t sample, int head, int query, int key) {
  if (!dropout.on()) return 1.0f;
  return dropout.at<1>(sample, (std::int64_t{head} * sizes.tokens + query) * sizes.tokens + key).of[0];
}

// Calls body with the smallest of these sizes that the head fits into, as a type. Throws Error when there is
// none.
template <int... Dims, class Body>
void with_head_dim(const char* op, int head_dim, const Body& body) {
  constexpr int kLargest = std::max({Dims...});
  if (!((head_dim <= Dims && (body(std::integral_constant<int, Dims>{}), true)) || ...)) {
    throw Error(std::string(op) + ": heads of " + std::to_string(head_dim) +
                " numbers; the cuda backend has up to " + std::to_string(kLargest));
  }
}

}  // namespace vitrail::cuda
