#pragma once
// Contents that reach every way a tensor takes to the disk: empty, tiny, on and off page and block
// boundaries, from aligned and unaligned memory.

#include <cstdlib>
#include <deque>
#include <string>

#include "format/container.h"

namespace vitrail::test {

class UnevenTensors {
 public:
  // The largest tensors have `scale` times 4 and 9 MiB.
  explicit UnevenTensors(double scale = 1) {
    contents.root.set(1, std::string("test"));
    const auto mebibytes = [&](double count) { return static_cast<std::size_t>(count * scale * (1 << 20)); };
    for (const std::size_t bytes :
         {std::size_t{0}, std::size_t{1}, std::size_t{4096}, std::size_t{65535}, std::size_t{65536},
          std::size_t{70000}, mebibytes(4), mebibytes(4) + 1, mebibytes(9) + 5000}) {
      for (const std::size_t shift : {std::size_t{0}, std::size_t{64}})
        add(bytes, shift);
    }
  }

  format::ContainerContents contents;
  // Of the i-th tensor.
  std::span<std::byte> memory(std::size_t i) { return spans_[i]; }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };

  // Begins `shift` bytes behind a page's begin.
  void add(std::size_t bytes, std::size_t shift) {
    void* memory = std::aligned_alloc(4096, (bytes + shift) / 4096 * 4096 + 4096);
    memory_.emplace_back(static_cast<std::byte*>(memory));
    const std::span values(memory_.back().get() + shift, bytes);
    for (std::size_t i = 0; i < bytes; ++i)
      values[i] = static_cast<std::byte>((i * 37 + spans_.size()) >> (i / 1000 % 3));
    contents.tensors.push_back({.name = "t" + std::to_string(spans_.size()),
                                .type = format::ElementType::u8,
                                .shape = {static_cast<std::int64_t>(bytes)},
                                .bytes = values});
    spans_.push_back(values);
  }

  std::deque<std::unique_ptr<std::byte, Free>> memory_;
  std::vector<std::span<std::byte>> spans_;
};

}  // namespace vitrail::test
