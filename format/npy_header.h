#pragma once
// The head of a `.npy` array (numpy/lib/format.py, versions 1.0 to 3.0): a Python dict literal of three keys,
// read by a parser that knows nothing else.

#include <cstdint>
#include <vector>

#include "format/bytes.h"
#include "format/tensor_record.h"

namespace vitrail::format {

struct NpyHeader {
  ElementType type = ElementType::f32;
  bool fortran_order = false;       // the first axis is the fastest
  std::vector<std::int64_t> shape;  // at most 8 axes
  std::uint64_t data_begin = 0;     // in the array's bytes
};

// Checks that the elements are all that follows. Throws FormatError; big-endian numbers, Python objects, text
// and structures are refused by their names.
NpyHeader parse_npy_header(Bytes array);

}  // namespace vitrail::format
