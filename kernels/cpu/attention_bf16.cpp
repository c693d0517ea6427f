#include "kernels/cpu/attention_bf16.h"

#include <array>

#include "kernels/cpu/heads.h"
#include "kernels/cpu/linear_parts.h"
#include "kernels/cpu/stream.h"

namespace vitrail::cpu::VITRAIL_ISA {
namespace {

constexpr std::int64_t kScoreRows = 4 * kBlockRows;  // queries whose f32 scores are held at a time
constexpr std::int64_t kTaskWork = 8'000'000;        // multiplications; smaller pairs share a task
constexpr std::int64_t kGradientBytes = 400'000;     // of p and ds in bf16: with the rest in a second cache
constexpr float kLog2E = 1.44269504088896341f;

std::int64_t padded_tokens(const Heads& heads) {
  return padded_cols(heads.tokens);
}
std::int64_t padded_dim(const Heads& heads) {
  return padded_cols(heads.head_dim);
}
std::int64_t even_dim(const Heads& heads) {
  return 2 * pairs_of(heads.head_dim);
}
float scale_of(const Heads& heads) {
  return static_cast<float>(1 / ::sqrt(static_cast<double>(heads.head_dim)));
}

// Memory of one worker, handed out in pieces that begin on a vector. Counted first: a Pieces of nothing adds
// up.
class Pieces {
 public:
  explicit Pieces(std::byte* memory) : memory_(memory) {}

  template <class T>
  T* take(std::int64_t count) {
    auto* piece = memory_ ? reinterpret_cast<T*>(memory_ + used_) : nullptr;
    used_ += (static_cast<std::size_t>(count) * sizeof(T) + 63) / 64 * 64;
    return piece;
  }
  template <class T>
  Rows<T> rows(std::int64_t count, std::int64_t stride) {
    return {take<T>(count * stride), stride};
  }
  std::size_t used() const { return used_; }

 private:
  std::byte* memory_;
  std::size_t used_ = 0;
};

// b of a product from rows, or from rows as its columns; see kernels/cpu/pack.h.
void pack_all(bool columns, const Rows<const Bf16>& from, std::int64_t depth, std::int64_t cols,
              std::uint32_t* to) {
  for (std::int64_t col = 0; col < cols; col += kPanelCols) {
    const std::int64_t count = smaller(kPanelCols, cols - col);
    std::uint32_t* panel = to + col * pairs_of(depth);
    columns ? pack_columns(from.at(col), from.stride, depth, count, panel)
            : pack_rows(from.data + col, from.stride, depth, count, panel);
  }
}

// 2^t for t up to about 0, to a relative 3e-6.
#ifdef __AVX512F__
// 2^n · 2^f with n = ⌊t⌋, the latter by a polynomial fitted on [0, 1).
Vec<float> power_of_two(const Vec<float>& t) {
  constexpr int kFloor = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
  const auto f = reinterpret_cast<Vec<float>>(_mm512_reduce_ps(reinterpret_cast<__m512>(t), kFloor));
  const Vec<float> p =
      (((f * 0.0135341678f + 0.0520114601f) * f + 0.241442755f) * f + 0.693003833f) * f + 1.00000262f;
  return reinterpret_cast<Vec<float>>(
      _mm512_scalef_ps(reinterpret_cast<__m512>(p), reinterpret_cast<__m512>(t)));
}
#else
// The power series of degree 5.
Vec<float> power_of_two(Vec<float> t) {
  constexpr float kRounder = 0x1.8p23f;  // added and taken away again, it rounds to a whole number
  t = t < -126.0f ? splat(-126.0f) : t;  // a NaN stays
  const Vec<float> shifted = t + kRounder;
  const Vec<float> f = t - (shifted - kRounder);
  Vec<float> p = f * 1.33335581e-3f + 9.61812911e-3f;
  p = p * f + 5.55041087e-2f;
  p = p * f + 2.40226507e-1f;
  p = p * f + 6.93147181e-1f;
  p = p * f + 1.0f;
  return reinterpret_cast<Vec<float>>(reinterpret_cast<IntVec>(p) +
                                      (reinterpret_cast<IntVec>(shifted) << 23));
}
#endif

constexpr WholeVector<float> kWhole{};  // on rows that have room for whole vectors

// p = 2^(factor · (scores − largest)) times the mask (may be null), 0 behind the last token. Returns the sum
// before the mask.
float exponentiate(const float* scores, std::int64_t tokens, float factor, float largest, const float* mask,
                   Bf16* p) {
  Vec<float> sum{};
  const float offset = largest * factor;
  each_vector<float>(tokens, [&](std::int64_t i, const auto& access) {
    Vec<float> value = access.only(power_of_two(load(scores + i) * factor - offset), 0.0f);
    sum += value;
    if (mask) value *= access.load(mask + i);
    write_bits(kWhole, p + i, rounded_to_bf16(value));
  });
  return sum_of<float>(sum);
}

struct ForwardMemory {
  std::uint32_t *keys,
      *values;               // packed: keys as columns (head_dim, tokens), values as rows (tokens, head_dim)
  Rows<float> scores, sums;  // (kScoreRows, tokens), (kScoreRows, head_dim)
  Rows<Bf16> p;              // (kScoreRows, tokens)
  Bf16* left;
  float* mask;

