#pragma once
// Memory planned before it is taken: the same layout function runs once to count and once to hand out.

#include <cassert>

#include "kernels/backend.h"

namespace vitrail {

class Arena {
 public:
  explicit Arena(DType dtype) : dtype_(dtype) {}

  // A view of the next elements; without data while counting.
  Out take(Shape shape) {
    const std::size_t begin = used_;
    used_ += (static_cast<std::size_t>(shape.elements()) * size_of(dtype_) + kAlignment - 1) / kAlignment *
             kAlignment;
    return {buffer_.data() == nullptr ? nullptr : buffer_.data() + begin, dtype_, shape};
  }

  void restart() { used_ = 0; }
  std::size_t used() const { return used_; }
  void allocate(Backend& backend) { buffer_ = Buffer(backend, used_); }
  std::size_t capacity() const { return buffer_.size(); }

 private:
  static constexpr std::size_t kAlignment = 64;
  DType dtype_;
  Buffer buffer_;
  std::size_t used_ = 0;
};

// The first elements of a larger scratch tensor, as a tensor of their own.
inline Out leading(Out scratch, Shape shape) {
  assert(shape.elements() <= scratch.shape.elements());
  return {scratch.data, scratch.dtype, shape};
}

}  // namespace vitrail
