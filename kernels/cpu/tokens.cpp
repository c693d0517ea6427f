#include "kernels/tokens.h"

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/chunks.h"
#include "kernels/cpu/ops.h"

namespace vitrail::cpu::VITRAIL_ISA {
namespace {

template <class T>
void copy_row(T* __restrict to, const T* __restrict from, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i)
    to[i] = from[i];
}

// to += from
template <class T>
void add_row(T* __restrict to, const T* __restrict from, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i)
    to[i] += from[i];
}

void add_row(Bf16* to, const Bf16* from, std::int64_t n) {
  each_vector<float>(n, [&](std::int64_t i, const auto& access) {
    write(access, to + i, read(access, to + i) + read(access, from + i));
  });
}

// The prefix tokens one after the other: row t of cls, dist and reg together, null beyond them.
template <class T, class Token>
T* prefix_row(const Token& cls, const Token& dist, const Token& reg, std::int64_t token, std::int64_t dim) {
  for (const Token* part : {&cls, &dist, &reg}) {
    if (!*part) continue;
    if (token < part->shape[1]) return part->template as<std::remove_const_t<T>>() + token * dim;
    token -= part->shape[1];
  }
  return nullptr;
}

template <class T>
void embed_forward(Context& context, const EmbedTokensForward& op) {
  const std::int64_t batch = op.x.shape[0], tokens = op.x.shape[1], dim = op.x.shape[2];
  const std::int64_t patches = op.patches.shape[1], prefix = tokens - patches;
  const std::int64_t first_with_position = tokens - op.pos_embed.shape[1];
  for_chunks(context, batch * tokens, rows_per_chunk(dim), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t sample = row / tokens, token = row % tokens;
      const T* from = token < prefix
                          ? prefix_row<const T>(op.cls_token, op.dist_token, op.reg_token, token, dim)
                          : op.patches.as<T>() + (sample * patches + token - prefix) * dim;
      T* to = op.x.as<T>() + row * dim;
      copy_row(to, from, dim);
      if (token < first_with_position) continue;
      add_row(to, op.pos_embed.as<T>() + (token - first_with_position) * dim, dim);
    }
  });
}

// One token of all samples: dpatches = dx,   total = Σ dx over the samples, in their order.
template <class T>
void embed_backward_token(const EmbedTokensBackward& op, std::int64_t token, T* total) {
  const std::int64_t batch = op.dx.shape[0], tokens = op.dx.shape[1], dim = op.dx.shape[2];
  const std::int64_t patches = op.dpatches.shape[1], prefix = tokens - patches;
  for (std::int64_t i = 0; i < dim; ++i)
    total[i] = 0;
  for (std::int64_t sample = 0; sample < batch; ++sample) {
    const T* dx = op.dx.as<T>() + (sample * tokens + token) * dim;
    add_row(total, dx, dim);
    if (token < prefix) continue;
    copy_row(op.dpatches.as<T>() + (sample * patches + token - prefix) * dim, dx, dim);
  }
}

template <class T>
void embed_backward(Context& context, const EmbedTokensBackward& op) {
  const std::int64_t tokens = op.dx.shape[1], dim = op.dx.shape[2];
  const std::int64_t prefix = tokens - op.dpatches.shape[1];
  const std::int64_t first_with_position = tokens - op.dpos_embed_acc.shape[1];
  context.pool().parallel_for(tokens, [&](std::int64_t token, int worker) {
    T* total = reinterpret_cast<T*>(context.scratch(worker, static_cast<std::size_t>(dim) * sizeof(T)));
    embed_backward_token(op, token, total);
    if (token < prefix) {
      add_row(prefix_row<T>(op.dcls_token_acc, op.ddist_token_acc, op.dreg_token_acc, token, dim), total,
              dim);
    }
    if (token >= first_with_position) {
      add_row(op.dpos_embed_acc.as<T>() + (token - first_with_position) * dim, total, dim);
    }
  });
}

template <class T>
void slice_forward(Context& context, const SliceTokensForward& op) {
  const std::int64_t tokens = op.x.shape[1], count = op.y.shape[1], dim = op.x.shape[2];
  for_chunks(context, op.y.shape[0] * count, rows_per_chunk(dim), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t source = row / count * tokens + op.first + row % count;
      copy_row(op.y.as<T>() + row * dim, op.x.as<T>() + source * dim, dim);
    }
  });
}

template <class T>
void slice_backward(Context& context, const SliceTokensBackward& op) {
  const std::int64_t tokens = op.dx_acc.shape[1], count = op.dy.shape[1], dim = op.dy.shape[2];
  for_chunks(context, op.dy.shape[0] * count, rows_per_chunk(dim), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t target = row / count * tokens + op.first + row % count;
      add_row(op.dx_acc.as<T>() + target * dim, op.dy.as<T>() + row * dim, dim);
    }
  });
}

template <class T>
void mean_forward(Context& context, const MeanTokensForward& op) {
  const std::int64_t tokens = op.x.shape[1], dim = op.x.shape[2];
  const T share = static_cast<T>(1.0 / static_cast<double>(tokens - op.first));
  context.pool().parallel_for(op.x.shape[0], [&](std::int64_t sample, int) {
    T* y = op.y.as<T>() + sample * dim;
    const T* x = op.x.as<T>() + sample * tokens * dim;
    copy_row(y, x + op.first * dim, dim);
    for (std::int64_t token = op.first + 1; token < tokens; ++token)
      add_row(y, x + token * dim, dim);
    for (std::int64_t i = 0; i < dim; ++i)
      y[i] *= share;
  });
}

template <class T>
void mean_backward(Context& context, const MeanTokensBackward& op) {
  const std::int64_t tokens = op.dx_acc.shape[1], dim = op.dy.shape[2], pooled = tokens - op.first;
  const T share = static_cast<T>(1.0 / static_cast<double>(pooled));
  const std::int64_t rows = op.dy.shape[0] * pooled;
  for_chunks(context, rows, rows_per_chunk(dim), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t sample = row / pooled;
      const T* dy = op.dy.as<T>() + sample * dim;
      T* dx = op.dx_acc.as<T>() + (sample * tokens + op.first + row % pooled) * dim;
      for (std::int64_t i = 0; i < dim; ++i)
        dx[i] += dy[i] * share;
    }
  });
}

}  // namespace

void execute(Context& context, const EmbedTokensForward& op) {
  if (op.x.dtype == DType::f64) return embed_forward<double>(context, op);
  embed_forward<float>(context, op);
}

void execute(Context& context, const EmbedTokensBackward& op) {
  if (op.dx.dtype == DType::f64) return embed_backward<double>(context, op);
  embed_backward<float>(context, op);
}

void execute(Context& context, const SliceTokensForward& op) {
  if (op.x.dtype == DType::f64) return slice_forward<double>(context, op);
  if (op.x.dtype == DType::bf16) return slice_forward<Bf16>(context, op);
  slice_forward<float>(context, op);
}

void execute(Context& context, const SliceTokensBackward& op) {
  if (op.dy.dtype == DType::f64) return slice_backward<double>(context, op);
  if (op.dy.dtype == DType::bf16) return slice_backward<Bf16>(context, op);
  slice_backward<float>(context, op);
}

void execute(Context& context, const MeanTokensForward& op) {
  if (op.x.dtype == DType::f64) return mean_forward<double>(context, op);
  mean_forward<float>(context, op);
}

void execute(Context& context, const MeanTokensBackward& op) {
  if (op.dy.dtype == DType::f64) return mean_backward<double>(context, op);
  mean_backward<float>(context, op);
}

}  // namespace vitrail::cpu::VITRAIL_ISA
