#pragma once
// Memory planned before it is taken: the same layout function runs once to count and once to hand out.

#include <algorithm>
#include <cassert>

#include "kernels/backend.h"

namespace vitrail {

class Arena {
 public:
  // A view of the next elements; without data while counting.
  Out take(DType dtype, Shape shape) {
    const std::size_t begin = used_;
    const std::size_t bytes = static_cast<std::size_t>(shape.elements()) * size_of(dtype);
    seek(begin + (bytes + kAlignment - 1) / kAlignment * kAlignment);
    return {buffer_.data() == nullptr ? nullptr : buffer_.data() + begin, dtype, shape};
  }

  void restart() { used_ = 0; }
  std::size_t most() const { return most_; }  // bytes of the largest layout so far
  void allocate(Backend& backend) { buffer_ = Buffer(backend, most_); }
  std::size_t capacity() const { return buffer_.size(); }

 private:
  friend class Alternatives;
  static constexpr std::size_t kAlignment = 64;

  void seek(std::size_t used) {
    used_ = used;
    most_ = std::max(most_, used);
  }

  Buffer buffer_;
  std::size_t used_ = 0, most_ = 0;
};

// Groups of tensors that are never alive together: each begins where the first did. What is taken after the
// object's end lies behind the largest.
class Alternatives {
 public:
  explicit Alternatives(Arena& arena) : arena_(arena), begin_(arena.used_), end_(begin_) {}
  Alternatives(const Alternatives&) = delete;
  Alternatives& operator=(const Alternatives&) = delete;
  ~Alternatives() { arena_.seek(std::max(end_, arena_.used_)); }

  void next() {
    end_ = std::max(end_, arena_.used_);
    arena_.seek(begin_);
  }

 private:
  Arena& arena_;
  std::size_t begin_, end_;
};

// The first elements of a larger scratch tensor, as a tensor of their own.
inline Out leading(Out scratch, Shape shape) {
  assert(shape.elements() <= scratch.shape.elements());
  return {scratch.data, scratch.dtype, shape};
}

}  // namespace vitrail
