#include <array>

#include "kernels/cpu/attention_bf16.h"
#include "kernels/cpu/dropout_mask.h"
#include "kernels/cpu/heads.h"
#include "kernels/cpu/micro_kernel.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/stream.h"
#include "kernels/cpu/tiles.h"
#include "kernels/cpu/transpose.h"

namespace vitrail::cpu::VITRAIL_ISA {
namespace {

constexpr std::int64_t kQueries = 48;                    // about so many rows of scores at a time
constexpr std::int64_t kMostQueries = kQueries * 3 / 2;  // what piece() may make of it
constexpr std::int64_t kTaskWork =
    30'000'000;  // multiplications; smaller pairs of sample and head share a task

// Queries of one block.
std::int64_t block_of(const Heads& heads) {
  return piece(heads.tokens, kQueries, 1);
}

// Memory of one worker, handed out in pieces that begin on a vector.
template <class T>
class Pieces {
 public:
  Pieces(Context& context, int worker, std::int64_t count)
      : next_(reinterpret_cast<T*>(context.scratch(worker, static_cast<std::size_t>(count) * sizeof(T)))) {}

  Rows<T> take(std::int64_t rows, std::int64_t cols) {
    const Rows<T> piece{next_, cols};
    next_ += rows * cols;
    return piece;
  }

