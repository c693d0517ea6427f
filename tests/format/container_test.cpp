#include "format/container.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "format/file.h"
#include "format/layout.h"
#include "tests/support/format_file.h"

namespace vitrail::format {
namespace {

using test::ByteVector;
using test::file_bytes;
using test::TemporaryFolder;
using test::tiny_contents;

ByteVector counting(std::size_t bytes, unsigned step = 1) {
  ByteVector result(bytes);
  for (std::size_t i = 0; i < bytes; ++i)
    result[i] = static_cast<std::byte>(i * step + i / 251);
  return result;
}

bool same(Bytes a, Bytes b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

std::string refused(const ContainerContents& contents) {
  const TemporaryFolder folder;
  try {
    write_container(folder / "x.vitrail", contents);
  } catch (const FormatError& error) {
    CHECK(folder.listing().empty());
    return error.what();
  }
  return "";
}

std::string open_error(const std::filesystem::path& path) {
  try {
    (void)Container::open(path);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("the written file is, byte for byte, the one made by hand from the specification") {
  const TemporaryFolder folder;
  const WriteResult result = write_container(folder / "tiny.vitrail", tiny_contents());
  CHECK(result.file_bytes == 8192);
  CHECK(result.seconds > 0);
  CHECK(file_bytes(folder / "tiny.vitrail") == test::tiny_file());
  CHECK(folder.listing() == std::vector<std::string>{"tiny.vitrail"});
}

TEST_CASE("a tensor may be changed as soon as the writer says that it has read it") {
  const TemporaryFolder folder;
  std::vector<ByteVector> values;
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{12}, std::size_t{70000}, std::size_t{9} << 20})
    values.push_back(counting(bytes));
  ContainerContents contents;
  contents.root.set(1, std::string("test"));
  for (std::size_t i = 0; i < values.size(); ++i) {
    contents.tensors.push_back({"t" + std::to_string(i),
                                Role::parameter,
                                ElementType::u8,
                                {static_cast<std::int64_t>(values[i].size())},
                                values[i]});
  }
  write_container(folder / "still.vitrail", contents);
  std::vector<std::string> consumed;
  WriteOptions options;
  options.on_consumed = [&](const TensorRecord& tensor) {
    consumed.push_back(tensor.name);
    ByteVector& value = values[static_cast<std::size_t>(&tensor - contents.tensors.data())];
    std::fill(value.begin(), value.end(), std::byte{0xEE});
  };
  write_container(folder / "changing.vitrail", contents, options);
  CHECK(consumed == std::vector<std::string>{"t0", "t1", "t2", "t3"});
  CHECK(file_bytes(folder / "changing.vitrail") == file_bytes(folder / "still.vitrail"));
}

TEST_CASE("the file made by hand reads as what it says") {
  const ByteVector file = test::tiny_file();
  const Container container = Container::open(file, "tiny");
  CHECK_NOTHROW(container.verify_all());
  CHECK(container.kind() == FileKind::weights);
  CHECK(container.root().text(1, "producer") == "tiny");
  CHECK(container.file_bytes() == 8192);
  REQUIRE(container.tensors().size() == 3);
  const TensorRecord& moment = container.tensors()[2];
  CHECK(moment.name == "a");
  CHECK(moment.role == Role::first_moment);
  CHECK(moment.type == ElementType::f32);
  CHECK(moment.shape == std::vector<std::int64_t>{2});
  CHECK(get<float>(container.read(moment), 4) == 0.25F);
  CHECK(container.find(Role::first_moment, "a") == &moment);
  CHECK(container.find(Role::parameter, "b") == &container.tensors()[1]);
  CHECK(container.find(Role::first_moment, "b") == nullptr);
  CHECK(container.find(Role::parameter, "") == nullptr);
  CHECK(container.find(Role::buffer, "zzz") == nullptr);
}

// One tensor of every element type, with 6 elements as (3, 2).
struct EveryType {
  std::vector<ByteVector> payloads;
  ContainerContents contents = tiny_contents();

  EveryType() {
    constexpr int kCodes[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  16, 17, 18,
                              19, 24, 25, 26, 27, 28, 32, 33, 40, 41, 42};
    contents.tensors.clear();
    payloads.reserve(std::size(kCodes));
    for (int code : kCodes) {
      const auto type = static_cast<ElementType>(code);
      const auto bytes = static_cast<std::size_t>(*bits_of(type)) * 6 / 8;
      payloads.push_back(code == 1 ? ByteVector(6, std::byte{1}) : counting(bytes, 7));
      contents.tensors.push_back(
          {"t" + std::to_string(code), Role::parameter, type, {3, 2}, payloads.back()});
    }
  }
};

TEST_CASE("tensors of every element type come back") {
  const TemporaryFolder folder;
  const EveryType every;
  write_container(folder / "x.vitrail", every.contents);
  const Container container = Container::open(folder / "x.vitrail");
  CHECK_NOTHROW(container.verify_all());
  REQUIRE(container.tensors().size() == every.contents.tensors.size());
  for (const TensorRecord& written : every.contents.tensors) {
    CAPTURE(written.name);
    const TensorRecord* read = container.find(Role::parameter, written.name);
    REQUIRE(read != nullptr);
    CHECK(read->type == written.type);
    CHECK(read->shape == written.shape);
    CHECK(same(container.read(*read), written.bytes));
  }
}

TEST_CASE("scalars, empty tensors, eight axes and a file without tensors are all possible") {
  const TemporaryFolder folder;
  const ByteVector one = counting(4);
  ContainerContents contents = tiny_contents();
  contents.tensors = {{"scalar", Role::buffer, ElementType::i32, {}, one},
                      {"empty", Role::buffer, ElementType::f64, {4, 0, 7}, {}},
                      {"deep", Role{200}, ElementType::u8, {1, 1, 2, 1, 1, 2, 1, 1}, one}};
  write_container(folder / "x.vitrail", contents);
  const Container container = Container::open(folder / "x.vitrail");
  CHECK_NOTHROW(container.verify_all());
  CHECK(container.find(Role::buffer, "scalar")->shape.empty());
  CHECK(container.read(*container.find(Role::buffer, "empty")).empty());
  CHECK(container.find(Role{200}, "deep")->shape.size() == 8);
  contents.tensors.clear();
  CHECK(write_container(folder / "none.vitrail", contents).file_bytes == 8192);
  CHECK_NOTHROW(Container::open(folder / "none.vitrail").verify_all());
}

TEST_CASE("the same contents give the same bytes, in whatever order the tensors come") {
  const TemporaryFolder folder;
  EveryType every;
  write_container(folder / "1.vitrail", every.contents);
  write_container(folder / "2.vitrail", every.contents);
  std::reverse(every.contents.tensors.begin(), every.contents.tensors.end());
  write_container(folder / "3.vitrail", every.contents);
  CHECK(file_bytes(folder / "1.vitrail") == file_bytes(folder / "2.vitrail"));
  CHECK(file_bytes(folder / "1.vitrail") == file_bytes(folder / "3.vitrail"));
}

TEST_CASE("content_id follows the tensors and nothing else") {
  const TemporaryFolder folder;
  ContainerContents contents = tiny_contents();
  const std::string id = write_container(folder / "x.vitrail", contents).content_id;
  CHECK(id.size() == 32);
  CHECK(Container::open(folder / "x.vitrail").content_id() == id);
  const auto id_now = [&] { return write_container(folder / "y.vitrail", contents).content_id; };
  contents.root.set(1, "another producer");
  CHECK(id_now() == id);
  contents.tensors[1].role = Role::buffer;
  CHECK(id_now() != id);
  contents = tiny_contents();
  contents.tensors[1].shape = {1, 3};
  CHECK(id_now() != id);
  contents = tiny_contents();
  contents.tensors[1].type = ElementType::i8;
  CHECK(id_now() != id);
  contents = tiny_contents();
  contents.tensors[1].name = "c";
  CHECK(id_now() != id);
}

TEST_CASE("tensors of 64 KiB and more begin on a page, smaller ones on a cache line") {
  const TemporaryFolder folder;
  const ByteVector tiny = counting(100), small = counting(65535), large = counting(65536);
  ContainerContents contents = tiny_contents();
  contents.tensors = {{"a", Role::parameter, ElementType::u8, {100}, tiny},
                      {"b", Role::parameter, ElementType::u8, {65535}, small},
                      {"c", Role::parameter, ElementType::u8, {100}, tiny},
                      {"d", Role::parameter, ElementType::u8, {65536}, large}};
  write_container(folder / "x.vitrail", contents);
  const ByteVector file = file_bytes(folder / "x.vitrail");
  const Container container = Container::open(file, "x");
  const auto offset = [&](std::size_t i) { return container.tensors()[i].bytes.data() - file.data(); };
  CHECK(offset(0) == 4096);
  CHECK(offset(1) == 4224);      // behind 4196, the next multiple of 64
  CHECK(offset(2) == 69760);     // behind 69759
  CHECK(offset(3) == 73728);     // behind 69860, the next multiple of 4096
  CHECK(file.size() == 143360);  // 73728 + 65536 + 64, rounded up to a page
}

TEST_CASE("a tensor has chunks from one byte above 4 MiB on") {
  const TemporaryFolder folder;
  const ByteVector bytes(4194305, std::byte{7});
  ContainerContents contents = tiny_contents();
  const auto chunks = [&](std::size_t size) {
    contents.tensors = {
        {"a", Role::parameter, ElementType::u8, {std::int64_t(size)}, Bytes(bytes).first(size)}};
    write_container(folder / "x.vitrail", contents);
    const Container container = Container::open(folder / "x.vitrail");
    CHECK_NOTHROW(container.verify_all());
    return container.root().vector(5, "chunk hashes").data.size() / 16;
  };
  CHECK(chunks(4194304) == 0);
  CHECK(chunks(4194305) == 2);
}

// 9,000,000 bytes: two chunks of 4 MiB and a shorter third.
struct BigFile {
  TemporaryFolder folder;
  ByteVector payload = counting(9'000'000, 13);
  ByteVector file;

  BigFile() {
    ContainerContents contents = tiny_contents();
    contents.tensors.push_back({"big", Role::parameter, ElementType::f32, {1500, 1500}, payload});
    write_container(folder / "big.vitrail", contents);
    file = file_bytes(folder / "big.vitrail");
  }
};

TEST_CASE("a tensor of three chunks comes back, hashed as the specification says") {
  const BigFile big;
  const Container container = Container::open(big.file, "big");
  CHECK_NOTHROW(container.verify_all());
  CHECK(same(container.read(*container.find(Role::parameter, "big")), big.payload));
  const Vector& chunks = container.root().vector(5, "chunk hashes");
  REQUIRE(chunks.data.size() == 48);
  constexpr std::size_t kFourMiB = 4194304;
  for (std::size_t c = 0; c < 3; ++c) {
    const std::size_t begin = c * kFourMiB, bytes = std::min(kFourMiB, big.payload.size() - begin);
    const Hash128 expected = hash128(Bytes(big.payload).subspan(begin, bytes));
    CHECK(get<std::uint64_t>(chunks.data, 16 * c) == expected.low);
    CHECK(get<std::uint64_t>(chunks.data, 16 * c + 8) == expected.high);
  }
  const Vector& directory = container.root().vector(4, "tensors");
  const Hash128 whole = hash128(chunks.data);
  CHECK(get<std::uint64_t>(directory.data, 2 * 128 + 96) == whole.low);
  CHECK(get<std::uint64_t>(directory.data, 2 * 128 + 104) == whole.high);
}

TEST_CASE("damage in a big tensor is named by tensor, chunk and elements, and spares the others") {
  BigFile big;
  const auto offset =
      Container::open(big.file, "x").find(Role::parameter, "big")->bytes.data() - big.file.data();
  const auto damaged_byte = static_cast<std::size_t>(offset) + 2 * 4194304 + 5;
  big.file[damaged_byte] ^= std::byte{0x40};
  const Container container = Container::open(big.file, "run/best.vitrail");
  const std::string message = test::refusal_message(big.file);
  CAPTURE(message);
  CHECK(test::refusal(big.file) == "V40");
  CHECK(message.find("tensor 'big'") != std::string::npos);
  CHECK(message.find("chunk 2 ") != std::string::npos);
  CHECK(message.find("elements 2097152 to 2249999") != std::string::npos);
  CHECK_THROWS_AS((void)container.read(*container.find(Role::parameter, "big")), FormatError);
  CHECK_NOTHROW((void)container.read(*container.find(Role::parameter, "a")));
}

TEST_CASE("a chunk exchanged together with its hash is found by the hash of its tensor") {
  BigFile big;
  const auto damaged = static_cast<std::size_t>(big.file.size() - 5000);  // in the last chunk
  constexpr std::size_t kLast = 2 * std::size_t{4194304};
  const Hash128 old_hash = hash128(Bytes(big.payload).subspan(kLast));
  const Container container = Container::open(big.file, "x");
  const Bytes payload = container.find(Role::parameter, "big")->bytes;
  big.file[damaged] ^= std::byte{1};
  const Hash128 new_hash = hash128(payload.subspan(kLast));  // the container views big.file
  const auto old_bytes = std::as_bytes(std::span(&old_hash, 1));
  const auto stored = std::search(big.file.begin(), big.file.end(), old_bytes.begin(), old_bytes.end());
  REQUIRE(stored != big.file.end());
  test::patch(big.file, static_cast<std::size_t>(stored - big.file.begin()), new_hash);
  test::seal(big.file);
  CHECK(test::refusal_at_open(big.file) == "");
  CHECK(test::refusal(big.file) == "V40");
  CHECK(test::refusal_message(big.file).find("list of chunks") != std::string::npos);
}

TEST_CASE("V33: a model and a checkpoint without the sections their readers need are not written") {
  const auto refused_without = [&](FileKind kind, const std::vector<Table::Id>& ids, Table::Id left_out) {
    ContainerContents contents = tiny_contents();
    contents.kind = kind;
    for (Table::Id id : ids) {
      if (id == left_out) continue;
      if (id == 10) {
        contents.root.set(id, Vector{32, 56, {}});
      } else {
        contents.root.set(id, Table());
      }
    }
    return refused(contents);
  };
  const std::vector<Table::Id> model{2, 13}, checkpoint{2, 7, 8, 10, 11, 13};
  CHECK(refused_without(FileKind::model, model, 0) == "");
  CHECK(refused_without(FileKind::checkpoint, checkpoint, 0) == "");
  for (Table::Id id : model)
    CHECK(refused_without(FileKind::model, model, id).find("[V33]") != std::string::npos);
  for (Table::Id id : checkpoint)
    CHECK(refused_without(FileKind::checkpoint, checkpoint, id).find("[V33]") != std::string::npos);
}

TEST_CASE("copying a file keeps what a newer version put into its metadata") {
  const TemporaryFolder folder;
  ContainerContents contents = tiny_contents();
  contents.root.set(700, Value{9, 0, Unknown{0x1234, {}}});
  contents.root.set(
      701, Value{30, 0, Unknown{0, test::ByteScript().object(99, 1, 2, 3, 21).text("12345").bytes()}});
  write_container(folder / "newer.vitrail", contents);
  const Container newer = Container::open(folder / "newer.vitrail");
  write_container(folder / "copy.vitrail", {newer.kind(), newer.root(), newer.tensors()});
  CHECK(file_bytes(folder / "copy.vitrail") == file_bytes(folder / "newer.vitrail"));
}

TEST_CASE("a newer minor version and unknown optional features are no reason to refuse") {
  ByteVector file = test::tiny_file();
  test::patch<std::uint16_t>(file, 10, 255);
  test::patch<std::uint64_t>(file, 64, 0xF0F0);
  test::seal(file);
  CHECK(test::refusal(file) == "");
}

TEST_CASE("contents that break a limit are refused before anything is written") {
  const ByteVector bytes = counting(8);
  const auto with = [&](TensorRecord record) {
    ContainerContents contents = tiny_contents();
    contents.tensors.push_back(std::move(record));
    return refused(contents);
  };
  CHECK(with({"a", Role::parameter, ElementType::f32, {2}, bytes}).find("twice") != std::string::npos);
  CHECK(with({"c", Role::parameter, ElementType::f32, {3}, bytes}).find("expected 12 bytes") !=
        std::string::npos);
  CHECK(with({"", Role::parameter, ElementType::f32, {2}, bytes}) != "");
  CHECK(with({std::string(1025, 'n'), Role::parameter, ElementType::f32, {2}, bytes}) != "");
  CHECK(with({"\xC3(", Role::parameter, ElementType::f32, {2}, bytes}) != "");
  CHECK(with({"c", Role::parameter, ElementType::f32, {-2}, bytes}) != "");
  CHECK(with({"c", Role::parameter, ElementType::u8, {1, 1, 1, 1, 1, 1, 1, 1, 8}, bytes}) != "");
  CHECK(with({"c", Role::parameter, ElementType::f4_e2m1, {16, 1}, bytes}) != "");
  CHECK(with({"c", Role::parameter, ElementType{99}, {8}, bytes}) != "");
  CHECK(with({std::string(1024, 'n'), Role::parameter, ElementType::f32, {2}, bytes}) == "");
}

TEST_CASE("metadata that no reader would accept never take the place of a good file") {
  const TemporaryFolder folder;
  write_container(folder / "x.vitrail", tiny_contents());
  ContainerContents latin1 = tiny_contents(), long_text = tiny_contents();
  latin1.root.set(700, std::vector<std::string>{"b\xFCrste"});
  long_text.root.set(700, std::string((1 << 20) + 1, 'x'));
  CHECK_THROWS_AS(write_container(folder / "x.vitrail", latin1), FormatError);
  CHECK_THROWS_AS(write_container(folder / "x.vitrail", long_text), FormatError);
  CHECK(file_bytes(folder / "x.vitrail") == test::tiny_file());
  CHECK(folder.listing() == std::vector<std::string>{"x.vitrail"});
}

TEST_CASE("sizes of shapes are computed without wrapping") {
  const auto bytes = [](ElementType type, std::vector<std::int64_t> shape) {
    return tensor_bytes(type, shape);
  };
  CHECK(bytes(ElementType::f32, {}) == 4);
  CHECK(bytes(ElementType::f32, {3, 0, 5}) == 0);
  CHECK(bytes(ElementType::u4, {3, 2}) == 3);
  CHECK_FALSE(bytes(ElementType::u4, {2, 3}).has_value());
  CHECK_FALSE(bytes(ElementType::u4, {}).has_value());
  CHECK(bytes(ElementType::u8, {std::int64_t{1} << 48}) == std::uint64_t{1} << 48);
  CHECK_FALSE(bytes(ElementType::u8, {(std::int64_t{1} << 48) + 1}).has_value());
  CHECK_FALSE(bytes(ElementType::u8, {std::int64_t{1} << 32, std::int64_t{1} << 32}).has_value());
  CHECK_FALSE(bytes(ElementType::u8, {std::int64_t{1} << 48, std::int64_t{1} << 48}).has_value());
  CHECK_FALSE(bytes(ElementType::f64, {std::int64_t{1} << 48}).has_value());
  CHECK_FALSE(bytes(ElementType::u8, {std::int64_t{1} << 25, std::int64_t{1} << 24}).has_value());
  CHECK_FALSE(
      bytes(ElementType::c128, {std::int64_t{1} << 30, std::int64_t{1} << 31}).has_value());  // 2^68 bits
}

TEST_CASE("foreign files are refused with the name and a reason") {
  const TemporaryFolder folder;
  struct Foreign {
    std::string name, content;
  };
  const Foreign foreign[] = {
      {"empty", ""},
      {"short", "\x89V"},
      {"text", "just some words"},
      {"zip", std::string("PK\x03\x04", 4) + std::string(8188, '\1')},
      {"png", std::string("\x89PNG\r\n\x1A\n", 8) + std::string(8184, '\0')},
      {"converted", std::string("\x89VTL\n\x1A\n\x01", 8) + std::string(8184, '\0')},
      {"safetensors", std::string("\x40\0\0\0\0\0\0\0{\"__metadata__\"", 23) + std::string(8169, ' ')}};
  for (const Foreign& file : foreign) {
    CAPTURE(file.name);
    replace_file(folder / file.name, file.content, Durability::fast);
    const std::string message = open_error(folder / file.name);
    CAPTURE(message);
    CHECK(message.starts_with((folder / file.name).string()));
    CHECK(message.find("no .vitrail file") != std::string::npos);
  }
  CHECK(open_error(folder / "missing").find("No such file") != std::string::npos);
  CHECK(open_error(folder.path()).find("found a folder") != std::string::npos);
}

TEST_CASE("a big file cut off says how much of it is there") {
  const BigFile big;
  const TemporaryFolder folder;
  test::write_plainly(folder / "cut.vitrail", Bytes(big.file).first(5'000'000));
  const std::string message = open_error(folder / "cut.vitrail");
  CAPTURE(message);
  CHECK(message.find("5000000") != std::string::npos);
  CHECK(message.find(std::to_string(big.file.size())) != std::string::npos);
}

}  // namespace
}  // namespace vitrail::format
