#include "engine/app/tensor_diff.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "engine/app/elements.h"

namespace vitrail::app {
namespace {

using format::Container;
using format::TensorRecord;

auto key(const TensorRecord& tensor) {
  return std::tie(tensor.role, tensor.name);
}

void compare(const Container& a, const TensorRecord& left, const Container& b, const TensorRecord& right,
             TensorDifferences& result) {
  if (left.type != right.type || left.shape != right.shape) {
    result.reshaped.emplace_back(&left, &right);
  } else if (a.hash(left) == b.hash(right)) {
    ++result.same;
  } else {
    const auto old_chunks = a.chunk_hashes(left), new_chunks = b.chunk_hashes(right);
    ChangedTensor changed{.a = &left, .b = &right, .change = {}};
    if (!old_chunks.empty() && old_chunks.size() == new_chunks.size()) {
      changed.chunks = old_chunks.size();
      changed.chunks_changed = 0;
      for (std::size_t c = 0; c < old_chunks.size(); ++c)
        changed.chunks_changed += old_chunks[c] == new_chunks[c] ? 0 : 1;
    }
    result.changed.push_back(changed);
  }
}

// 0 for two NaN; infinite when only one of them is.
double distance(double a, double b) {
  if (a == b || (std::isnan(a) && std::isnan(b))) return 0;
  const double distance = std::abs(b - a);
  return std::isnan(distance) ? std::numeric_limits<double>::infinity() : distance;
}

}  // namespace

// Both directories are sorted by role and name.
TensorDifferences compare_tensors(const Container& a, const Container& b) {
  TensorDifferences result;
  auto left = a.tensors().begin(), right = b.tensors().begin();
  while (left != a.tensors().end() || right != b.tensors().end()) {
    if (right == b.tensors().end() || (left != a.tensors().end() && key(*left) < key(*right))) {
      result.removed.push_back(&*left++);
    } else if (left == a.tensors().end() || key(*right) < key(*left)) {
      result.added.push_back(&*right++);
    } else {
      compare(a, *left++, b, *right++, result);
    }
  }
  return result;
}

void measure(const Container& a, const Container& b, ChangedTensor& changed) {
  using format::ElementType;
  ElementType type = changed.a->type;
  if (!format::bits_of(type)) return;
  // Parts of complex numbers are compared one by one.
  if (type == ElementType::c64) type = ElementType::f32;
  if (type == ElementType::c128) type = ElementType::f64;
  const Elements before(type, a.read(*changed.a)), after(type, b.read(*changed.b));
  Change change;
  for (std::uint64_t i = 0; i < before.size(); ++i) {
    const double x = before.value(i), y = after.value(i), by = distance(x, y);
    if (by == 0) continue;
    ++change.elements;
    change.absolute = std::max(change.absolute, by);
    change.relative =
        std::max(change.relative, std::isinf(by) ? by : by / std::max(std::abs(x), std::abs(y)));
  }
  changed.change = change;
}

}  // namespace vitrail::app
