// Ways to damage a small file, and one test for every rule of format/SPEC.md that concerns whole files.

#include <doctest/doctest.h>

#include "tests/support/format_file.h"

namespace vitrail::format {
namespace {

using test::ByteVector;
using test::refusal;
using test::refusal_at_open;
using test::tiny_file;
namespace tiny = test::tiny;

// The rule that refuses tiny_file() after one change.
template <class T>
std::string after(std::size_t offset, T value) {
  ByteVector file = tiny_file();
  test::patch(file, offset, value);
  return refusal(file);
}

// The same with all checksums of head and footer made right again, as an attacker or a faulty writer would.
template <class T>
std::string after_sealed(std::size_t offset, T value) {
  ByteVector file = tiny_file();
  test::patch(file, offset, value);
  test::seal(file);
  return refusal(file);
}

TEST_CASE("random damage under right checksums is refused or harmless, never worse") {
  const ByteVector whole = tiny_file();
  std::uint64_t state = 12345;
  const auto draw = [&](std::uint64_t below) {  // xorshift64 (Marsaglia 2003)
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
  };
  int refused = 0;
  for (int round = 0; round < 20000; ++round) {
    ByteVector file = whole;
    for (std::uint64_t changes = 1 + draw(3); changes > 0; --changes) {
      file[8 + draw(tiny::kMetaEnd - 8)] = static_cast<std::byte>(draw(256));
    }
    test::seal(file);
    if (!refusal(file).empty()) ++refused;
  }
  CHECK(refused > 10000);
}

TEST_CASE("V01: the size must be the one in the prologue") {
  CHECK(refusal({}) == "V02");
  ByteVector head = tiny_file();
  head.resize(4000);
  CHECK(refusal(head) == "V01");
  CHECK(after_sealed<std::uint64_t>(16, 12288) == "V01");
  CHECK(after_sealed<std::uint64_t>(16, ~std::uint64_t{0}) == "V01");
}

TEST_CASE("V02 to V06: the prologue") {
  CHECK(after<std::uint8_t>(0, 0x88) == "V02");
  CHECK(after<std::uint64_t>(120, 0) == "V03");
  CHECK(after_sealed<std::uint16_t>(8, 2) == "V04");
  CHECK(after_sealed<std::uint16_t>(8, 0) == "V04");
  CHECK(after_sealed<std::uint32_t>(12, 136) == "V05");
  CHECK(after_sealed<std::uint64_t>(24, 136) == "V05");
  for (std::uint64_t meta_bytes : {681ULL, 8001ULL, 8192ULL, (256ULL << 20) + 8, ~7ULL, 1ULL << 63}) {
    CAPTURE(meta_bytes);
    CHECK(after_sealed<std::uint64_t>(32, meta_bytes) == "V05");
  }
  CHECK(after_sealed<std::uint64_t>(40, 8192) == "V05");
  CHECK(after_sealed<std::uint64_t>(48, 4031) == "V05");
  CHECK(after_sealed<std::uint32_t>(72, 0) == "V05");
  CHECK(after_sealed<std::uint32_t>(72, 6) == "V05");
  CHECK(after_sealed<std::uint32_t>(76, 2) == "V05");
  CHECK(after_sealed<std::uint64_t>(112, 1) == "V05");
  CHECK(after_sealed<std::uint64_t>(56, 1) == "V06");
  CHECK(after_sealed<std::uint64_t>(56, std::uint64_t{1} << 63) == "V06");
}

TEST_CASE("V07: the footer says the same as the prologue") {
  CHECK(after<std::uint8_t>(tiny::kFooter, 0) == "V07");
  for (std::size_t field : {8, 16, 32, 48}) {
    CAPTURE(field);
    ByteVector file = tiny_file();
    file[tiny::kFooter + field] ^= std::byte{1};
    CHECK(refusal(file) == "V07");
    test::patch(file, tiny::kFooter + 56, hash64(Bytes(file).subspan(tiny::kFooter, 56)));
    CHECK(refusal(file) == "V07");
  }
  ByteVector unfinished = tiny_file();  // reserved, but never written to its end
  std::fill(unfinished.begin() + tiny::kFooter, unfinished.end(), std::byte{0});
  CHECK(test::refusal_message(unfinished).find("not written to its end") != std::string::npos);
}

TEST_CASE("V08 and V09: the metadata and what follows them") {
  CHECK(after<std::uint8_t>(tiny::kProducer + 16, 'T') == "V08");
  CHECK(after<std::uint8_t>(tiny::kMetaEnd, 1) == "V09");
  CHECK(after<std::uint8_t>(tiny::kData - 1, 1) == "V09");
}

TEST_CASE("V10 to V18 hold inside a container") {
  CHECK(after_sealed<std::uint32_t>(tiny::kProducer + 12, 24) == "V10");
  CHECK(after_sealed<std::uint64_t>(tiny::field(0) + 8, 104) == "V11");
  CHECK(after_sealed<std::uint16_t>(tiny::field(0), 3) == "V12");
  CHECK(after_sealed<std::uint8_t>(tiny::field(0) + 2, 17) == "V13");
  CHECK(after_sealed<std::uint8_t>(tiny::kProducer + 16, 0xFF) == "V14");
  CHECK(after_sealed<std::uint8_t>(tiny::kProducer + 20, 1) == "V15");
  CHECK(after_sealed<std::uint8_t>(tiny::field(0) + 3, 1) == "V18");
}

TEST_CASE("V20: mandatory fields are there with the right type") {
  CHECK(after_sealed<std::uint16_t>(tiny::field(0), 2) == "V20");    // no producer
  CHECK(after_sealed<std::uint16_t>(tiny::field(4), 600) == "V20");  // no roles
  for (std::size_t vector : {tiny::kTensors, tiny::kRoles}) {
    CAPTURE(vector);
    CHECK(after_sealed<std::uint16_t>(vector + 2, 1) == "V20");  // bytes in place of structs
    ByteVector file = tiny_file();                               // half the stride, twice the count
    test::patch(file, vector + 4, 2 * get<std::uint32_t>(file, vector + 4));
    test::patch(file, vector + 8, get<std::uint32_t>(file, vector + 8) / 2);
    test::seal(file);
    CHECK(refusal(file) == "V20");
  }
  CHECK(after_sealed<std::uint32_t>(tiny::kChunks + 8, 8) == "V20");
}

TEST_CASE("V21: names ascend, and every one is used") {
  CHECK(after_sealed<std::uint8_t>(tiny::kNames + 24, 'b') == "V21");  // "b", "b"
  CHECK(after_sealed<std::uint8_t>(tiny::kNames + 24, 'c') == "V21");  // "c", "b"
  CHECK(after_sealed<std::uint32_t>(tiny::kNames + 16, 0) == "V21");   // "", "ab"
  CHECK(after_sealed<std::uint32_t>(tiny::entry(1), 2) == "V21");      // no such name
  CHECK(after_sealed<std::uint32_t>(tiny::entry(1), ~0U) == "V21");
  ByteVector file = tiny_file();  // the file's only use of "b" goes to "a"
  test::patch<std::uint32_t>(file, tiny::entry(1), 0);
  test::patch<std::uint16_t>(file, tiny::entry(1) + 4, 1);
  test::seal(file);
  CHECK(refusal(file) == "V21");
}

TEST_CASE("V22: the directory ascends by role and name") {
  CHECK(after_sealed<std::uint32_t>(tiny::entry(1), 0) == "V22");       // "a" twice
  CHECK(after_sealed<std::uint16_t>(tiny::entry(0) + 4, 17) == "V22");  // a later role first
  CHECK(after_sealed<std::uint16_t>(tiny::entry(2) + 4, 0) == "V22");   // behind "b" in the same role
}

TEST_CASE("V23 and V24: type, rank, extents and bytes of a tensor fit together") {
  CHECK(after_sealed<std::uint8_t>(tiny::entry(0) + 6, 0) == "V23");
  CHECK(after_sealed<std::uint8_t>(tiny::entry(0) + 6, 43) == "V23");  // reserved type
  CHECK(after_sealed<std::uint8_t>(tiny::entry(0) + 7, 9) == "V23");   // rank 9
  CHECK(after_sealed<std::uint8_t>(tiny::entry(0) + 7, 0) == "V23");   // an extent behind the rank
  CHECK(after_sealed<std::uint64_t>(tiny::entry(0) + 88, 1) == "V23");
  CHECK(after_sealed<std::uint64_t>(tiny::entry(0) + 32, (std::uint64_t{1} << 48) + 1) == "V23");
  CHECK(after_sealed<std::uint64_t>(tiny::entry(0) + 32, ~std::uint64_t{0}) == "V23");
  CHECK(after_sealed<std::uint8_t>(tiny::entry(1) + 6, 41) == "V23");  // u4 with three elements
  CHECK(after_sealed<std::uint64_t>(tiny::entry(0) + 32, 3) == "V24");
  CHECK(after_sealed<std::uint64_t>(tiny::entry(0) + 24, 9) == "V24");
  CHECK(after_sealed<std::uint8_t>(tiny::entry(0) + 6, 19) == "V24");  // f64: 16 bytes
}

TEST_CASE("V25 and V26: tensors stand where the placement rule puts them, and the file ends behind them") {
  for (std::uint64_t offset : {0ULL, 4160ULL, 4097ULL, 8192ULL, ~0ULL, ~0ULL - 7}) {
    CAPTURE(offset);
    CHECK(after_sealed<std::uint64_t>(tiny::entry(0) + 16, offset) == "V25");
  }
  CHECK(after_sealed<std::uint64_t>(tiny::entry(2) + 16, tiny::kB) == "V25");  // overlap
  ByteVector file = tiny_file();
  file.resize(12288);
  test::patch<std::uint64_t>(file, 16, 12288);
  test::patch<std::uint64_t>(file, 48, 12288 - 64 - 4096);
  std::fill(file.begin() + tiny::kFooter, file.begin() + tiny::kFileBytes, std::byte{0});
  test::seal(file);
  CHECK(refusal(file) == "V26");
}

TEST_CASE("V27 and V28: chunks are consecutive; aliases and slices are not read by this build") {
  CHECK(after_sealed<std::uint32_t>(tiny::entry(0) + 116, 1) == "V27");
  CHECK(after_sealed<std::uint32_t>(tiny::entry(1) + 112, 1) == "V27");
  CHECK(after_sealed<std::uint32_t>(tiny::entry(1) + 8, 1) == "V28");
  CHECK(after_sealed<std::uint32_t>(tiny::entry(1) + 8, 2) == "V28");
  CHECK(after_sealed<std::uint32_t>(tiny::entry(1) + 12, 1) == "V28");
  CHECK(after_sealed<std::uint64_t>(tiny::entry(1) + 120, 1) == "V05");
}

TEST_CASE("V29: the table of roles equals the directory") {
  for (std::size_t field : {0, 2, 4, 8, 12, 16, 24, 32, 40}) {
    CAPTURE(field);
    ByteVector file = tiny_file();
    file[tiny::role(1) + field] ^= std::byte{1};
    test::seal(file);
    CHECK(refusal(file) == "V29");
  }
}

TEST_CASE("V29: a row of a role that no tensor has is refused") {
  ByteVector file = tiny_file();
  test::patch<std::uint32_t>(file, tiny::kRoles + 4, 3);
  test::patch<std::uint32_t>(file, tiny::kRoles + 12, 16 + 3 * 48);
  test::patch<std::uint16_t>(file, tiny::role(2), 17);
  test::patch<std::uint64_t>(file, 32, tiny::kMetaBytes + 48);
  test::seal(file);
  CHECK(refusal(file) == "V29");
}

TEST_CASE("V30: the content id is that of the directory") {
  CHECK(after_sealed<std::uint64_t>(96, 1) == "V30");
  CHECK(after_sealed<std::uint64_t>(tiny::entry(0) + 96, 1) == "V30");  // a tensor's hash
}

TEST_CASE("V31 and V33: kinds of files and their sections") {
  CHECK(after_sealed<std::uint32_t>(72, 4) == "V31");
  CHECK(after_sealed<std::uint32_t>(72, 5) == "V31");
  CHECK(after_sealed<std::uint32_t>(72, 2) == "V33");
  CHECK(after_sealed<std::uint32_t>(72, 3) == "V33");
}

TEST_CASE("V40: a tensor's bytes are checked when it is read") {
  ByteVector file = tiny_file();
  file[tiny::kB + 2] ^= std::byte{0x80};
  const Container container = Container::open(file, "tiny.vitrail");
  CHECK_NOTHROW((void)container.read(container.tensors()[0]));
  std::string message;
  try {
    (void)container.read(container.tensors()[1]);
  } catch (const FormatError& error) {
    message = error.what();
    CHECK(error.code() == "V40");
  }
  CHECK(message.find("tiny.vitrail: tensor 'b'") != std::string::npos);
}

TEST_CASE("V41: padding is zero") {
  CHECK(after<std::uint8_t>(tiny::kData + 8, 1) == "V41");
  CHECK(after<std::uint8_t>(tiny::kB - 1, 1) == "V41");
  CHECK(after<std::uint8_t>(tiny::kDataEnd, 1) == "V41");
  CHECK(after<std::uint8_t>(tiny::kFooter - 1, 1) == "V41");
}

TEST_CASE("V42: bools are 0 or 1") {
  const test::TemporaryFolder folder;
  const ByteVector bools{std::byte{1}, std::byte{0}, std::byte{2}};
  ContainerContents contents = test::tiny_contents();
  contents.tensors.push_back({"mask", Role::buffer, ElementType::boolean, {3}, bools});
  write_container(folder / "x.vitrail", contents);
  CHECK(refusal(test::file_bytes(folder / "x.vitrail")) == "V42");
}

}  // namespace
}  // namespace vitrail::format
