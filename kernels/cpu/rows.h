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

// Numbers in a line of the caches.
template <class T>
inline constexpr std::int64_t kLine = 64 / static_cast<std::int64_t>(sizeof(T));

// Asks for a row that will be read soon, among others so far away that no processor guesses it. Between other
// work, a row at a time: a cache that is asked for hundreds of lines at once drops what it cannot note.
template <class T>
inline void fetch_ahead(const T* row, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += kLine<T>)
    __builtin_prefetch(row + i);
}

}  // namespace vitrail::cpu::VITRAIL_ISA