 private:
  T* next_;
};

// Columns and tokens rounded up to whole vectors.
template <class T>
struct Padded {
  std::int64_t dim, tokens;
  explicit Padded(const Heads& heads)
      : dim(rounded_up(heads.head_dim, kLanes<T>)), tokens(rounded_up(heads.tokens, kLanes<T>)) {}
};

// to (head_dim, padded tokens) = fromᵀ, with zeros after the last token.
template <class T>
void transpose(const Rows<const T>& from, const Heads& heads, const Rows<T>& to) {
  transpose_rows(from.data, from.stride, heads.tokens, heads.head_dim, to.data, to.stride);
}

// The rows themselves when they are whole vectors, else a copy of them with zeros behind.
template <class T>
Rows<const T> whole_rows(const Rows<const T>& from, const Heads& heads, std::int64_t count,
                         const Rows<T>& memory) {
  if (heads.head_dim == memory.stride) return from;
  for (std::int64_t row = 0; row < count; ++row) {
    each_vector<T>(heads.head_dim, [&](std::int64_t i, const auto& access) {
      store<T>(memory.at(row) + i, access.load(from.at(row) + i));
    });
  }
  return {memory.data, memory.stride};
}

// to = factor · from, a row of a result. Results are summed up in memory of their own, whose rows lie closer
// together than those of a head.
template <class T>
void write_row(T* to, const T* from, T factor, std::int64_t count, bool past_caches) {
  each_vector<T>(count, [&](std::int64_t i, const auto& access) {
    write_or_stream(access, to + i, access.load(from + i) * factor, past_caches);
  });
}

// scores becomes exp(scale · (scores − largest)), the padding anything. Returns the sum.
template <class T>
T exponentiate(T* scores, std::int64_t tokens, T scale, T largest) {
  Vec<T> sum{};
  each_vector<T>(tokens, [&](std::int64_t i, const auto& access) {
    const Vec<T> value = exp_of((load(scores + i) - largest) * scale);
    store<T>(scores + i, value);
    sum += access.only(value, T{0});
  });
  return sum_of<T>(sum);
}

template <class T>
struct ForwardPair {
  const Heads& heads;
  const Padded<T>& padded;
  const DropoutMask<T>& dropout;
  Pair number;
  Rows<const T> query, keys_transposed, value;
  Rows<const T> next_query, next_key, next_value;
  Rows<T> scores, y, y_memory;
  bool past_caches;  // y
  T* lse;
  T* mask;
};

template <class T>
void drop_scores(const ForwardPair<T>& pair, std::int64_t first, std::int64_t count) {
  for (std::int64_t row = 0; row < count; ++row) {
    T* scores = pair.scores.at(row);
    fill_mask(pair.dropout, pair.heads, pair.number, first + row, pair.mask);
    each_vector<T>(pair.heads.tokens, [&](std::int64_t i, const auto& access) {
      store<T>(scores + i, load(scores + i) * access.load(pair.mask + i));
    });
  }
}

// Queries [first, first + count) of one pair.
template <class T>
void forward_block(const ForwardPair<T>& pair, std::int64_t first, std::int64_t count) {
  const Heads& heads = pair.heads;
  const T scale = static_cast<T>(1 / ::sqrt(static_cast<double>(heads.head_dim)));
  multiply_small<T>(count, pair.padded.tokens, heads.head_dim, {pair.query.at(first), pair.query.stride, 1},
                    pair.keys_transposed.data, pair.keys_transposed.stride, pair.scores.data,
                    pair.scores.stride, false);
  // Step by step over all rows, not row by row: so the processor overlaps the rows' chains of dependent
  // operations.
  T largest[kMostQueries];
  T share[kMostQueries];
  for (std::int64_t row = 0; row < count; ++row)
    largest[row] = largest_score(pair.scores.at(row), heads.tokens);
  for (std::int64_t row = 0; row < count; ++row) {
    for (const Rows<const T>& next : {pair.next_query, pair.next_key, pair.next_value})
      fetch_ahead(next.at(first + row), heads.head_dim);
    share[row] = exponentiate(pair.scores.at(row), heads.tokens, scale, largest[row]);
  }
  for (std::int64_t row = 0; row < count; ++row) {
    pair.lse[first + row] = scale * largest[row] + log_of(share[row]);
    share[row] = T{1} / share[row];
  }
  if (pair.dropout.on()) drop_scores(pair, first, count);
  multiply_small<T>(count, pair.padded.dim, heads.tokens, {pair.scores.data, pair.scores.stride, 1},
                    pair.value.data, pair.value.stride, pair.y_memory.data, pair.y_memory.stride, false);
  for (std::int64_t row = 0; row < count; ++row)
    write_row(pair.y.at(first + row), pair.y_memory.at(row), share[row], heads.head_dim, pair.past_caches);
}

template <class T>
void forward(Context& context, const AttentionForward& op) {
  const Heads heads = heads_of(op.qkv.shape, op.heads);
  const Padded<T> padded(heads);
  const DropoutMask<T> dropout(op.dropout);
  const std::int64_t memory =
      (heads.head_dim + block_of(heads) + 1) * padded.tokens + (heads.tokens + block_of(heads)) * padded.dim;
  each_pair(context, heads, kTaskWork, [&](const Pair& number, const Pair& next, int worker) {
    Pieces<T> pieces(context, worker, memory);
    const Rows<T> keys_transposed = pieces.take(heads.head_dim, padded.tokens);
    transpose(head_of<const T>(op.qkv, heads, number, kKey), heads, keys_transposed);
    const Rows<const T> value = head_of<const T>(op.qkv, heads, number, kValue);
    const Rows<T> y = output_of<T>(op.y, heads, number);
    const ForwardPair<T> pair{
        .heads = heads,
        .padded = padded,
        .dropout = dropout,
        .number = number,
        .query = head_of<const T>(op.qkv, heads, number, kQuery),
        .keys_transposed = {keys_transposed.data, keys_transposed.stride},
        .value = whole_rows(value, heads, heads.tokens, pieces.take(heads.tokens, padded.dim)),
        .next_query = head_of<const T>(op.qkv, heads, next, kQuery),
        .next_key = head_of<const T>(op.qkv, heads, next, kKey),
        .next_value = head_of<const T>(op.qkv, heads, next, kValue),
        .scores = pieces.take(block_of(heads), padded.tokens),
        .y = y,
        .y_memory = pieces.take(block_of(heads), padded.dim),
        .past_caches = streams(y, heads.batch * heads.tokens),
        .lse = lse_of<T>(op.lse, heads, number),
        .mask = pieces.take(1, padded.tokens).data};
    for (std::int64_t first = 0; first < heads.tokens; first += block_of(heads)) {
      forward_block(pair, first, smaller(block_of(heads), heads.tokens - first));
    }
    if (pair.past_caches) finish_streaming();
  });
}

template <class T>
struct BackwardPair {
  const Heads& heads;
  const Padded<T>& padded;
  const DropoutMask<T>& dropout;
  Pair number;
  Rows<const T> query, key, dy, y;  // rows of whole vectors, but y
  Rows<const T> keys_transposed, values_transposed;
  std::array<Rows<const T>, 5> next;  // what the next pair reads
  Rows<T> p, ds;                      // (block, tokens)
  Rows<T> dq, dk, dv;                 // rows of whole vectors
  const T* lse;
  T* mask;
};

// p = exp(scale·s − lse),   ds = scale · p ∘ (mask ∘ dp − delta),   then p = mask ∘ p; zero behind the last
// token. On entry p holds s and ds holds dp; mask may be null.
template <class T>
void score_gradient_row(T* p, T* ds, std::int64_t tokens, T scale, T lse, T delta, const T* mask) {
  each_vector<T>(tokens, [&](std::int64_t i, const auto& access) {
    const Vec<T> value = exp_of(load(p + i) * scale - lse);
    const Vec<T> kept = mask ? access.load(mask + i) : splat(T{1});
    store<T>(ds + i, value * (load(ds + i) * kept - delta) * scale);
    store<T>(p + i, value * kept);
  });
}

template <class T>
T dot(const T* a, const T* b, std::int64_t count) {
  Vec<T> sum{};
  each_vector<T>(count,
                 [&](std::int64_t i, const auto& access) { sum += access.load(a + i) * access.load(b + i); });
  return sum_of<T>(sum);
}

// Queries [first, first + count) of one pair.
template <class T>
void backward_block(const BackwardPair<T>& pair, std::int64_t first, std::int64_t count) {
  const Heads& heads = pair.heads;
  const Padded<T>& padded = pair.padded;
  const T scale = static_cast<T>(1 / ::sqrt(static_cast<double>(heads.head_dim)));
  multiply_small<T>(count, padded.tokens, heads.head_dim, {pair.query.at(first), pair.query.stride, 1},
                    pair.keys_transposed.data, padded.tokens, pair.p.data, padded.tokens, false);
  multiply_small<T>(count, padded.tokens, heads.head_dim, {pair.dy.at(first), pair.dy.stride, 1},
                    pair.values_transposed.data, padded.tokens, pair.ds.data, padded.tokens, false);
  for (std::int64_t row = 0; row < count; ++row) {
    const std::int64_t query = first + row;
    for (const Rows<const T>& next : pair.next)
      fetch_ahead(next.at(query), heads.head_dim);
    const T delta = dot(pair.dy.at(query), pair.y.at(query), heads.head_dim);
    if (pair.dropout.on()) fill_mask(pair.dropout, heads, pair.number, query, pair.mask);
    score_gradient_row(pair.p.at(row), pair.ds.at(row), heads.tokens, scale, pair.lse[query], delta,
                       pair.dropout.on() ? pair.mask : nullptr);
  }
  multiply_small<T>(count, padded.dim, heads.tokens, {pair.ds.data, padded.tokens, 1}, pair.key.data,
                    pair.key.stride, pair.dq.at(first), pair.dq.stride, false);
  multiply_small<T>(heads.tokens, padded.dim, count, {pair.ds.data, 1, padded.tokens}, pair.query.at(first),
                    pair.query.stride, pair.dk.data, pair.dk.stride, first > 0);
  multiply_small<T>(heads.tokens, padded.dim, count, {pair.p.data, 1, padded.tokens}, pair.dy.at(first),
                    pair.dy.stride, pair.dv.data, pair.dv.stride, first > 0);
}

template <class T>
void write_gradient(const AttentionBackward& op, const Heads& heads, const Pair& number, Part part,
                    const Rows<T>& from) {
  const Rows<T> to = head_of<T>(op.dqkv, heads, number, part);
  const bool past_caches = streams(to, heads.batch * heads.tokens);
  for (std::int64_t row = 0; row < heads.tokens; ++row)
    write_row(to.at(row), from.at(row), T{1}, heads.head_dim, past_caches);
  if (past_caches) finish_streaming();
}

template <class T>
void backward_pair(const AttentionBackward& op, const Heads& heads, const Padded<T>& padded,
                   const DropoutMask<T>& dropout, const Pair& number, const Pair& following,
                   Pieces<T> pieces) {
  const auto transposed = [&](Part part) {
    const Rows<T> to = pieces.take(heads.head_dim, padded.tokens);
    transpose(head_of<const T>(op.qkv, heads, number, part), heads, to);
    return Rows<const T>{to.data, to.stride};
  };
  const auto whole = [&](const Rows<const T>& from) {
    return whole_rows(from, heads, heads.tokens, pieces.take(heads.tokens, padded.dim));
  };
  const auto gradient = [&] { return pieces.take(heads.tokens, padded.dim); };
  const BackwardPair<T> pair{
      .heads = heads,
      .padded = padded,
      .dropout = dropout,
      .number = number,
      .query = whole(head_of<const T>(op.qkv, heads, number, kQuery)),
      .key = whole(head_of<const T>(op.qkv, heads, number, kKey)),
      .dy = whole(output_of<const T>(op.dy, heads, number)),
      .y = output_of<const T>(op.y, heads, number),
      .keys_transposed = transposed(kKey),
      .values_transposed = transposed(kValue),
      .next = {head_of<const T>(op.qkv, heads, following, kQuery),
               head_of<const T>(op.qkv, heads, following, kKey),
               head_of<const T>(op.qkv, heads, following, kValue),
               output_of<const T>(op.dy, heads, following), output_of<const T>(op.y, heads, following)},
      .p = pieces.take(block_of(heads), padded.tokens),
      .ds = pieces.take(block_of(heads), padded.tokens),
      .dq = gradient(),
      .dk = gradient(),
      .dv = gradient(),
      .lse = lse_of<const T>(op.lse, heads, number),
      .mask = pieces.take(1, padded.tokens).data};
  for (std::int64_t first = 0; first < heads.tokens; first += block_of(heads)) {
    backward_block(pair, first, smaller(block_of(heads), heads.tokens - first));
  }
  write_gradient(op, heads, number, kQuery, pair.dq);
  write_gradient(op, heads, number, kKey, pair.dk);
  write_gradient(op, heads, number, kValue, pair.dv);
}

template <class T>
void backward(Context& context, const AttentionBackward& op) {
  const Heads heads = heads_of(op.qkv.shape, op.heads);
  const Padded<T> padded(heads);
  const DropoutMask<T> dropout(op.dropout);
  const std::int64_t memory =
      (2 * heads.head_dim + 2 * block_of(heads) + 1) * padded.tokens + 6 * heads.tokens * padded.dim;
  each_pair(context, heads, kTaskWork, [&](const Pair& number, const Pair& next, int worker) {
    backward_pair(op, heads, padded, dropout, number, next, Pieces<T>(context, worker, memory));
  });
}

}  // namespace

void execute(Context& context, const AttentionForward& op) {
  if (op.qkv.dtype == DType::bf16) return attention_bf16(context, op);
  op.qkv.dtype == DType::f64 ? forward<double>(context, op) : forward<float>(context, op);
}

void execute(Context& context, const AttentionBackward& op) {
  if (op.qkv.dtype == DType::bf16) return attention_bf16(context, op);
  op.qkv.dtype == DType::f64 ? backward<double>(context, op) : backward<float>(context, op);
}

}  // namespace vitrail::cpu::VITRAIL_ISA