  ForwardMemory(Pieces& pieces, const Heads& heads)
      : keys(pieces.take<std::uint32_t>(packed_words(heads.head_dim, heads.tokens))),
        values(pieces.take<std::uint32_t>(packed_words(heads.tokens, heads.head_dim))),
        scores(pieces.rows<float>(kScoreRows, padded_tokens(heads))),
        sums(pieces.rows<float>(kScoreRows, padded_dim(heads))),
        p(pieces.rows<Bf16>(kScoreRows, padded_tokens(heads))),
        left(pieces.take<Bf16>(kScoreRows * even_dim(heads))),
        mask(pieces.take<float>(padded_tokens(heads))) {}
};

// The rows of one product: a has rows of numbers, two and two a pair.
PairProduct rows_product(std::int64_t rows, std::int64_t cols, std::int64_t depth, const Rows<const Bf16>& a,
                         const std::uint32_t* b, const Rows<float>& c) {
  return {.m = rows,
          .n = cols,
          .pairs = pairs_of(depth),
          .a = a.data,
          .a_row = a.stride,
          .a_pair = 2,
          .b = b,
          .c = c.data,
          .c_stride = c.stride,
          .accumulate = false};
}

// One sample and head.
struct ForwardPair {
  const Heads& heads;
  const DropoutMask<float>& dropout;
  Pair number;
  Rows<const Bf16> query;
  std::array<Rows<const Bf16>, 3> next;  // what the next pair reads
  Rows<Bf16> y;
  bool past_caches;  // y
  float* lse;
};

// Queries [first, first + count).
void forward_block(const ForwardPair& pair, const ForwardMemory& memory, std::int64_t first,
                   std::int64_t count) {
  const Heads& heads = pair.heads;
  const float factor = scale_of(heads) * kLog2E;
  const Rows<const Bf16> query =
      with_even_depth({pair.query.at(first), pair.query.stride}, count, heads.head_dim, memory.left);
  multiply_pairs(rows_product(count, heads.tokens, heads.head_dim, query, memory.keys, memory.scores));
  float largest[kScoreRows], sum[kScoreRows];
  for (std::int64_t row = 0; row < count; ++row)
    largest[row] = largest_score(memory.scores.at(row), heads.tokens);
  for (std::int64_t row = 0; row < count; ++row) {
    const float* mask = nullptr;
    for (const Rows<const Bf16>& next : pair.next)
      fetch_ahead(next.at(first + row), heads.head_dim);
    if (pair.dropout.on()) {
      fill_mask(pair.dropout, heads, pair.number, first + row, memory.mask);
      mask = memory.mask;
    }
    sum[row] =
        exponentiate(memory.scores.at(row), heads.tokens, factor, largest[row], mask, memory.p.at(row));
  }
  multiply_pairs(rows_product(count, heads.head_dim, heads.tokens, {memory.p.data, memory.p.stride},
                              memory.values, memory.sums));
  for (std::int64_t row = 0; row < count; ++row) {
    pair.lse[first + row] = scale_of(heads) * largest[row] + log_of(sum[row]);
    const float share = 1 / sum[row];
    each_vector<float>(heads.head_dim, [&](std::int64_t i, const auto& access) {
      write_or_stream(access, pair.y.at(first + row) + i, load(memory.sums.at(row) + i) * share,
                      pair.past_caches);
    });
  }
}

// a (rows, tokens), its gradient, and both between the two halves of a pair of queries: (rows / 2, tokens)
// words.
struct GradientRows {
  Rows<Bf16> ds;
  Rows<std::uint32_t> ds_pairs, p_pairs;
};

struct BackwardMemory {
  std::uint32_t *key_columns, *value_columns, *keys;  // packed
  std::uint32_t *queries, *dy;                        // packed rows of one block of queries
  Rows<float> p, dp, sums;                            // (kScoreRows, …)
  GradientRows block;
  Rows<float> dk, dv;  // (tokens, head_dim)
  Bf16 *query_left, *dy_left;
  float* mask;  // of two rows

