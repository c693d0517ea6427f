// safetensors: what is written is read back, what is wrong is refused with its reason, sets of shards.

#include "format/safetensors.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "format/file.h"
#include "format/safetensors_types.h"
#include "tests/support/format_file.h"
#include "tests/support/safetensors_bytes.h"

namespace vitrail::format {
namespace {

namespace fs = std::filesystem;
using namespace std::string_literals;
using test::file_bytes;
using test::safetensors_of;
using test::safetensors_refusal;
using test::TemporaryFolder;

using Metadata = std::map<std::string, std::string>;

std::string text_of(const fs::path& path) {
  const test::ByteVector bytes = file_bytes(path);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

SafetensorsFile open_text(const std::string& file) {
  return SafetensorsFile::open(std::as_bytes(std::span(file)), "x");
}

// Tensors with bytes of their own.
struct Tensors {
  Tensors() {
    for (std::size_t i = 0; i < pool.size(); ++i)
      pool[i] = static_cast<std::byte>(i * 7 % 251);
  }
  void add(const std::string& name, ElementType type, std::vector<std::int64_t> shape) {
    const std::uint64_t bytes = *tensor_bytes(type, shape);
    list.push_back(
        {.name = name, .type = type, .shape = std::move(shape), .bytes = Bytes(pool).subspan(at, bytes)});
    at += bytes;
  }

  std::vector<std::byte> pool = std::vector<std::byte>(std::size_t{10} << 20);
  std::size_t at = 0;
  std::vector<TensorRecord> list;
};

// One of each type, of no elements, of no axes; names out of order.
Tensors every_type() {
  Tensors tensors;
  for (const SafetensorsType& row : kSafetensorsTypes) {
    if (row.type == ElementType::boolean) continue;
    tensors.add("t."s + row.name, row.type, {3, 2});
  }
  tensors.add("a.empty", ElementType::f32, {4, 0, 2});
  tensors.add("z.scalar", ElementType::f64, {});
  tensors.add("b.é", ElementType::bf16, {1, 1, 1, 1, 1, 1, 1, 5});
  std::fill_n(tensors.pool.begin() + static_cast<std::ptrdiff_t>(tensors.at), 4, std::byte{1});
  tensors.add("t.BOOL", ElementType::boolean, {4});
  return tensors;
}

void check_same(std::span<const TensorRecord> found, std::vector<TensorRecord> expected) {
  std::sort(expected.begin(), expected.end(),
            [](const TensorRecord& a, const TensorRecord& b) { return a.name < b.name; });
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    CAPTURE(found[i].name);
    CHECK(found[i].name == expected[i].name);
    CHECK(found[i].type == expected[i].type);
    CHECK(found[i].shape == expected[i].shape);
    CHECK(std::ranges::equal(found[i].bytes, expected[i].bytes));
  }
}

TEST_CASE("every type, written and read back") {
  const TemporaryFolder folder;
  const Tensors tensors = every_type();
  const WriteResult result = write_safetensors(folder / "x", tensors.list, {{"note", "é\"\n"}});
  CHECK(result.file_bytes == fs::file_size(folder / "x"));
  const SafetensorsFile file = SafetensorsFile::open(folder / "x");
  check_same(file.tensors(), tensors.list);
  CHECK(file.metadata() == Metadata{{"format", "pt"}, {"note", "é\"\n"}});
  REQUIRE(file.has_hash());
  CHECK_NOTHROW(file.verify());
  for (const TensorRecord& tensor : file.tensors())
    CHECK(reinterpret_cast<std::uintptr_t>(tensor.bytes.data()) %
              static_cast<unsigned>(std::max(8, *bits_of(tensor.type)) / 8) ==
          0);
}

TEST_CASE("same contents, same bytes, in whatever order and way they are written") {
  const TemporaryFolder folder;
  Tensors tensors = every_type();
  tensors.add("large", ElementType::f32, {1, 2'000'001});  // of more than one block and no whole page
  const WriteResult first = write_safetensors(folder / "x", tensors.list, {});
  std::reverse(tensors.list.begin(), tensors.list.end());
  for (const WriteMode mode : {WriteMode::io_uring, WriteMode::threads, WriteMode::buffered}) {
    const WriteResult second = write_safetensors(folder / "y", tensors.list, {},
                                                 {.mode = mode, .block_bytes = 65536, .read_back = true});
    CHECK(file_bytes(folder / "x") == file_bytes(folder / "y"));
    CHECK(first.content_id == second.content_id);
  }
  check_same(SafetensorsFile::open(folder / "y").tensors(), tensors.list);
}

TEST_CASE("files of any size around a page are written whole") {
  const TemporaryFolder folder;
  for (std::int64_t size = 3600; size < 4400; size += 7) {
    Tensors tensors;
    tensors.add("x", ElementType::u8, {size});
    const WriteResult result = write_safetensors(folder / "x", tensors.list, {}, {.read_back = true});
    CHECK(fs::file_size(folder / "x") == result.file_bytes);
    check_same(SafetensorsFile::open(folder / "x").tensors(), tensors.list);
  }
}

TEST_CASE("the header is that of the format, compact, its data on a multiple of 64") {
  const TemporaryFolder folder;
  Tensors tensors;
  tensors.add("b", ElementType::f32, {2});
  tensors.add("a", ElementType::bf16, {1, 2});
  tensors.add("c", ElementType::i64, {});
  const std::string id = write_safetensors(folder / "x", tensors.list, {{"format", "np"}}).content_id;
  const std::string header = "{\"__metadata__\":{\"format\":\"np\",\"vitrail.content_id\":\"" + id +
                             "\"},\"c\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
                             "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]},"
                             "\"a\":{\"dtype\":\"BF16\",\"shape\":[1,2],\"data_offsets\":[16,20]}}";
  const std::string text = text_of(folder / "x");
  CHECK(text.substr(8, header.size()) == header);
  CHECK((text.size() - 20) % 64 == 0);
  CHECK(text.find_first_not_of(' ', 8 + header.size()) == text.size() - 20);
}

TEST_CASE("the hash finds a changed byte; files of others have none") {
  const TemporaryFolder folder;
  Tensors tensors;
  tensors.add("x", ElementType::f32, {2'000'000});
  write_safetensors(folder / "x", tensors.list, {});
  std::string text = text_of(folder / "x");
  CHECK_NOTHROW(open_text(text).verify());
  text[text.size() - 3] ^= 1;
  CHECK_THROWS_WITH_AS(open_text(text).verify(), doctest::Contains("x: damaged"), FormatError);
  const std::string other = safetensors_of(R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "a");
  CHECK_FALSE(open_text(other).has_hash());
  CHECK_NOTHROW(open_text(other).verify());
}

TEST_CASE("tied weights are written once and tied again") {
  const TemporaryFolder folder;
  Tensors tensors;
  tensors.add("m", ElementType::f32, {2, 3});
  TensorRecord same = tensors.list[0], other = tensors.list[0];
  same.name = "z\"";
  other.name = "b";
  other.shape = {6};
  same.alias_of = other.alias_of = "m";
  tensors.list.push_back(same);
  tensors.list.push_back(other);
  write_safetensors(folder / "x", tensors.list, {});
  const SafetensorsFile file = SafetensorsFile::open(folder / "x");
  check_same(file.tensors(), tensors.list);
  CHECK(file.tensors()[0].alias_of == "");
  CHECK(file.tensors()[1].alias_of == "b");
  CHECK(file.tensors()[2].alias_of == "b");
  CHECK(file.tensors()[2].bytes.data() == file.tensors()[0].bytes.data());
  CHECK(file.metadata() == Metadata{{"format", "pt"}});
  CHECK_NOTHROW(file.verify());
  const std::string first = text_of(folder / "x");
  CHECK(fs::file_size(folder / "x") % 64 == 24);  // one of three
  write_safetensors(folder / "x", file.tensors(), file.metadata());
  CHECK(text_of(folder / "x") == first);
}

TEST_CASE("aliases that are wrong") {
  const auto refusal = [](const std::string& aliases) {
    return safetensors_refusal(
        safetensors_of("{\"__metadata__\":{\"vitrail.aliases\":\"" + aliases +
                           "\"},\"x\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
                       "abcd"));
  };
  CHECK(refusal(R"({\"y\":\"x\"})") == "");
  CHECK(refusal(R"({\"y\":[\"x\",[2,2]]})") == "");
  for (const char* aliases :
       {"", "[]", R"({\"x\":\"x\"})", R"({\"y\":\"z\"})", R"({\"y\":1})", R"({\"\":\"x\"})",
        R"({\"y\":\"x\",\"z\":\"y\"})", R"({\"y\":\"x\",\"y\":\"x\"})", R"({\"y\":[\"x\"]})",
        R"({\"y\":[\"x\",[5]]})", R"({\"y\":[\"x\",[-4]]})", R"({\"y\":[\"x\",[-2,-2]]})",
        R"({\"y\":[\"x\",[\"4\"]]})", R"({\"y\":[\"x\",4]})", R"({\"y\":[\"x\",[4],1]})"}) {
    CAPTURE(aliases);
    CHECK(refusal(aliases) != "");
  }
}

TEST_CASE("files of other writers: any order, not aligned, spaces, no tensors") {
  const std::string header = R"({"b":{"data_offsets":[3,7],"shape":[1],"dtype":"F32"},)"
                             R"("a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}   )"
                             "\n";
  const std::string text = safetensors_of(header, "abc" + "defg"s);
  const SafetensorsFile file = open_text(text);
  REQUIRE(file.tensors().size() == 2);
  CHECK(file.tensors()[1].name == "b");
  CHECK(std::memcmp(file.tensors()[1].bytes.data(), "defg", 4) == 0);
  CHECK(reinterpret_cast<std::uintptr_t>(file.tensors()[1].bytes.data()) % 4 == 0);
  CHECK(open_text(safetensors_of("{}")).tensors().empty());
  CHECK(open_text(safetensors_of("{ }        ")).tensors().empty());
}

