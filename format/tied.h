#pragma once
// Tensors in the order of a file, by role and name, and which of them share their bytes.

#include "format/bytes.h"
#include "format/tensor_record.h"

namespace vitrail::format {

struct TiedTensor {
  const TensorRecord* tensor = nullptr;
  std::size_t owner = 0;  // the place in the list of the one that has its bytes: its own, unless
                          // it is an alias
  const TensorRecord* source = nullptr;  // the record that brought the bytes
  Bytes bytes = {};
};

// Tensors that share their bytes all get them from the first of them by name, whichever the caller has
// chosen. The records must outlive the list. Throws FormatError when a name is there twice in a role, or an
// alias has nothing to share.
std::vector<TiedTensor> tie_tensors(std::span<const TensorRecord> tensors);

}  // namespace vitrail::format
