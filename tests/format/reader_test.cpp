// Reading a container in every way of access: by tensor, by rows, by name; and what lazy and full checks
// find.

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "format/container.h"
#include "format/part_reader.h"
#include "tests/support/format_examples.h"

namespace vitrail::format {
namespace {

using test::ByteVector;
using test::file_bytes;
using test::TemporaryFolder;

constexpr std::uint64_t kChunk = 4194304;

// "big", 1500 rows of 6000 bytes in three chunks, and three small ones.
struct Example {
  TemporaryFolder folder;
  ByteVector big, small = test::counted(24, 7), pairs = test::counted(4, 9);
  std::filesystem::path path = folder / "x.vitrail";
  std::uint64_t big_offset = 0;

  Example() {
    big.resize(9'000'000);
    for (std::size_t i = 0; i < big.size(); ++i)
      big[i] = static_cast<std::byte>(i * 13 + i / 6000);
    ContainerContents contents;
    contents.root.set(1, "reader_test");
    contents.tensors = {{"block.0.weight", Role::parameter, ElementType::f32, {1500, 1500}, big},
                        {"block.1.weight", Role::parameter, ElementType::f32, {2, 3}, small},
                        {"head", Role::buffer, ElementType::f32, {2, 3}, small},
                        {"pairs", Role::buffer, ElementType::u4, {8}, pairs}};
    write_container(path, contents);
    const Container file = Container::open(path);
    big_offset = file.offset(*file.find(Role::parameter, "block.0.weight"));
  }
  void damage(std::uint64_t offset) const {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    const int byte = file.get();
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(static_cast<char>(byte ^ 0x10));
  }
};

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("every way of access gives the same tensors") {
  const Example example;
  for (Access access : {Access::automatic, Access::map, Access::read}) {
    const Container file = Container::open(example.path, {.access = access});
    CHECK(file.mapped() == (access != Access::read));
    for (const TensorRecord& tensor : file.tensors()) {
      CAPTURE(tensor.name);
      const ByteVector& expected = tensor.name == "block.0.weight" ? example.big
                                   : tensor.name == "pairs"        ? example.pairs
                                                                   : example.small;
      CHECK(file.byte_size(tensor) == expected.size());
      const Bytes bytes = file.read(tensor);
      CHECK(std::equal(bytes.begin(), bytes.end(), expected.begin(), expected.end()));
      CHECK(file.read(tensor).data() == bytes.data());  // not read twice
      ByteVector out(expected.size());
      file.read(tensor, out);
      CHECK(out == expected);
    }
    CHECK(file.find_damage().empty());
  }
}

TEST_CASE("a mapped tensor is not copied") {
  const ByteVector bytes = test::tiny_file();
  const Container file = Container::open(bytes, "x");
  CHECK(file.read(file.tensors()[1]).data() == bytes.data() + test::tiny::kB);
}

TEST_CASE("a tensor comes piece by piece, each checked") {
  const Example example;
  for (Access access : {Access::map, Access::read}) {
    const Container file = Container::open(example.path, {.access = access});
    ByteVector all;
    std::vector<std::uint64_t> begins;
    file.stream(file.tensors()[0], [&](std::uint64_t begin, Bytes bytes) {
      begins.push_back(begin);
      all.insert(all.end(), bytes.begin(), bytes.end());
    });
    CHECK(begins == std::vector<std::uint64_t>{0, kChunk, 2 * kChunk});
    CHECK(all == example.big);
  }
  example.damage(example.big_offset + 2 * kChunk);
  const Container file = Container::open(example.path);
  int pieces = 0;
  CHECK_THROWS_AS(file.stream(file.tensors()[0], [&](std::uint64_t, Bytes) { ++pieces; }), FormatError);
  CHECK(pieces == 2);
}

TEST_CASE("rows come alone, from whatever chunks they lie in") {
  const Example example;
  for (Access access : {Access::map, Access::read}) {
    const Container file = Container::open(example.path, {.access = access});
    const TensorRecord& big = *file.find(Role::parameter, "block.0.weight");
    for (auto [first, count] : {std::pair<std::uint64_t, std::uint64_t>{0, 1},
                                {699, 1},
                                {698, 3},
                                {1499, 1},
                                {5, 0},
                                {1500, 0},
                                {0, 1500}}) {
      const std::uint64_t row = first;  // clang 14 captures no structured binding
      CAPTURE(row);
      ByteVector out(count * 6000);
      file.read_rows(big, first, count, out);
      CHECK(std::equal(out.begin(), out.end(),
                       example.big.begin() + static_cast<std::ptrdiff_t>(first * 6000)));
    }
    ByteVector pair(1);
    file.read_rows(*file.find(Role::buffer, "pairs"), 2, 2, pair);
    CHECK(pair[0] == example.pairs[1]);
    CHECK(error_of([&] {
            file.read_rows(*file.find(Role::buffer, "pairs"), 1, 2, pair);
          }).find("rows of 4 bits") != std::string::npos);
    CHECK(error_of([&] { file.read_rows(big, 1500, 1, pair); }).find("has 1500 rows") != std::string::npos);
    CHECK(error_of([&] { file.read_rows(big, ~std::uint64_t{0}, 2, pair); }) != "");
    CHECK(error_of([&] { file.read_rows(big, 0, 1, pair); }).find("memory of 1 bytes") != std::string::npos);
    CHECK(error_of([&] { file.read(big, pair); }).find("memory of 9000000 bytes") != std::string::npos);
  }
}

TEST_CASE("rows are checked by the chunks they lie in, and by no others") {
  const Example example;
  example.damage(example.big_offset + kChunk + 5);  // in chunk 1: bytes 4194304 to 8388607, rows 699 to 1398
  for (Access access : {Access::map, Access::read}) {
    const Container file = Container::open(example.path, {.access = access});
    const TensorRecord& big = *file.find(Role::parameter, "block.0.weight");
    ByteVector row(6000);
    CHECK_NOTHROW(file.read_rows(big, 698, 1, row));
    CHECK_NOTHROW(file.read_rows(big, 1399, 1, row));
    const std::string message = error_of([&] { file.read_rows(big, 1300, 1, row); });
    CHECK(message.find(
              "tensor 'block.0.weight' (role 0) is damaged in chunk 1 (elements 1048576 to 2097151)") !=
          std::string::npos);
    CHECK_NOTHROW((void)file.read(*file.find(Role::buffer, "head")));
  }
}

TEST_CASE("a chunk is checked before its first use, and once bad it stays bad") {
  const Example example;
  for (Access access : {Access::map, Access::read}) {
    const Container file = Container::open(example.path, {.access = access});
    const TensorRecord& big = *file.find(Role::parameter, "block.0.weight");
    ByteVector row(6000);
    file.read_rows(big, 0, 1, row);
    example.damage(example.big_offset + 100'000);
    CHECK_NOTHROW(file.read_rows(big, 1, 1, row));  // of a chunk that has been checked
    const Container again = Container::open(example.path, {.access = access});
    const TensorRecord& same = again.tensors()[0];
    CHECK_THROWS_AS(again.read_rows(same, 1, 1, row), FormatError);
    example.damage(example.big_offset + 100'000);  // the bit flips back
    CHECK_THROWS_AS(again.read_rows(same, 1, 1, row), FormatError);
    CHECK_NOTHROW(again.read_rows(same, 1499, 1, row));
  }
}

TEST_CASE("several threads may read one container") {
  const Example example;
  for (Access access : {Access::map, Access::read}) {
    const Container file = Container::open(example.path, {.access = access});
    std::atomic<int> equal = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        const Bytes bytes = file.read(file.tensors()[0]);
        if (std::equal(bytes.begin(), bytes.end(), example.big.begin())) ++equal;
      });
    }
    for (std::thread& thread : threads)
      thread.join();
    CHECK(equal == 4);
  }
}

TEST_CASE("tensors are selected by role and pattern") {
  const Example example;
  const Container file = Container::open(example.path);
  const auto names = [](const std::vector<const TensorRecord*>& tensors) {
    std::string joined;
    for (const TensorRecord* tensor : tensors)
      joined += tensor->name + " ";
    return joined;
  };
  CHECK(names(file.select("*")) == "block.0.weight block.1.weight head pairs ");
  CHECK(names(file.select(Role::parameter)) == "block.0.weight block.1.weight ");
  CHECK(names(file.select(Role::buffer, "block*")) == "");
  CHECK(names(file.select("block.?.weight")) == "block.0.weight block.1.weight ");
  CHECK(names(file.select("head")) == "head ");
}

TEST_CASE("patterns: a star stands for any characters, a question mark for one") {
  CHECK(matches("", ""));
  CHECK_FALSE(matches("", "a"));
  CHECK(matches("*", ""));
  CHECK(matches("**", "abc"));
  CHECK(matches("a*c", "abbc"));
  CHECK(matches("*.weight", "blocks.0.weight.weight"));
  CHECK_FALSE(matches("*.weight", "blocks.0.weights"));
  CHECK(matches("*a*b?", "xaxxbxby"));
  CHECK_FALSE(matches("?", ""));
  CHECK_FALSE(matches("a?", "a"));
  CHECK_FALSE(matches("abc", "ab"));
}

TEST_CASE("hashes of roles are those of their tensors") {
  const ByteVector bytes = test::tiny_file();
  const Container file = Container::open(bytes, "x");
  const Hash128 moment = file.hash(file.tensors()[2]);
  CHECK(file.role_hash(Role::first_moment) == hash128(std::as_bytes(std::span(&moment, 1))));
  CHECK_FALSE(file.role_hash(Role::buffer).has_value());
}

TEST_CASE("every damaged place is found, by whatever number of threads, with its place in file and tensor") {
  const Example example;
  const Container whole = Container::open(example.path);
  const std::uint64_t head = whole.offset(*whole.find(Role::buffer, "head"));
  example.damage(example.big_offset + 7);
  example.damage(example.big_offset + 2 * kChunk + 1'000);
  example.damage(head + 23);
  example.damage(head + 30);  // padding behind 24 bytes
  for (Access access : {Access::map, Access::read}) {
    for (unsigned threads : {1U, 2U, 5U}) {
      const Container file = Container::open(example.path, {.access = access});
      const std::vector<Damage> damage = file.find_damage(threads);
      REQUIRE(damage.size() == 4);
      CHECK(damage[0].tensor == "block.0.weight");
      CHECK(damage[0].chunk == 0);
      CHECK(damage[0].begin == example.big_offset);
      CHECK(damage[0].end == example.big_offset + kChunk);
      CHECK(damage[1].chunk == 2);
      CHECK(damage[1].first_element == 2097152);
      CHECK(damage[1].end_element == 2250000);
      CHECK(damage[1].expected == whole.chunk_hashes(whole.tensors()[0])[2]);
      CHECK(damage[1].found != damage[1].expected);
      CHECK(damage[2].tensor == "head");
      CHECK(damage[2].role == Role::buffer);
      CHECK(damage[2].chunk == -1);
      CHECK(damage[3].rule == Rule::V41);
      CHECK(damage[3].begin == head + 24);
      CHECK(damage[3].text().starts_with("padding at bytes"));
    }
  }
}

TEST_CASE("damage is found out of the page cache and past it, which leaves the cache as it was") {
  const Example example;
  const std::uint64_t place = example.big_offset + kChunk;
  example.damage(place + kChunk - 1);
  const Source source(example.path, Access::read);
  const DirectFile direct(source);
  for (const bool cold : {true, false}) {
    for (Access access : {Access::map, Access::read}) {
      for (unsigned threads : {0U, 1U, 2U}) {
        const Container file = Container::open(example.path, {.access = access});
        ByteVector all(source.size());
        if (!cold) source.read(0, all);
        if (cold && (::fsync(source.descriptor()) != 0 ||
                     ::posix_fadvise(source.descriptor(), 0, 0, POSIX_FADV_DONTNEED) != 0))
          FAIL("the page cache cannot be emptied");
        const bool past_cache = direct.worthwhile(place, kChunk);
        if (!cold) CHECK_FALSE(past_cache);
        if (cold && !past_cache) MESSAGE("no reads past the page cache here");
        const std::vector<Damage> damage = file.find_damage(threads);
        REQUIRE(damage.size() == 1);
        CHECK(damage[0].chunk == 1);
        CHECK(direct.worthwhile(place, kChunk) == past_cache);
      }
    }
  }
}

TEST_CASE("a bool that is none is found with its element, even when its hash is right") {
  const ByteVector bools{std::byte{1}, std::byte{0}, std::byte{7}};
  ContainerContents contents = test::tiny_contents();
  contents.tensors.push_back({"mask", Role::buffer, ElementType::boolean, {3}, bools});
  const TemporaryFolder folder;
  write_container(folder / "x", contents);
  const std::vector<Damage> damage = Container::open(folder / "x").find_damage();
  REQUIRE(damage.size() == 1);
  CHECK(damage[0].rule == Rule::V42);
  CHECK(damage[0].first_element == 2);
  CHECK(damage[0].text().find("tensor 'mask' (role 1)") != std::string::npos);
}

TEST_CASE("a file that is read is refused as one that is mapped, with the same words") {
  const TemporaryFolder folder;
  for (const test::CorpusFile& file : test::corpus()) {
    test::write_plainly(folder / "x", file.bytes);
    std::string words[2];
    for (Access access : {Access::map, Access::read}) {
      words[access == Access::read] =
          error_of([&] { Container::open(folder / "x", {.access = access}).verify_all(); });
    }
    CHECK(words[0] == words[1]);
    CHECK(words[0].empty() == file.name.starts_with("ok"));
  }
}

TEST_CASE("a file that becomes shorter while it is read is an error, not zeros") {
  const Example example;
  const Container file = Container::open(example.path, {.access = Access::read});
  std::filesystem::resize_file(example.path, 8192);
  CHECK(error_of([&] { (void)file.read(file.tensors()[0]); }).find("became shorter") != std::string::npos);
  CHECK(error_of([&] { (void)file.find_damage(); }).find("became shorter") != std::string::npos);
}

TEST_CASE("what is no file is not opened") {
  const TemporaryFolder folder;
  for (Access access : {Access::map, Access::read}) {
    const OpenOptions options{.access = access};
    CHECK(error_of([&] {
            (void)Container::open(folder / "none", options);
          }).find("cannot open: No such file") != std::string::npos);
    CHECK(error_of([&] { (void)Container::open(folder.path(), options); }).find("found a folder") !=
          std::string::npos);
    CHECK(error_of([&] { (void)Container::open("/dev/null", options); }).find("expected a file") !=
          std::string::npos);
  }
}

}  // namespace
}  // namespace vitrail::format
