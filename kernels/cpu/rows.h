#pragma once
// Rows of numbers in a larger matrix.

#include <cstdint>

namespace vitrail::cpu::VITRAIL_ISA {

template <class T>
struct Rows {
  T* data;
  std::int64_t stride;  // elements from row to row
  T* at(std::int64_t row) const { return data + row * stride; }
};

}  // namespace vitrail::cpu::VITRAIL_ISA