TEST_CASE("each wrong file is refused with its reason") {
  for (const test::BadSafetensors& bad : test::bad_safetensors()) {
    CAPTURE(bad.name);
    const std::string refusal = safetensors_refusal(bad.file);
    CHECK(refusal.starts_with("x: "));
    CHECK_MESSAGE(refusal.find(bad.reason) != std::string::npos, refusal);
    CHECK(refusal.size() < 600);
  }
}

TEST_CASE("every truncation is refused; no flipped bit of the header does harm") {
  const TemporaryFolder folder;
  Tensors tensors;
  tensors.add("a", ElementType::f32, {2, 3});
  tensors.add("b", ElementType::u8, {5});
  tensors.list.push_back({.name = "c", .shape = {6}, .bytes = {}, .alias_of = "a"});
  write_safetensors(folder / "x", tensors.list, {{"k", "v"}});
  const std::string text = text_of(folder / "x");
  for (std::size_t size = 0; size < text.size(); ++size)
    CHECK(safetensors_refusal(std::string_view(text).substr(0, size)) != "");
  CHECK(safetensors_refusal(text + "x") != "");
  for (std::size_t bit = 0; bit < 8 * text.size(); ++bit) {
    std::string flipped = text;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    if (safetensors_refusal(flipped) != "") continue;
    // What is accepted has changed values, or names and metadata that the hash knows.
    const SafetensorsFile file = open_text(flipped);
    const bool told = [&] {
      if (!file.has_hash()) return true;
      try {
        file.verify();
        return false;
      } catch (const FormatError&) {
        return true;
      }
    }();
    CHECK((told || file.metadata() != Metadata{{"format", "pt"}, {"k", "v"}} || file.tensors().size() != 3 ||
           flipped.substr(bit / 8 - 40, 60).find(' ') != std::string::npos));
  }
}

