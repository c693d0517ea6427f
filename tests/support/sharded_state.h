#pragma once
// Contents with tensors of every kind that matters when they are cut up: large and small, of few rows and of
// many, with rows of odd sizes, of half bytes, empty, of rank 0, tied.

#include <deque>

#include "format/container.h"

namespace vitrail::test {

class ShardedState {
 public:
  ShardedState() {
    using format::ElementType;
    using format::Role;
    contents.kind = format::FileKind::weights;
    contents.root.set(1, "test");
    add("blocks.large", Role::parameter, ElementType::f32, {1100, 1000});  // two chunks
    add("blocks.odd", Role::parameter, ElementType::f32, {23, 1001});
    add("blocks.cube", Role::parameter, ElementType::bf16, {13, 50, 70});
    add("empty", Role::parameter, ElementType::f32, {0, 5});
    add("few", Role::parameter, ElementType::u8, {3, 40000});
    add("halves", Role::parameter, ElementType::u4, {140002});
    add("halves.rows", Role::parameter, ElementType::i4, {5, 40000});
    add("head", Role::parameter, ElementType::f64, {10, 3});
    add("one.row", Role::parameter, ElementType::f32, {1, 197, 100});
    add("scalar", Role::buffer, ElementType::i64, {});
    add("mask", Role::buffer, ElementType::boolean, {17});
    add("blocks.odd", Role::first_moment, ElementType::f32, {23, 1001});
    contents.tensors.push_back({.name = "tied", .shape = {1001, 23}, .bytes = {}, .alias_of = "blocks.odd"});
    contents.tensors.push_back(
        {.name = "tied.too", .shape = {23, 1001}, .bytes = {}, .alias_of = "blocks.odd"});
  }

  format::ContainerContents contents;

 private:
  void add(const char* name, format::Role role, format::ElementType type, std::vector<std::int64_t> shape) {
    std::size_t elements = 1;
    for (std::int64_t extent : shape)
      elements *= static_cast<std::size_t>(extent);
    memory_.emplace_back(elements * static_cast<std::size_t>(*format::bits_of(type)) / 8);
    for (std::size_t i = 0; i < memory_.back().size(); ++i) {
      const std::size_t value = (i * 2654435761U + memory_.size()) >> 5;
      memory_.back()[i] =
          static_cast<std::byte>(type == format::ElementType::boolean ? value % 2 : value % 61);
    }
    contents.tensors.push_back({name, role, type, std::move(shape), memory_.back()});
  }

  std::deque<std::vector<std::byte>> memory_;
};

}  // namespace vitrail::test
