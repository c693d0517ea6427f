#pragma once
// The matrix product of all bf16 ops. Numbers are taken in pairs along the sum, as AVX512-BF16's dot product
// does: two bf16 in one 32-bit word, each pair's two products added to an f32 sum.

#include <cstdint>

namespace vitrail::cpu {

// The upper half of an f32.
struct Bf16 {
  std::uint16_t bits;
};

inline constexpr std::int64_t kPanelCols = 32;  // of the packed second factor
inline constexpr std::int64_t kHalfPanel = 16;  // the last panel is this wide when that is enough
inline constexpr std::int64_t kBlockRows = 12;  // of the first factor, whose sums are held in registers

// Numbers that will be read soon: `count` of them, `step` apart, each in a line of its own. A product asks
// for them one at a time: a cache that is asked for many at once drops what it cannot note.
struct Ahead {
  const Bf16* first = nullptr;
  std::int64_t step = 0, count = 0;
};

// c (m, n) (+)= a (m, 2·pairs) · b (2·pairs, n), on one thread.
struct PairProduct {
  std::int64_t m, n, pairs;
  const Bf16* a;  // pair p of row i at a + i·a_row + p·a_pair
  std::int64_t a_row, a_pair;
  const std::uint32_t*
      b;     // packed by kernels/cpu/pack.h: panels of columns, each (pairs, columns of the panel)
  float* c;  // written in whole panels: rows of padded_cols(n)
  std::int64_t c_stride;
  bool accumulate;
  Ahead ahead = {};
};

}  // namespace vitrail::cpu

#ifdef VITRAIL_ISA
namespace vitrail::cpu::VITRAIL_ISA {

// By dot products where this file's instruction set has them, else by two f32 products a pair.
void multiply_pairs(const PairProduct& product);

}  // namespace vitrail::cpu::VITRAIL_ISA
#endif