TEST_CASE("what the format cannot hold is refused before anything is written") {
  const TemporaryFolder folder;
  const auto refused = [&](const TensorRecord& tensor, const char* reason) {
    CAPTURE(tensor.name);
    const std::array list{tensor};
    CHECK_THROWS_WITH_AS(write_safetensors(folder / "x", list, {}), doctest::Contains(reason), FormatError);
    CHECK_FALSE(fs::exists(folder / "x"));
  };
  const std::vector<std::byte> bytes(16);
  refused({.name = "c", .type = ElementType::c128, .shape = {1}, .bytes = bytes}, "no such element type");
  refused({.name = "i", .type = ElementType::i4, .shape = {32}, .bytes = bytes}, "no such element type");
  refused({.name = "__metadata__", .shape = {4}, .bytes = bytes}, "of this name");
  refused({.name = "", .shape = {4}, .bytes = bytes}, "of this name");
  refused({.name = "\xFF", .shape = {4}, .bytes = bytes}, "UTF-8");
  refused({.name = "x", .shape = {5}, .bytes = bytes}, "not those of its shape");
  refused({.name = "x", .shape = {4}, .bytes = {}, .alias_of = "y"}, "whose bytes it shares");
  const std::array twice{
      TensorRecord{.name = "x", .shape = {4}, .bytes = bytes},
      TensorRecord{.name = "x", .role = Role::ema_parameter, .shape = {4}, .bytes = bytes}};
  CHECK_THROWS_WITH_AS(write_safetensors(folder / "x", twice, {}), doctest::Contains("twice"), FormatError);
}

}  // namespace
}  // namespace vitrail::format
