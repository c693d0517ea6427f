#include "format/verify.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <new>

#include "tests/support/format_file.h"

namespace {
std::size_t allocations = 0;
}

// The whole test program counts its allocations; only this file looks at the number. Not inlined: g++ 12
// would see free() and call it a mismatch.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(bytes);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace vitrail::format {
namespace {

using test::ByteVector;
namespace tiny = test::tiny;

Rule rule_without_allocating(const ByteVector& file) {
  const std::size_t before = allocations;
  const Rule rule = verify_file(file).refusal.rule;
  CHECK(allocations == before);
  return rule;
}

TEST_CASE("the counter of allocations counts") {
  const std::size_t before = allocations;
  const auto one = std::make_unique<int>(1);
  CHECK(allocations == before + 1);
}

TEST_CASE("a good file is verified without an allocation") {
  CHECK(rule_without_allocating(test::tiny_file()) == Rule::none);
}

TEST_CASE("a refused file costs no allocation either, wherever it is damaged") {
  const ByteVector whole = test::tiny_file();
  int refused = 0;
  for (std::size_t byte = 0; byte < tiny::kMetaEnd; ++byte) {
    ByteVector file = whole;
    file[byte] ^= std::byte{1};
    test::seal(file);
    if (rule_without_allocating(file) != Rule::none) ++refused;
  }
  CHECK(refused > 600);
}

TEST_CASE("a verified file is read in place") {
  const ByteVector bytes = test::tiny_file();
  const FileView file = verify_file(bytes).file;
  REQUIRE(file.size() == 3);
  CHECK(file.root.find(1, FieldType::text)->text() == "tiny");
  CHECK_FALSE(file.root.find(2).has_value());
  CHECK_FALSE(file.root.find(1, FieldType::table).has_value());
  CHECK(file.name(file.entry(1)) == "b");
  CHECK(file.entry(2).role() == Role::first_moment);
  CHECK(file.find(Role::first_moment, 0) == 2);
  CHECK(file.find(Role::first_moment, 1) == 3);
  CHECK(file.find(Role::parameter, 1) == 1);
  CHECK(file.find(Role{999}, 0) == 3);
  CHECK(file.role(1).begin() == tiny::kMoment);
}

TEST_CASE("a refusal says where: offset, tensor, what was expected and found") {
  ByteVector file = test::tiny_file();
  test::patch<std::uint64_t>(file, tiny::entry(1) + 16, 4224);
  test::seal(file);
  const Refusal moved = verify_file(file).refusal;
  CHECK(moved.rule == Rule::V25);
  CHECK(moved.tensor == "b");
  CHECK(moved.entry == 1);
  CHECK(moved.expected == tiny::kB);
  CHECK(moved.found == 4224);
  CHECK(std::string(to_error(moved).what()) == "tensor 'b': offset: expected 4160, found 4224 [V25]");
  file = test::tiny_file();
  file[tiny::kMetaEnd - 1] ^= std::byte{1};
  const Refusal flipped = verify_file(file).refusal;
  CHECK(flipped.rule == Rule::V08);
  CHECK(flipped.expected_hash == get<Hash128>(file, 80));
}

}  // namespace
}  // namespace vitrail::format
