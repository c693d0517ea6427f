// What is saved of damaged files: every single-bit flip, every truncation, a lost beginning, a lost end.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>

#include "format/salvage.h"
#include "format/sections.h"
#include "tests/support/format_file.h"

using namespace vitrail::format;
using namespace vitrail::test;

namespace {

Salvage salvaged(const ByteVector& file) {
  return salvage(Source(Bytes(file)));
}

// Names of what is whole, with the role where it is no parameter: "a b a16".
std::string whole(const ByteVector& file) {
  std::string names;
  for (const TensorRecord& tensor : salvaged(file).tensors) {
    names += (names.empty() ? "" : " ") + tensor.name;
    if (tensor.role != Role::parameter) names += std::to_string(static_cast<int>(tensor.role));
  }
  return names;
}

std::string refused(const ByteVector& file) {
  try {
    (void)salvaged(file);
  } catch (const FormatError& error) {
    return error.what();
  }
  return {};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

bool noted(const Salvage& salvage, const std::string& part) {
  return std::any_of(salvage.notes.begin(), salvage.notes.end(),
                     [&](const std::string& note) { return contains(note, part); });
}

// A file with a chunked tensor of 9 MiB between two small ones.
ByteVector large_file(const std::filesystem::path& path) {
  static std::vector<float> big(9 << 18, 1.5F), small{1, 2, 3};
  ContainerContents contents;
  contents.root.set(section::kProducer, "test");
  const auto add = [&](const char* name, const std::vector<float>& values) {
    TensorRecord tensor;
    tensor.name = name;
    tensor.shape = {std::ssize(values)};
    tensor.bytes = std::as_bytes(std::span(values));
    contents.tensors.push_back(tensor);
  };
  add("a", small);
  add("b", big);
  add("c", small);
  write_container(path, contents);
  return file_bytes(path);
}

}  // namespace

TEST_CASE("a whole file is salvaged whole") {
  const ByteVector file = tiny_file();
  const Salvage result = salvaged(file);
  CHECK(result.complete());
  CHECK(result.notes.empty());
  CHECK(whole(file) == "a b a16");
  CHECK(result.kind == FileKind::weights);
  CHECK(result.root.text(section::kProducer, "producer") == "tiny");
}

TEST_CASE("of any single-bit flip, only the tensor that it hits is lost") {
  ByteVector file = tiny_file();
  for (std::size_t bit = 0; bit < 8 * file.size(); ++bit) {
    file[bit / 8] ^= std::byte{1} << (bit % 8);
    const Salvage result = salvaged(file);
    file[bit / 8] ^= std::byte{1} << (bit % 8);
    const std::size_t at = bit / 8;
    const bool in_tensor = (at >= tiny::kData && at < tiny::kData + 8) ||
                           (at >= tiny::kB && at < tiny::kB + 3) ||
                           (at >= tiny::kMoment && at < tiny::kDataEnd);
    REQUIRE_MESSAGE(result.sections_whole, bit);
    REQUIRE_MESSAGE(result.lost.size() == (in_tensor ? 1 : 0), bit);
    REQUIRE_MESSAGE(result.tensors.size() + result.lost.size() == 3, bit);
    if (in_tensor) REQUIRE(result.lost[0].reason == "damaged");
  }
}

TEST_CASE("of a file that is cut off, what came before the cut is saved") {
  const ByteVector file = tiny_file();
  for (std::size_t size = 0; size <= file.size(); ++size) {
    const ByteVector cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
    if (size < tiny::kMetaEnd) {
      REQUIRE_MESSAGE(contains(refused(cut), "nothing can be rescued"), size);
      continue;
    }
    const std::size_t expected = size < tiny::kData + 8  ? 0
                                 : size < tiny::kB + 3   ? 1
                                 : size < tiny::kDataEnd ? 2
                                                         : 3;
    const Salvage result = salvaged(cut);
    REQUIRE_MESSAGE(result.tensors.size() == expected, size);
    REQUIRE(noted(result, "cut off") == (size < file.size()));
  }
  const ByteVector cut(file.begin(), file.begin() + tiny::kB);
  CHECK(salvaged(cut).lost[0].reason == "cut off: 0 of 3 bytes are there");
}

TEST_CASE("without its prologue a file is found by its footer") {
  ByteVector file = tiny_file();
  std::fill_n(file.begin(), 128, std::byte{0xAA});
  const Salvage result = salvaged(file);
  CHECK(result.complete());
  CHECK(result.kind == FileKind::weights);
  CHECK(noted(result, "restored from the footer"));

  SUBCASE("but not without both") {
    std::fill_n(file.end() - 64, 64, std::byte{0});
    CHECK(contains(refused(file), "neither prologue nor footer"));
  }
  SUBCASE("nor when the metadata are damaged too") {
    file[tiny::kMeta + 8] ^= std::byte{1};
    CHECK(contains(refused(file), "neither prologue nor footer"));
  }
}

TEST_CASE("metadata that are damaged for good") {
  ByteVector file = tiny_file();
  SUBCASE("outside the list of tensors: it still counts, but nothing else does") {
    std::memcpy(&file[tiny::kProducer + 16], "liar", 4);
    const Salvage result = salvaged(file);
    CHECK(whole(file) == "a b a16");
    CHECK_FALSE(result.sections_whole);
    CHECK_FALSE(result.complete());
    CHECK(noted(result, "metadata are damaged"));
    CHECK(contents_of(result).kind == FileKind::weights);
  }
  SUBCASE("in the hashes of tensors: nobody can tell which are whole") {
    file[tiny::entry(0) + 96] ^= std::byte{0x11};
    CHECK(contains(refused(file), "with them the list of tensors"));
  }
  SUBCASE("in a name") {
    file[tiny::kNames + 24] ^= std::byte{0x03};
    CHECK(contains(refused(file), "with them the list of tensors"));
  }
}

TEST_CASE("bytes behind the end do no harm") {
  ByteVector file = tiny_file();
  file.resize(file.size() + 100);
  CHECK(salvaged(file).complete());
  CHECK(noted(salvaged(file), "100 bytes too many"));
}

TEST_CASE("a damaged chunk costs its tensor, and is counted") {
  const TemporaryFolder folder;
  ByteVector file = large_file(folder / "large.vitrail");
  file[file.size() / 2] ^= std::byte{4};
  CHECK(whole(file) == "a c");
  CHECK(salvaged(file).lost[0].reason == "damaged in 1 of 3 chunks");
  file.resize(file.size() / 2);
  CHECK(whole(file) == "a");
}

TEST_CASE("what kind of file comes out") {
  Salvage salvage;
  salvage.kind = FileKind::checkpoint;
  salvage.sections_whole = true;
  for (const section::Id id : {section::kModel, section::kInput, section::kOptimizer, section::kEma})
    salvage.root.set(id, Table{});
  salvage.root.set(section::kProducer, "test");
  const auto tensor = [](const char* name, Role role) {
    TensorRecord record;
    record.name = name;
    record.role = role;
    return record;
  };
  salvage.tensors = {tensor("a", Role::parameter), tensor("a", Role::ema_parameter),
                     tensor("a", Role::first_moment)};
  CHECK(contents_of(salvage).kind == FileKind::checkpoint);
  const auto lose = [&](Role role) {
    salvage.lost.push_back({.name = "b", .role = role, .shape = {}, .reason = {}});
  };

  SUBCASE("a lost moment: a model, with its averages and the other moments") {
    lose(Role::second_moment);
    const ContainerContents contents = contents_of(salvage);
    CHECK(contents.kind == FileKind::model);
    CHECK(contents.tensors.size() == 3);
    CHECK(contents.root.has(section::kEma));
    CHECK_FALSE(contents.root.has(section::kOptimizer));
  }
  SUBCASE("a lost average: a model without averages") {
    lose(Role::ema_parameter);
    const ContainerContents contents = contents_of(salvage);
    CHECK(contents.kind == FileKind::model);
    CHECK(contents.tensors.size() == 2);
    CHECK_FALSE(contents.root.has(section::kEma));
  }
  SUBCASE("a lost parameter: weights, all that are whole") {
    lose(Role::parameter);
    const ContainerContents contents = contents_of(salvage);
    CHECK(contents.kind == FileKind::weights);
    CHECK(contents.tensors.size() == 3);
    CHECK_FALSE(contents.root.has(section::kModel));
  }
}
