#include "format/shards.h"

#include <doctest/doctest.h>

#include <fstream>
#include <random>
#include <set>

#include "tests/support/format_file.h"
#include "tests/support/sharded_state.h"

namespace vitrail::format {
namespace {

namespace fs = std::filesystem;
using test::ByteVector;
using test::TemporaryFolder;

std::size_t byte_count(const TensorRecord& tensor, const Box& box) {
  return tensor_bytes(tensor.type, box.extents).value();
}

// The same without any of the program's arithmetic of boxes: element by element (by pairs of half bytes).
ByteVector elements_of(const TensorRecord& tensor, Bytes bytes, const Box& box) {
  const int bits = *bits_of(tensor.type);
  const auto unit = static_cast<std::size_t>(std::max(bits / 8, 1));
  const std::int64_t pair = bits < 8 ? 2 : 1;
  ByteVector out;
  std::vector<std::int64_t> at(box.extents.size(), 0);
  const std::size_t count = byte_count(tensor, box) / unit;
  for (std::size_t i = 0; i < count; ++i) {
    std::int64_t index = 0;
    for (std::size_t axis = 0; axis < at.size(); ++axis) {
      const std::int64_t step = axis + 1 == at.size() ? pair : 1;
      index = index * (tensor.shape[axis] / step) + box.start[axis] / step + at[axis];
    }
    for (std::size_t byte = 0; byte < unit; ++byte)
      out.push_back(bytes[static_cast<std::size_t>(index) * unit + byte]);
    for (std::size_t axis = at.size(); axis-- > 0;) {
      if (++at[axis] < box.extents[axis] / (axis + 1 == at.size() ? pair : 1)) break;
      at[axis] = 0;
    }
  }
  return out;
}

ByteVector read_box(const ShardSet& set, const TensorRecord& tensor, const Box& box) {
  ByteVector out(byte_count(tensor, box), std::byte{0xEE});
  set.read(tensor, box, out);
  return out;
}

struct Original {
  Original() { write_container(path, state.contents); }
  TemporaryFolder folder;
  fs::path path = folder / "state.vitrail";
  test::ShardedState state;
};

// What went wrong, for a message to be looked at.
template <class Error, class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != text.npos;
}

TEST_CASE(
    "a state saved as N shards is loaded as M, for all N and M up to 8, and comes back as the same file") {
  Original original;
  const ByteVector whole_file = test::file_bytes(original.path);
  const Container source = Container::open(original.path);
  for (std::uint32_t n = 1; n <= 8; ++n) {
    CAPTURE(n);
    const SplitResult split =
        split_container(original.path, original.folder / ("set" + std::to_string(n)), n);
    CHECK(split.shards.size() == n);
    const ShardSet set = ShardSet::open(split.index);
    REQUIRE(set.tensors().size() == source.tensors().size());
    for (std::uint32_t m = 1; m <= 8; ++m) {
      CAPTURE(m);
      std::size_t wrong = 0, bytes = 0;
      for (const PlannedSlice& slice : divide(set.tensors(), m)) {
        const TensorRecord& tensor = set.tensors()[slice.tensor];
        const ByteVector found = read_box(set, tensor, slice.box);
        const Bytes all = source.read(source.tensors()[slice.tensor]);
        // Of a tensor cut along its first axis each part is one run of bytes.
        const bool rows = !tensor.shape.empty() && tensor.shape[0] > 0;
        const std::size_t begin = rows ? all.size() * static_cast<std::size_t>(slice.box.start[0]) /
                                             static_cast<std::size_t>(tensor.shape[0])
                                       : 0;
        const Bytes expected = all.subspan(begin, found.size());
        if (!std::equal(found.begin(), found.end(), expected.begin())) ++wrong;
        bytes += found.size();
      }
      CHECK(wrong == 0);
      std::size_t total = 0;
      for (const TensorRecord& tensor : source.tensors())
        total += tensor.alias_of.empty() ? source.byte_size(tensor) : 0;
      CHECK(bytes == total);
    }
    consolidate(split.index, original.folder / "back.vitrail");
    CHECK(test::file_bytes(original.folder / "back.vitrail") == whole_file);
  }
}

TEST_CASE("any box of a tensor is read, whole, in rows or in columns") {
  Original original;
  const SplitResult split = split_container(original.path, original.folder / "set", 3);
  const ShardSet set = ShardSet::open(split.index);
  const Container source = Container::open(original.path);
  std::mt19937 random(7);
  for (std::size_t i = 0; i < set.tensors().size(); ++i) {
    const TensorRecord& tensor = set.tensors()[i];
    CAPTURE(tensor.name);
    CHECK(read_box(set, tensor, whole(tensor.shape)) ==
          elements_of(tensor, source.read(source.tensors()[i]), whole(tensor.shape)));
    for (int trial = 0; trial < 8 && source.byte_size(source.tensors()[i]) < 1 << 20; ++trial) {
      Box box = whole(tensor.shape);
      for (std::size_t axis = 0; axis < box.start.size(); ++axis) {
        const std::int64_t unit = *bits_of(tensor.type) < 8 && axis + 1 == box.start.size() ? 2 : 1;
        const std::int64_t cells = tensor.shape[axis] / unit;
        box.start[axis] = std::uniform_int_distribution<std::int64_t>(0, cells)(random);
        box.extents[axis] =
            unit * std::uniform_int_distribution<std::int64_t>(0, cells - box.start[axis])(random);
        box.start[axis] *= unit;
      }
      CHECK(read_box(set, tensor, box) == elements_of(tensor, source.read(source.tensors()[i]), box));
    }
  }
}

TEST_CASE("a box that is not in the tensor, or not of the memory's size, is refused") {
  Original original;
  const ShardSet set = ShardSet::open(split_container(original.path, original.folder / "set", 2).index);
  const TensorRecord* halves = nullptr;
  for (const TensorRecord& tensor : set.tensors())
    if (tensor.name == "halves") halves = &tensor;
  REQUIRE(halves);
  ByteVector out(4);
  set.read(*halves, {{70000}, {8}}, out);
  for (const Box& box :
       {Box{{140000}, {8}}, Box{{-2}, {8}}, Box{{1}, {8}}, Box{{0}, {10}}, Box{{0, 0}, {8, 1}}})
    CHECK_THROWS_AS(set.read(*halves, box, out), std::invalid_argument);
}

TEST_CASE("large tensors are divided evenly, small ones go where there is least") {
  test::ShardedState state;
  const auto slices = divide(state.contents.tensors, 4);
  std::map<std::size_t, std::vector<std::int64_t>> rows;
  std::vector<std::size_t> load(4);
  for (const PlannedSlice& slice : slices) {
    const TensorRecord& tensor = state.contents.tensors[slice.tensor];
    rows[slice.tensor].push_back(slice.box.extents.empty() ? -1 : slice.box.extents[0]);
    load[slice.shard] += byte_count(tensor, slice.box);
  }
  CHECK(rows[0] == std::vector<std::int64_t>{275, 275, 275, 275});
  CHECK(rows[1] == std::vector<std::int64_t>{6, 6, 6, 5});
  CHECK(rows[3] == std::vector<std::int64_t>{0});
  CHECK(rows[4] == std::vector<std::int64_t>{1, 1, 1});
  CHECK(rows[5] == std::vector<std::int64_t>{35002, 35000, 35000, 35000});
  CHECK(rows[9] == std::vector<std::int64_t>{-1});
  CHECK(rows.count(12) == 0);
  const auto [least, most] = std::minmax_element(load.begin(), load.end());
  CHECK(*most - *least < 100000);
}

TEST_CASE("shards are verified files of their own, and say which tensor is damaged") {
  Original original;
  const SplitResult split = split_container(original.path, original.folder / "set", 3);
  CHECK(split.index.filename() == "set.index.vitrail");
  CHECK(split.shards[2].filename() == "set.r00002-of-00003.vitrail");
  for (const fs::path& path : split.shards)
    CHECK(test::refusal(test::file_bytes(path)) == "");
  CHECK(test::refusal(test::file_bytes(split.index)) == "");
  ShardSet::open(split.index).verify_all();

  ByteVector damaged = test::file_bytes(split.shards[1]);
  damaged[damaged.size() / 2] ^= std::byte{4};
  test::write_plainly(split.shards[1], damaged);
  const std::string message =
      message_of<FormatError>([&] { consolidate(split.index, original.folder / "back.vitrail"); });
  CHECK(contains(message, "set.r00001-of-00003.vitrail"));
  CHECK(contains(message, "blocks.large"));
  CHECK(contains(message, "V40"));
  CHECK(!fs::exists(original.folder / "back.vitrail"));
  CHECK(contains(message_of<FormatError>([&] { ShardSet::open(split.index).verify_all(); }), "r00001"));
  // What stands in the other shards is read.
  const ShardSet set = ShardSet::open(split.index);
  const TensorRecord& large = set.tensors()[1];
  REQUIRE(large.name == "blocks.large");
  CHECK(read_box(set, large, {{0, 0}, {300, 1000}}).size() == 1200000);
}

TEST_CASE("a missing, shortened or foreign shard is named") {
  Original original;
  const SplitResult split = split_container(original.path, original.folder / "set", 3);
  const auto attempt = [&] { consolidate(split.index, original.folder / "back.vitrail"); };
  const ByteVector good = test::file_bytes(split.shards[2]);

  fs::remove(split.shards[2]);
  const std::string missing = message_of<FileError>(attempt);
  CHECK(contains(missing, "shard 2 of 3 is missing"));
  CHECK(contains(missing, "set.r00002-of-00003.vitrail"));

  test::write_plainly(split.shards[2], Bytes(good).first(good.size() - 4096));
  CHECK(contains(message_of<FormatError>(attempt), "set.r00002-of-00003.vitrail"));
  CHECK(contains(message_of<FormatError>(attempt), "V01"));

  fs::copy_file(split.shards[1], split.shards[2], fs::copy_options::overwrite_existing);
  CHECK(contains(message_of<FormatError>(attempt), "V31"));
  CHECK(contains(message_of<FormatError>(attempt), "shard 2 of 3"));

  // The same state with one value changed, saved under the same names elsewhere.
  Original other;
  ByteVector changed(original.state.contents.tensors[1].bytes.begin(),
                     original.state.contents.tensors[1].bytes.end());
  changed[changed.size() - 1] ^= std::byte{1};
  other.state.contents.tensors[1].bytes = changed;
  write_container(other.path, other.state.contents);
  const SplitResult foreign = split_container(other.path, other.folder / "set", 3);
  fs::copy_file(foreign.shards[2], split.shards[2], fs::copy_options::overwrite_existing);
  CHECK(contains(message_of<FormatError>(attempt), "belongs to another set"));

  test::write_plainly(split.shards[2], good);
  CHECK_NOTHROW(attempt());
}

TEST_CASE("without its index a set does not exist: a split that fails leaves none") {
  Original original;
  fs::create_directories(original.folder / "set.r00001-of-00002.vitrail" / "in the way");
  CHECK_THROWS_AS(split_container(original.path, original.folder / "set", 2), FileError);
  CHECK(!fs::exists(original.folder / "set.index.vitrail"));
  fs::remove_all(original.folder / "set.r00001-of-00002.vitrail");
  split_container(original.path, original.folder / "set", 2);
  // A set that exists is not overwritten piece by piece.
  CHECK(contains(message_of<FileError>([&] { split_container(original.path, original.folder / "set", 2); }),
                 "set.index.vitrail is there already"));
  consolidate(original.folder / "set.index.vitrail", original.folder / "back.vitrail");
}

TEST_CASE("what cannot be split or put together says so") {
  Original original;
  const SplitResult split = split_container(original.path, original.folder / "set", 2);
  for (const fs::path& part : {split.index, split.shards[0]})
    CHECK(contains(message_of<FormatError>([&] { split_container(part, original.folder / "again", 2); }),
                   "belongs to a set already"));
  for (std::uint32_t shards : {0U, 65537U})
    CHECK_THROWS_AS(split_container(original.path, original.folder / "again", shards), FormatError);
  CHECK(
      contains(message_of<FormatError>([&] { consolidate(original.path, original.folder / "back.vitrail"); }),
               "expected the index of a sharded set, found a weights file"));
}

TEST_CASE("sections and kind of a model survive") {
  TemporaryFolder folder;
  test::ShardedState state;
  state.contents.kind = FileKind::model;
  Table model, input, own;
  model.set(1, "vit");
  input.set(1, std::int64_t{28});
  own.set(512, std::vector<std::string>{"a=1", ""});
  state.contents.root.set(2, std::move(model));
  state.contents.root.set(13, std::move(input));
  state.contents.root.set(18, std::move(own));
  state.contents.root.set(700, 0.5);
  write_container(folder / "model.vitrail", state.contents);
  const SplitResult split = split_container(folder / "model.vitrail", folder / "set", 5);
  CHECK(ShardSet::open(split.index).root().f64(700, "private") == 0.5);
  consolidate(split.index, folder / "back.vitrail");
  CHECK(test::file_bytes(folder / "back.vitrail") == test::file_bytes(folder / "model.vitrail"));
}

}  // namespace
}  // namespace vitrail::format
