// Tied weights: several names for the same bytes.

#include <doctest/doctest.h>

#include <algorithm>

#include "format/copy.h"
#include "tests/support/format_examples.h"

namespace vitrail::format {
namespace {

using test::file_bytes;
using test::TemporaryFolder;

const test::ByteVector kShared = test::counted(24, 1), kOther = test::counted(8, 50);

// "embed" and "head" share their bytes; which of them brings them is the caller's choice.
ContainerContents tied(bool head_has_the_bytes) {
  ContainerContents contents;
  contents.root.set(1, "alias_test");
  TensorRecord embed{"embed", Role::parameter, ElementType::f32, {2, 3}, kShared},
      head{"head", Role::parameter, ElementType::f32, {6}, kShared};
  if (head_has_the_bytes) {
    embed.alias_of = "head";
    embed.bytes = {};
  } else {
    head.alias_of = "embed";
    head.bytes = {};
  }
  contents.tensors = {head, {"norm", Role::parameter, ElementType::f32, {2}, kOther}, embed};
  return contents;
}

std::string refused(const ContainerContents& contents) {
  const TemporaryFolder folder;
  try {
    write_container(folder / "x", contents);
  } catch (const FormatError& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("tied tensors are stored once, under the first of their names, whoever brings the bytes") {
  const TemporaryFolder folder;
  write_container(folder / "1", tied(true));
  write_container(folder / "2", tied(false));
  CHECK(file_bytes(folder / "1") == file_bytes(folder / "2"));
  const Container file = Container::open(folder / "1");
  CHECK_NOTHROW(file.verify_all());
  const TensorRecord &embed = *file.find(Role::parameter, "embed"),
                     &head = *file.find(Role::parameter, "head");
  CHECK(embed.alias_of == "");
  CHECK(head.alias_of == "embed");
  CHECK(head.shape == std::vector<std::int64_t>{6});
  CHECK(file.read(embed).data() == file.read(head).data());
  CHECK(std::ranges::equal(file.read(head), kShared));
  CHECK(file.offset(*file.find(Role::parameter, "norm")) == file.offset(embed) + 64);
  copy_container(folder / "1", folder / "3");
  CHECK(file_bytes(folder / "3") == file_bytes(folder / "1"));
  const Container read = Container::open(folder / "1", {.access = Access::read});
  CHECK(std::ranges::equal(read.read(*read.find(Role::parameter, "head")), kShared));
}

TEST_CASE("an alias needs a partner that fits") {
  const auto with = [](const std::function<void(TensorRecord&)>& change) {
    ContainerContents contents = tied(true);
    change(contents.tensors[2]);
    return refused(contents);
  };
  CHECK(with([](TensorRecord&) {}) == "");
  for (const std::string& message :
       {with([](TensorRecord& t) { t.alias_of = "nobody"; }),
        with([](TensorRecord& t) { t.alias_of = "embed"; }),
        with([](TensorRecord& t) { t.role = Role::buffer; }),
        with([](TensorRecord& t) { t.type = ElementType::i32; }),
        with([](TensorRecord& t) { t.shape = {5}; }), with([](TensorRecord& t) { t.alias_of = "norm"; })}) {
    CAPTURE(message);
    CHECK(message.find("tensor 'embed': expected '") != std::string::npos);
  }
  ContainerContents chain = tied(true);
  chain.tensors.push_back({"third", Role::parameter, ElementType::f32, {6}, {}, "embed"});
  CHECK(refused(chain).find("no alias itself") != std::string::npos);
}

TEST_CASE("tied tensors of several chunks have one list of chunks") {
  const TemporaryFolder folder;
  const test::ByteVector big(5'000'000, std::byte{3});
  ContainerContents contents;
  contents.root.set(1, "alias_test");
  contents.tensors = {{"z", Role::parameter, ElementType::u8, {5'000'000}, big},
                      {"b", Role::parameter, ElementType::u8, {5'000'000}, big},
                      {"c", Role::parameter, ElementType::u8, {1000, 5000}, {}, "z"},
                      {"a", Role::buffer, ElementType::u8, {5'000'000}, big}};
  write_container(folder / "x", contents);
  const Container file = Container::open(folder / "x");
  CHECK(file.find_damage().empty());
  CHECK(file.view().chunks.count == 6);
  CHECK(file.find(Role::parameter, "z")->alias_of == "c");
  CHECK(file.chunk_hashes(*file.find(Role::parameter, "z")).data() ==
        file.chunk_hashes(*file.find(Role::parameter, "c")).data());
}

}  // namespace
}  // namespace vitrail::format
