#include "tests/cuda_emulation/tensor_core.h"

#include <bit>
#include <cstring>
#include <string>

#include "tests/cuda_emulation/async_copies.h"

namespace cuda_emulation {
namespace {

constexpr int kRows = 16, kCols = 8, kDepth = 16;
constexpr std::size_t kRowBytes = 16;

struct Product {
  float* c;
  const unsigned *a, *b;
};

float bf16(unsigned word, int half) {
  return std::bit_cast<float>(half == 0 ? word << 16 : word & 0xffff0000u);
}

// Calls body(operands, g, 2t) for each lane; the letters are the PTX ISA's.
template <class Body>
void each_lane(void* const* lanes, const Body& body) {
  for (int lane = 0; lane < kWarp; ++lane)
    body(*static_cast<const Product*>(lanes[lane]), lane / 4, lane % 4 * 2);
}

void multiply(void* const* lanes) {
  float a[kRows][kDepth], b[kDepth][kCols], c[kRows][kCols];
  each_lane(lanes, [&](const Product& of, int g, int pair) {
    for (int half = 0; half < 2; ++half) {
      for (int word = 0; word < 4; ++word)
        a[g + word % 2 * 8][pair + word / 2 * 8 + half] = bf16(of.a[word], half);
      for (int word = 0; word < 2; ++word) {
        b[pair + word * 8 + half][g] = bf16(of.b[word], half);
        c[g + word * 8][pair + half] = of.c[word * 2 + half];
      }
    }
  });
  for (int row = 0; row < kRows; ++row)
    for (int k = 0; k < kDepth; ++k)
      for (int col = 0; col < kCols; ++col)
        c[row][col] += a[row][k] * b[k][col];
  each_lane(lanes, [&](const Product& of, int g, int pair) {
    for (int i = 0; i < 4; ++i)
      of.c[i] = c[g + i / 2 * 8][pair + i % 2];
  });
}

struct Matrices {
  unsigned* of;
  int count;
  bool transposed;
  const void* row;
  Site site;
};

void check_row(const Matrices& wanted, int lane) {
  const auto complain = [&](const std::string& what) {
    fail("ldmatrix: the row of lane " + std::to_string(lane) + what, wanted.site);
  };
  const auto address = reinterpret_cast<std::uintptr_t>(wanted.row);
  if (!is_shared(wanted.row, kRowBytes)) complain(" lies outside the block's shared memory");
  if (address % kRowBytes != 0) {
    complain(" is misaligned: the address ends in " + std::to_string(address % 256) +
             " (modulo 256), not a multiple of 16");
  }
  if (is_on_its_way(wanted.row)) {
    complain(" is written by an asynchronous copy that has not been waited for");
  }
}

void load(void* const* lanes) {
  const auto at = [&](int lane) -> const Matrices& { return *static_cast<const Matrices*>(lanes[lane]); };
  const int count = at(0).count;
  std::uint16_t matrices[4][8][8];
  for (int lane = 0; lane < 8 * count; ++lane) {
    check_row(at(lane), lane);
    std::memcpy(matrices[lane / 8][lane % 8], at(lane).row, kRowBytes);
  }
  for (int lane = 0; lane < kWarp; ++lane) {
    const int line = lane / 4, first = lane % 4 * 2;
    for (int i = 0; i < count; ++i) {
      const auto& from = matrices[i];
      const bool transposed = at(lane).transposed;
      const unsigned low = transposed ? from[first][line] : from[line][first];
      const unsigned high = transposed ? from[first + 1][line] : from[line][first + 1];
      at(lane).of[i] = low | high << 16;
    }
  }
}

}  // namespace

void mma_m16n8k16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2], const Site& site) {
  Product product{c, a, b};
  whole_warp("mma.sync", &product, multiply, site);
}

void ldmatrix(unsigned* of, int count, bool transposed, const void* row, const Site& site) {
  Matrices matrices{of, count, transposed, row, site};
  whole_warp(transposed ? "ldmatrix.trans" : "ldmatrix", &matrices, load, site);
}

}  // namespace cuda_emulation