  BackwardMemory(Pieces& pieces, const Heads& heads, std::int64_t block_rows)
      : key_columns(pieces.take<std::uint32_t>(packed_words(heads.head_dim, heads.tokens))),
        value_columns(pieces.take<std::uint32_t>(packed_words(heads.head_dim, heads.tokens))),
        keys(pieces.take<std::uint32_t>(packed_words(heads.tokens, heads.head_dim))),
        queries(pieces.take<std::uint32_t>(packed_words(block_rows, heads.head_dim))),
        dy(pieces.take<std::uint32_t>(packed_words(block_rows, heads.head_dim))),
        p(pieces.rows<float>(kScoreRows, padded_tokens(heads))),
        dp(pieces.rows<float>(kScoreRows, padded_tokens(heads))),
        sums(pieces.rows<float>(kScoreRows, padded_dim(heads))),
        block{pieces.rows<Bf16>(block_rows, padded_tokens(heads)),
              pieces.rows<std::uint32_t>(block_rows / 2, padded_tokens(heads)),
              pieces.rows<std::uint32_t>(block_rows / 2, padded_tokens(heads))},
        dk(pieces.rows<float>(heads.tokens, padded_dim(heads))),
        dv(pieces.rows<float>(heads.tokens, padded_dim(heads))),
        query_left(pieces.take<Bf16>(kScoreRows * even_dim(heads))),
        dy_left(pieces.take<Bf16>(kScoreRows * even_dim(heads))),
        mask(pieces.take<float>(2 * padded_tokens(heads))) {}
};

struct BackwardPair {
  const Heads& heads;
  const DropoutMask<float>& dropout;
  Pair number;
  Rows<const Bf16> query, key, value, y, dy;
  std::array<Rows<const Bf16>, 5> next;  // what the next pair reads
  Rows<Bf16> dq;
  bool past_caches;  // dq, dk, dv
  const float* lse;
};

float dot(const Bf16* a, const Bf16* b, std::int64_t count) {
  Vec<float> sum{};
  each_vector<float>(
      count, [&](std::int64_t i, const auto& access) { sum += read(access, a + i) * read(access, b + i); });
  return sum_of<float>(sum);
}

// What one row of scores needs to become p and ds.
struct ScoreRow {
  const float *s, *dp, *mask;  // mask may be null
  float lse, delta;
};

ScoreRow score_row(const BackwardPair& pair, const BackwardMemory& memory, std::int64_t first,
                   std::int64_t row, float* mask) {
  const Heads& heads = pair.heads;
  const std::int64_t query = first + row;
  for (const Rows<const Bf16>& next : pair.next)
    fetch_ahead(next.at(query), heads.head_dim);
  if (pair.dropout.on()) fill_mask(pair.dropout, heads, pair.number, query, mask);
  return {memory.p.at(row), memory.dp.at(row), pair.dropout.on() ? mask : nullptr, pair.lse[query] * kLog2E,
          dot(pair.dy.at(query), pair.y.at(query), heads.head_dim)};
}

// p = 2^(factor·s − lse),   ds = scale · p ∘ (mask ∘ dp − delta),   then p = mask ∘ p; rounded.
struct RoundedScores {
  HalfBitsVec p, ds;

