#pragma once
// A tensor in a backend's memory, between guard bytes, read and written as doubles.

#include <cstddef>
#include <limits>
#include <vector>

#include "kernels/backend.h"
#include "tests/support/bf16.h"

namespace vitrail::test {

class Tensor {
 public:
  // Filled with NaN, so that an element that an op forgets to set is seen.
  Tensor(Backend& backend, DType dtype, const Shape& shape)
      : backend_(&backend), dtype_(dtype), shape_(shape), buffer_(backend, bytes() + 2 * kGuardBytes) {
    const std::vector<std::byte> guards(buffer_.size(), kGuard);
    backend.upload(whole(), guards.data(), guards.size());
    set(std::vector<double>(count(), std::numeric_limits<double>::quiet_NaN()));
  }

  Tensor(Backend& backend, DType dtype, const Shape& shape, const std::vector<double>& values)
      : Tensor(backend, dtype, shape) {
    set(values);
  }

  Out out() const { return {buffer_.data() + kGuardBytes, dtype_, shape_}; }
  In in() const { return out(); }
  operator Out() const { return out(); }
  operator In() const { return in(); }

  void set(const std::vector<double>& values) {
    if (dtype_ == DType::f64) return upload(values);
    if (dtype_ == DType::bf16) {
      std::vector<std::uint16_t> bits;
      for (double value : values)
        bits.push_back(bf16_bits(value));
      return upload(bits);
    }
    upload(std::vector<float>(values.begin(), values.end()));
  }

  std::vector<double> get() const {
    if (dtype_ == DType::f64) return download<double>();
    if (dtype_ == DType::bf16) {
      std::vector<double> values;
      for (std::uint16_t bits : download<std::uint16_t>())
        values.push_back(bf16_value(bits));
      return values;
    }
    const std::vector<float> values = download<float>();
    return {values.begin(), values.end()};
  }

  // True when nothing was written before the first element or behind the last one.
  bool guards_are_whole() const {
    std::vector<std::byte> all(buffer_.size());
    backend_->download(all.data(), whole(), all.size());
    for (std::size_t i = 0; i < kGuardBytes; ++i) {
      if (all[i] != kGuard || all[all.size() - 1 - i] != kGuard) return false;
    }
    return true;
  }

 private:
  static constexpr std::size_t kGuardBytes = 64;
  static constexpr std::byte kGuard{0xA5};

  std::size_t count() const { return static_cast<std::size_t>(shape_.elements()); }
  std::size_t bytes() const { return count() * size_of(dtype_); }
  Out whole() const {
    return {buffer_.data(), DType::bf16, {static_cast<std::int64_t>(buffer_.size() / size_of(DType::bf16))}};
  }

  template <class T>
  void upload(const std::vector<T>& values) {
    backend_->upload(out(), values.data(), values.size() * sizeof(T));
  }

  template <class T>
  std::vector<T> download() const {
    std::vector<T> values(count());
    backend_->download(values.data(), in(), values.size() * sizeof(T));
    return values;
  }

  Backend* backend_;
  DType dtype_;
  Shape shape_;
  Buffer buffer_;
};

}  // namespace vitrail::test
