// Rule V31, one refusal after another: what is changed in a good index or shard, and that it is refused.

#include "format/slices.h"

#include <doctest/doctest.h>

#include <deque>
#include <functional>

#include "format/shards.h"
#include "tests/support/broken_sets.h"
#include "tests/support/format_file.h"

namespace vitrail::format {
namespace {

using test::IndexScript;
using test::ShardScript;
using test::TemporaryFolder;

std::string refusal_of(const ContainerContents& contents) {
  return test::refusal_at_open(test::assemble(contents));
}

std::string refusal_of_index(const std::function<void(IndexScript&)>& change) {
  IndexScript script;
  change(script);
  return refusal_of(script.contents());
}

TEST_CASE("a good index opens") {
  CHECK(refusal_of_index([](IndexScript&) {}) == "");
  CHECK(refusal_of_index([](IndexScript& s) {  // a tensor without elements has one slice without any
          s.tensors[2].extents = s.slices[4].extents = {0, 6};
        }) == "");
  CHECK(refusal_of_index([](IndexScript& s) {  // half bytes, cut between two of them
          s.tensors[0].type = s.tensors[1].type = 40;
        }) == "");
}

TEST_CASE("slices that do not cover their tensor exactly once") {
  const auto changes = test::uncovered_tensors();
  for (std::size_t i = 0; i < changes.size(); ++i) {
    CAPTURE(i);
    CHECK(refusal_of_index(changes[i]) == "V31");
  }
}

TEST_CASE("tensors and shards that an index lists wrongly") {
  const auto changes = test::misdescribed_sets();
  for (std::size_t i = 0; i < changes.size(); ++i) {
    CAPTURE(i);
    CHECK(refusal_of_index(changes[i]) == "V31");
  }
}

TEST_CASE("fields of an index that are missing or of another type") {
  for (Table::Id id : {1, 3, 4, 5, 6, 7, 8}) {
    CAPTURE(id);
    ContainerContents contents = IndexScript().contents();
    Table set = IndexScript().set();
    set.erase(id);
    contents.root.set(17, set);
    CHECK(refusal_of(contents) == "V31");
    set.set(id, true);
    contents.root.set(17, set);
    CHECK(refusal_of(contents) == "V31");
  }
  for (Table::Id id : {16, 17}) {
    ContainerContents contents = IndexScript().contents();
    contents.root.erase(id);
    CHECK(refusal_of(contents) == "V31");
  }
  ContainerContents contents = IndexScript().contents();
  Table set = IndexScript().set();
  for (std::size_t rows : {0U, 1U, 2U}) {
    set.set(9, Vector{32, 16, std::vector<std::byte>(16 * rows)});
    contents.root.set(17, set);
    CHECK(refusal_of(contents) == (rows == 1 ? "" : "V31"));
  }
  contents = IndexScript().contents();
  contents.tensors = test::tiny_contents().tensors;
  CHECK(refusal_of(contents) == "V31");
}

TEST_CASE("an index has the sections of the file that its set makes") {
  IndexScript script;
  script.kind = 2;
  ContainerContents contents = script.contents();
  CHECK(refusal_of(contents) == "V33");
  contents.root.set(2, Table());
  contents.root.set(13, Table());
  CHECK(refusal_of(contents) == "");
}

TEST_CASE("a shard's slices lie inside their tensors") {
  const auto refusal_after = [](const std::function<void(ShardScript&)>& change) {
    ShardScript script;
    change(script);
    return refusal_of(script.contents());
  };
  CHECK(refusal_after([](ShardScript&) {}) == "");
  CHECK(refusal_after([](ShardScript& s) { s.slices[0].start[0] = 3; }) == "");
  const auto changes = test::misplaced_slices();
  for (std::size_t i = 0; i < changes.size(); ++i) {
    CAPTURE(i);
    CHECK(refusal_after(changes[i]) == "V31");
  }
  ContainerContents contents = ShardScript().contents();
  contents.root.erase(17);
  CHECK(refusal_of(contents) == "V31");
  contents = ShardScript().contents();
  contents.tensors[1] = {.name = "b", .shape = {2}, .bytes = {}, .alias_of = "a"};
  CHECK(refusal_of(contents) == "V31");
}

// A set that no split makes: cut along two axes.
TEST_CASE("a tensor cut into a grid is gathered") {
  TemporaryFolder folder;
  IndexScript script;
  std::vector<float> a(24);
  for (std::size_t i = 0; i < a.size(); ++i)
    a[i] = static_cast<float>(i);
  Vector hashes{32, 16, {}};
  for (std::uint32_t shard = 0; shard < 4; ++shard) {
    ContainerContents contents{FileKind::shard, {}, {}};
    std::vector<test::SliceRow> rows;
    std::deque<std::vector<float>> memory;
    for (const test::SliceRow& slice : script.slices) {
      if (slice.shard != shard) continue;
      const auto [row, column] = std::pair(slice.start[0], slice.start[1]);
      memory.emplace_back();
      for (std::uint64_t i = row; i < row + slice.extents[0]; ++i) {
        for (std::uint64_t j = column; j < column + slice.extents[1]; ++j)
          memory.back().push_back(a[6 * i + j]);
      }
      rows.push_back({static_cast<std::uint32_t>(rows.size()), shard, {4, 6}, slice.start});
      contents.tensors.push_back(
          {"a",
           slice.tensor == 0 ? Role::parameter : Role::first_moment,
           ElementType::f32,
           {static_cast<std::int64_t>(slice.extents[0]), static_cast<std::int64_t>(slice.extents[1])},
           std::as_bytes(std::span(memory.back()))});
    }
    Table set;
    set.set(1, std::uint64_t{4});
    set.set(2, std::uint64_t{shard});
    contents.root.set(1, "test");
    contents.root.set(16, test::slice_vector(rows));
    contents.root.set(17, std::move(set));
    script.sizes[shard] = write_container(folder / script.files[shard], contents).file_bytes;
    const Hash128 hash = Container::open(folder / script.files[shard]).view().prologue.meta_hash;
    append(hashes.data, hash.low);
    append(hashes.data, hash.high);
  }
  ContainerContents contents = script.contents();
  Table table = script.set();
  table.set(6, hashes);
  contents.root.set(17, std::move(table));
  write_container(folder / "index", contents);

  const ShardSet set = ShardSet::open(folder / "index");
  const auto read = [&](std::size_t tensor, const Box& box) {
    std::vector<float> out(24, -1);
    std::size_t count = 1;
    for (std::int64_t extent : box.extents)
      count *= static_cast<std::size_t>(extent);
    out.resize(count);
    set.read(set.tensors()[tensor], box, std::as_writable_bytes(std::span(out)));
    return out;
  };
  CHECK(read(0, {{0, 0}, {4, 6}}) == a);
  CHECK(read(1, {{0}, {24}}) == a);
  CHECK(read(2, {{0, 0}, {4, 6}}) == a);
  CHECK(read(0, {{0, 1}, {3, 2}}) == std::vector<float>{1, 2, 7, 8, 13, 14});
  CHECK(read(0, {{3, 5}, {1, 1}}) == std::vector<float>{23});
  CHECK(read(1, {{5}, {3}}) == std::vector<float>{5, 6, 7});
  consolidate(folder / "index", folder / "one.vitrail");
  const Container one = Container::open(folder / "one.vitrail");
  const Bytes bytes = one.read(*one.find(Role::parameter, "a"));
  CHECK(std::equal(bytes.begin(), bytes.end(), std::as_bytes(std::span(a)).begin()));
  CHECK(one.find(Role::parameter, "t")->alias_of == "a");
}

}  // namespace
}  // namespace vitrail::format