  template <class Access>
  RoundedScores(const Access& access, const ScoreRow& row, std::int64_t i, float scale) {
    Vec<float> value = access.only(power_of_two(load(row.s + i) * (scale * kLog2E) - row.lse), 0.0f);
    Vec<float> gradient = load(row.dp + i);
    if (row.mask) gradient *= access.load(row.mask + i);
    ds = rounded_to_bf16(value * (gradient - row.delta) * scale);
    if (row.mask) value *= access.load(row.mask + i);
    p = rounded_to_bf16(value);
  }
};

void store_words(std::uint32_t* to, const HalfBitsVec& low, const HalfBitsVec& high) {
  const BitsVec words = combined(low, high);
  std::memcpy(to, &words, sizeof words);
}

// Rows `at` and the next of the block, from rows `row` and the next of the scores; with one row left, 0
// beside it.
void score_gradients(const BackwardPair& pair, const BackwardMemory& memory, std::int64_t first,
                     std::int64_t row, bool both, std::int64_t at) {
  const std::int64_t tokens = pair.heads.tokens;
  const float scale = scale_of(pair.heads);
  const ScoreRow low = score_row(pair, memory, first, row, memory.mask);
  const ScoreRow high =
      both ? score_row(pair, memory, first, row + 1, memory.mask + padded_tokens(pair.heads)) : low;
  const GradientRows& to = memory.block;
  each_vector<float>(tokens, [&](std::int64_t i, const auto& access) {
    const RoundedScores a(access, low, i, scale);
    RoundedScores b(access, high, i, scale);
    if (!both) b.p = b.ds = HalfBitsVec{};
    write_bits(kWhole, to.ds.at(at) + i, a.ds);
    if (both) write_bits(kWhole, to.ds.at(at + 1) + i, b.ds);
    store_words(to.ds_pairs.at(at / 2) + i, a.ds, b.ds);
    store_words(to.p_pairs.at(at / 2) + i, a.p, b.p);
  });
}

// Queries [first, first + count): p and ds into rows `at` and on of the block, and dq.
void backward_scores(const BackwardPair& pair, const BackwardMemory& memory, std::int64_t first,
                     std::int64_t count, std::int64_t at) {
  const Heads& heads = pair.heads;
  const auto even = [&](const Rows<const Bf16>& from, Bf16* left) {
    return with_even_depth({from.at(first), from.stride}, count, heads.head_dim, left);
  };
  multiply_pairs(rows_product(count, heads.tokens, heads.head_dim, even(pair.query, memory.query_left),
                              memory.key_columns, memory.p));
  multiply_pairs(rows_product(count, heads.tokens, heads.head_dim, even(pair.dy, memory.dy_left),
                              memory.value_columns, memory.dp));
  for (std::int64_t row = 0; row < count; row += 2)
    score_gradients(pair, memory, first, row, row + 1 < count, at + row);
  const Rows<Bf16>& ds = memory.block.ds;
  multiply_pairs(
      rows_product(count, heads.head_dim, heads.tokens, {ds.at(at), ds.stride}, memory.keys, memory.sums));
  for (std::int64_t row = 0; row < count; ++row)
    convert_or_stream(pair.dq.at(first + row), memory.sums.at(row), heads.head_dim, pair.past_caches);
}

// to (tokens, head_dim) (+)= aᵀ · b over the queries of a block
void add_queries(const Heads& heads, std::int64_t queries, const Rows<std::uint32_t>& a,
                 const std::uint32_t* b, const Rows<float>& to, bool accumulate) {
  multiply_pairs(PairProduct{.m = heads.tokens,
                             .n = heads.head_dim,
                             .pairs = pairs_of(queries),
                             .a = reinterpret_cast<const Bf16*>(a.data),
                             .a_row = 2,
                             .a_pair = 2 * a.stride,
                             .b = b,
                             .c = to.data,
                             .c_stride = to.stride,
                             .accumulate = accumulate});
}

// Queries of one block: many, because dk and dv are read and written once for each.
std::int64_t block_rows(const Heads& heads) {
  const std::int64_t wanted = kGradientBytes / (3 * 2 * padded_tokens(heads)) / kScoreRows * kScoreRows;
  return piece(heads.tokens, smaller(greater(wanted, kScoreRows), 4 * kScoreRows), kScoreRows);
}

void backward_pair(const BackwardPair& pair, const BackwardMemory& memory) {
  const Heads& heads = pair.heads;
  pack_all(true, pair.key, heads.head_dim, heads.tokens, memory.key_columns);
  pack_all(true, pair.value, heads.head_dim, heads.tokens, memory.value_columns);
  pack_all(false, pair.key, heads.tokens, heads.head_dim, memory.keys);
  const std::int64_t rows = block_rows(heads);
  for (std::int64_t first = 0; first < heads.tokens; first += rows) {
    const std::int64_t count = smaller(rows, heads.tokens - first);
    for (std::int64_t row = 0; row < count; row += kScoreRows) {
      backward_scores(pair, memory, first + row, smaller(kScoreRows, count - row), row);
    }
    pack_all(false, {pair.query.at(first), pair.query.stride}, count, heads.head_dim, memory.queries);
    pack_all(false, {pair.dy.at(first), pair.dy.stride}, count, heads.head_dim, memory.dy);
    add_queries(heads, count, memory.block.ds_pairs, memory.queries, memory.dk, first > 0);
    add_queries(heads, count, memory.block.p_pairs, memory.dy, memory.dv, first > 0);
  }
}

// Whether results in rows of heads are written past the caches: `first` is the first head's.
bool streams_heads(const Rows<Bf16>& first, const Heads& heads) {
  return heads.head_dim % kLanes<float> == 0 && streams(first, heads.batch * heads.tokens);
}

void round_rows(const Rows<float>& from, const Rows<Bf16>& to, const Heads& heads, bool past_caches) {
  for (std::int64_t token = 0; token < heads.tokens; ++token)
    convert_or_stream(to.at(token), from.at(token), heads.head_dim, past_caches);
}

}  // namespace

void attention_bf16(Context& context, const AttentionForward& op) {
  const Heads heads = heads_of(op.qkv.shape, op.heads);
  const DropoutMask<float> dropout(op.dropout);
  Pieces counted(nullptr);
  const ForwardMemory count_them(counted, heads);
  const bool past_caches = streams_heads(output_of<Bf16>(op.y, heads, {0, 0}), heads);
  each_pair(context, heads, kTaskWork, [&](const Pair& number, const Pair& following, int worker) {
    Pieces pieces(context.scratch(worker, counted.used()));
    const ForwardMemory memory(pieces, heads);
    const auto part = [&](Part which) { return head_of<const Bf16>(op.qkv, heads, number, which); };
    const auto next_part = [&](Part which) { return head_of<const Bf16>(op.qkv, heads, following, which); };
    pack_all(true, part(kKey), heads.head_dim, heads.tokens, memory.keys);
    pack_all(false, part(kValue), heads.tokens, heads.head_dim, memory.values);
    const ForwardPair pair{.heads = heads,
                           .dropout = dropout,
                           .number = number,
                           .query = part(kQuery),
                           .next = {next_part(kQuery), next_part(kKey), next_part(kValue)},
                           .y = output_of<Bf16>(op.y, heads, number),
                           .past_caches = past_caches,
                           .lse = lse_of<float>(op.lse, heads, number)};
    for (std::int64_t first = 0; first < heads.tokens; first += kScoreRows)
      forward_block(pair, memory, first, smaller(kScoreRows, heads.tokens - first));
    if (past_caches) finish_streaming();
  });
}

void attention_bf16(Context& context, const AttentionBackward& op) {
  const Heads heads = heads_of(op.qkv.shape, op.heads);
  const DropoutMask<float> dropout(op.dropout);
  Pieces counted(nullptr);
  const BackwardMemory count_them(counted, heads, block_rows(heads));
  const bool past_caches = streams_heads(head_of<Bf16>(op.dqkv, heads, {0, 0}, kQuery), heads);
  each_pair(context, heads, kTaskWork, [&](const Pair& number, const Pair& following, int worker) {
    Pieces pieces(context.scratch(worker, counted.used()));
    const BackwardMemory memory(pieces, heads, block_rows(heads));
    const auto part = [&](Part which) { return head_of<const Bf16>(op.qkv, heads, number, which); };
    const auto next_part = [&](Part which) { return head_of<const Bf16>(op.qkv, heads, following, which); };
    const auto gradient = [&](Part which) { return head_of<Bf16>(op.dqkv, heads, number, which); };
    const BackwardPair pair{.heads = heads,
                            .dropout = dropout,
                            .number = number,
                            .query = part(kQuery),
                            .key = part(kKey),
                            .value = part(kValue),
                            .y = output_of<const Bf16>(op.y, heads, number),
                            .dy = output_of<const Bf16>(op.dy, heads, number),
                            .next = {next_part(kQuery), next_part(kKey), next_part(kValue),
                                     output_of<const Bf16>(op.y, heads, following),
                                     output_of<const Bf16>(op.dy, heads, following)},
                            .dq = gradient(kQuery),
                            .past_caches = past_caches,
                            .lse = lse_of<const float>(op.lse, heads, number)};
    backward_pair(pair, memory);
    round_rows(memory.dk, gradient(kKey), heads, pair.past_caches);
    round_rows(memory.dv, gradient(kValue), heads, pair.past_caches);
    if (pair.past_caches) finish_streaming();
  });
}

}  // namespace vitrail::cpu::VITRAIL_ISA
