// The token sequence. All of it is moving rows: each number is read and written once.

#include <array>

#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/ops.h"

namespace vitrail::cuda {
namespace {

// The prefix tokens in their order, each with the number of its rows.
template <class T>
struct Prefix {
  T* part[3];
  std::int64_t rows[3];

  template <class View>
  Prefix(const View& cls, const View& dist, const View& reg) {
    const std::array<View, 3> views = {cls, dist, reg};
    for (std::size_t i = 0; i < 3; ++i) {
      part[i] = const_cast<T*>(static_cast<const float*>(views[i].data));
      rows[i] = views[i] ? views[i].shape[1] : 0;
    }
  }

  __host__ __device__ T* row(std::int64_t token, std::int64_t dim) const {
    // No loop: an index known only at run time would put the arrays into local memory.
    if (token < rows[0]) return part[0] + token * dim;
    token -= rows[0];
    if (token < rows[1]) return part[1] + token * dim;
    token -= rows[1];
    return part[2] + token * dim;
  }
};

// A sample here is a token of an image, its size dim: blockIdx.y runs over (image, token).
struct Embed {
  float* x;
  const float *patches, *pos_embed;
  Prefix<const float> prefix_tokens;
  std::int64_t tokens, patch_count, positions, dim;

  template <int Width>
  __device__ void at(std::int64_t row, std::int64_t element) const {
    const std::int64_t image = row / tokens, token = row % tokens, prefix = tokens - patch_count;
    const float* from = token < prefix ? prefix_tokens.row(token, dim)
                                       : patches + (image * patch_count + token - prefix) * dim;
    Pack<float, Width> value = load<Width>(from + element);
    const std::int64_t position = token - (tokens - positions);
    if (position >= 0) {
      const Pack<float, Width> add = load<Width>(pos_embed + position * dim + element);
#pragma unroll
      for (int i = 0; i < Width; ++i)
        value.of[i] += add.of[i];
    }
    store(x + row * dim + element, value);
  }
};

// Rows [first, first + count) of every sample's `tokens` out of x, or added to it.
template <class T>
struct Slice {
  T* to;
  const T* from;
  std::int64_t tokens, count, first, dim;
  bool add;  // the backward

  template <int Width>
  __device__ void at(std::int64_t row, std::int64_t element) const {
    const std::int64_t whole = (row / count * tokens + first + row % count) * dim + element;
    const std::int64_t part = row * dim + element;
    if (!add) return store(to + part, load<Width>(from + whole));
    Pack<float, Width> value = load_floats<Width>(to + whole);
    const Pack<float, Width> more = load_floats<Width>(from + part);
#pragma unroll
    for (int i = 0; i < Width; ++i)
      value.of[i] += more.of[i];
    store_floats(to + whole, value);
  }
};

// `part` has the sliced rows, `whole` all.
void slice(const Context& context, Out to, In from, In part, In whole, std::int64_t first, bool add) {
  const std::int64_t count = part.shape[1], dim = part.shape[2];
  with_dtype(to.dtype, [&](auto number) {
    using T = decltype(number);
    const Slice<T> slice{to.as<T>(), from.as<T>(), whole.shape[1], count, first, dim, add};
    for_elements<kWidest<T>>(context.stream(), part.shape[0] * count, dim,
                             all_in_packs<kWidest<T>>(dim, slice.to, slice.from), slice);
  });
}

// A sample's size is dim; each thread walks down the tokens of its columns.
struct Mean {
  float* y;
  const float* x;
  std::int64_t tokens, first, dim;
  float share;

  template <int Width>
  __device__ void at(std::int64_t sample, std::int64_t element) const {
    Pack<float, Width> sum{};
    for (std::int64_t token = first; token < tokens; ++token) {
      const Pack<float, Width> value = load<Width>(x + (sample * tokens + token) * dim + element);
#pragma unroll
      for (int i = 0; i < Width; ++i)
        sum.of[i] += value.of[i];
    }
#pragma unroll
    for (int i = 0; i < Width; ++i)
      sum.of[i] *= share;
    store(y + sample * dim + element, sum);
  }
};

struct SpreadMean {
  float* dx;
  const float* dy;
  std::int64_t tokens, first, dim;
  float share;

