#include "kernels/cpu/pair_product.h"

#include "kernels/cpu/tiles.h"
#include "kernels/cpu/vec.h"
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

namespace vitrail::cpu::VITRAIL_ISA {
namespace {

typedef std::uint32_t Words __attribute__((vector_size(kVectorBytes)));

inline Words load_words(const std::uint32_t* from) {
  Words result;
  std::memcpy(&result, from, sizeof result);
  return result;
}

// sum += both products of each pair
#ifdef __AVX512BF16__
struct Right {
  Words pairs;
  explicit Right(const std::uint32_t* from) : pairs(load_words(from)) {}
};

inline Vec<float> add_pairs(const Vec<float>& sum, std::uint32_t left, const Right& right) {
  return reinterpret_cast<Vec<float>>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sum),
                                                       (__m512bh)_mm512_set1_epi32(static_cast<int>(left)),
                                                       (__m512bh)right.pairs));
}
#else
struct Right {
  Vec<float> low, high;
  explicit Right(const std::uint32_t* from)
      : low(reinterpret_cast<Vec<float>>(load_words(from) << 16)),
        high(reinterpret_cast<Vec<float>>(load_words(from) & 0xffff0000u)) {}
};

inline Vec<float> add_pairs(Vec<float> sum, std::uint32_t left, const Right& right) {
  const Words pairs = left - Words{};
  sum += reinterpret_cast<Vec<float>>(pairs << 16) * right.low;
  sum += reinterpret_cast<Vec<float>>(pairs & 0xffff0000u) * right.high;
  return sum;
}
#endif

// Rows at a time: as many as leave registers for a line of b and a number of a.
constexpr int kRowsAtATime = kVectorRegisters == 32 ? static_cast<int>(kBlockRows) : 4;

// c (kRows, kVectors vectors); `width` is that of the panel that b points into. Asks for a line a pair, the
// first of them `number` behind the product's first.
template <int kRows, int kVectors>
void multiply_tile(const PairProduct& product, const Bf16* a, const std::uint32_t* b, std::int64_t width,
                   float* c, std::int64_t number) {
  Vec<float> sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      sum[i][v] = Vec<float>{};
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
    __builtin_prefetch(c + i * product.c_stride, 1);  // rows of c may be far apart, and far away
  // Four rows a pointer: their distances are then multiples of one register.
  const Bf16* group[(kRows + 3) / 4];
#pragma GCC unroll 4
  for (int g = 0; g < (kRows + 3) / 4; ++g)
    group[g] = a + 4 * g * product.a_row;
  const std::int64_t a_row = product.a_row, a_pair = product.a_pair;
  const bool asks = number < product.ahead.count;
  const Bf16* ahead = asks ? product.ahead.first + number * product.ahead.step : a;
  const std::int64_t ahead_step = asks ? product.ahead.step : 0;
  for (std::int64_t p = 0; p < product.pairs; ++p, b += width, ahead += ahead_step) {
    __builtin_prefetch(ahead, 0, 2);
    const Right first(b);
    const Right second(b + (kVectors > 1 ? kLanes<float> : 0));
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      std::uint32_t left;
      std::memcpy(&left, group[i / 4] + (i % 4) * a_row, sizeof left);
      sum[i][0] = add_pairs(sum[i][0], left, first);
      if constexpr (kVectors > 1) sum[i][1] = add_pairs(sum[i][1], left, second);
    }
#pragma GCC unroll 4
    for (int g = 0; g < (kRows + 3) / 4; ++g)
      group[g] += a_pair;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      float* to = c + i * product.c_stride + v * kLanes<float>;
      store<float>(to, product.accumulate ? load(to) + sum[i][v] : sum[i][v]);
    }
  }
}

template <int kRows, int kVectors>
void multiply_last_rows(const PairProduct& product, std::int64_t rows, const Bf16* a, const std::uint32_t* b,
                        std::int64_t width, float* c, std::int64_t number) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return multiply_tile<kRows, kVectors>(product, a, b, width, c, number);
    multiply_last_rows<kRows - 1, kVectors>(product, rows, a, b, width, c, number);
  }
}

// All rows, kVectors vectors of columns.
template <int kVectors>
void multiply_cols(const PairProduct& product, const std::uint32_t* b, std::int64_t width, float* c,
                   std::int64_t number) {
  std::int64_t row = 0;
  for (; row + kRowsAtATime <= product.m; row += kRowsAtATime, number += product.pairs) {
    multiply_tile<kRowsAtATime, kVectors>(product, product.a + row * product.a_row, b, width,
                                          c + row * product.c_stride, number);
  }
  multiply_last_rows<kRowsAtATime - 1, kVectors>(product, product.m - row, product.a + row * product.a_row, b,
                                                 width, c + row * product.c_stride, number);
}

}  // namespace

void multiply_pairs(const PairProduct& product) {
  const std::int64_t asked = divided_up(product.m, kRowsAtATime) * product.pairs;  // by a panel's tiles
  std::int64_t number = 0;
  for (std::int64_t first = 0; first < product.n; first += kPanelCols) {
    const std::int64_t width = product.n - first > kHalfPanel ? kPanelCols : kHalfPanel;
    const std::uint32_t* panel = product.b + first * product.pairs;
    for (std::int64_t col = 0; col < width; col += 2 * kLanes<float>) {
      float* c = product.c + first + col;
      if (width - col >= 2 * kLanes<float>) {
        multiply_cols<2>(product, panel + col, width, c, number);
      } else {
        multiply_cols<1>(product, panel + col, width, c, number);
      }
      number += asked;
    }
  }
}

}  // namespace vitrail::cpu::VITRAIL_ISA
