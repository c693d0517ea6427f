#pragma once
// In which tensors two files differ: by their hashes, and by how much.

#include <optional>
#include <utility>
#include <vector>

#include "format/container.h"

namespace vitrail::app {

struct Change {
  double absolute = 0;         // largest |b − a|; infinite where one of them is NaN
  double relative = 0;         // largest |b − a| / max(|a|, |b|), from 0 to 2
  std::uint64_t elements = 0;  // that differ
};

// Of the same type and shape.
struct ChangedTensor {
  const format::TensorRecord *a = nullptr, *b = nullptr;
  std::uint64_t chunks = 1, chunks_changed = 1;
  std::optional<Change> change;  // nothing before measure(), and for types without numbers
};

struct TensorDifferences {
  std::int64_t same = 0;
  std::vector<ChangedTensor> changed;
  std::vector<std::pair<const format::TensorRecord*, const format::TensorRecord*>>
      reshaped;  // or of another type
  std::vector<const format::TensorRecord*> removed, added;

  bool equal() const { return changed.empty() && reshaped.empty() && removed.empty() && added.empty(); }
};

// Views of the two files. Reads no tensor.
TensorDifferences compare_tensors(const format::Container& a, const format::Container& b);
// Reads the two tensors. Throws FormatError when one of them is damaged.
void measure(const format::Container& a, const format::Container& b, ChangedTensor& changed);

}  // namespace vitrail::app