  template <int Width>
  __device__ void at(std::int64_t row, std::int64_t element) const {
    const std::int64_t pooled = tokens - first, sample = row / pooled;
    float* to = dx + (sample * tokens + first + row % pooled) * dim + element;
    Pack<float, Width> value = load<Width>(to);
    const Pack<float, Width> more = load<Width>(dy + sample * dim + element);
#pragma unroll
    for (int i = 0; i < Width; ++i)
      value.of[i] += more.of[i] * share;
    store(to, value);
  }
};

// Number `column` of (token, dim) of image `row`.
struct TokenGradient {
  const float* dx;
  std::int64_t image_size, first;
  __device__ float operator()(std::int64_t row, std::int64_t column) const {
    return dx[row * image_size + first + column];
  }
};

// acc (rows, dim) += Σ over images of tokens [first, first + rows)
void add_tokens(Context& context, const EmbedTokensBackward& op, Out acc, std::int64_t first) {
  if (!acc) return;
  const std::int64_t tokens = op.dx.shape[1], dim = op.dx.shape[2];
  add_column_sums(context, acc.as<float>(), op.dx.shape[0], acc.shape.elements(),
                  TokenGradient{op.dx.as<float>(), tokens * dim, first * dim});
}

}  // namespace

void execute(Context& context, const EmbedTokensForward& op) {
  const std::int64_t batch = op.x.shape[0], tokens = op.x.shape[1], dim = op.x.shape[2];
  const Embed embed{op.x.as<float>(),
                    op.patches.as<float>(),
                    op.pos_embed.as<float>(),
                    {op.cls_token, op.dist_token, op.reg_token},
                    tokens,
                    op.patches.shape[1],
                    op.pos_embed.shape[1],
                    dim};
  const bool fours = all_in_fours(dim, embed.x, embed.patches, embed.pos_embed, embed.prefix_tokens.part[0],
                                  embed.prefix_tokens.part[1], embed.prefix_tokens.part[2]);
  for_elements(context.stream(), batch * tokens, dim, fours, embed);
}

void execute(Context& context, const EmbedTokensBackward& op) {
  const std::int64_t tokens = op.dx.shape[1], patches = op.dpatches.shape[1];
  execute(context, SliceTokensForward{.y = op.dpatches, .x = op.dx, .first = tokens - patches});
  std::int64_t first = 0;
  for (const Out& acc : {op.dcls_token_acc, op.ddist_token_acc, op.dreg_token_acc}) {
    add_tokens(context, op, acc, first);
    first += acc ? acc.shape[1] : 0;
  }
  add_tokens(context, op, op.dpos_embed_acc, tokens - op.dpos_embed_acc.shape[1]);
}

void execute(Context& context, const SliceTokensForward& op) {
  slice(context, op.y, op.x, op.y, op.x, op.first, false);
}

void execute(Context& context, const SliceTokensBackward& op) {
  slice(context, op.dx_acc, op.dy, op.dy, op.dx_acc, op.first, true);
}

void execute(Context& context, const MeanTokensForward& op) {
  const std::int64_t tokens = op.x.shape[1], dim = op.x.shape[2];
  const Mean mean{op.y.as<float>(),
                  op.x.as<float>(),
                  tokens,
                  op.first,
                  dim,
                  static_cast<float>(1.0 / static_cast<double>(tokens - op.first))};
  for_elements(context.stream(), op.x.shape[0], dim, all_in_fours(dim, mean.y, mean.x), mean);
}

void execute(Context& context, const MeanTokensBackward& op) {
  const std::int64_t tokens = op.dx_acc.shape[1], dim = op.dy.shape[2], pooled = tokens - op.first;
  const SpreadMean spread{op.dx_acc.as<float>(),
                          op.dy.as<float>(),
                          tokens,
                          op.first,
                          dim,
                          static_cast<float>(1.0 / static_cast<double>(pooled))};
  for_elements(context.stream(), op.dy.shape[0] * pooled, dim, all_in_fours(dim, spread.dx, spread.dy),
               spread);
}

}  // namespace vitrail::cuda
