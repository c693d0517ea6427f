#include "format/message.h"

#include <doctest/doctest.h>

#include <limits>

#include "tests/support/format_file.h"

namespace vitrail::format {
namespace {

using test::ByteScript;
using test::ByteVector;

std::string code_of(const ByteVector& block) {
  try {
    (void)decode_message(block);
  } catch (const FormatError& error) {
    return error.code();
  }
  return "";
}

std::string message_of(auto&& call) {
  try {
    call();
  } catch (const FormatError& error) {
    return error.what();
  }
  return "";
}

Table every_type() {
  Table inner;
  inner.set(1, "café");
  inner.set(9, Table());
  Table table;
  table.set(1, std::uint64_t{0xFFFF'FFFF'FFFF'FFFF});
  table.set(2, std::int64_t{-5});
  table.set(3, 0.1);
  table.set(4, true);
  table.set(5, "text");
  table.set(6, std::vector<std::string>{"", "one", "", "two"});
  table.set(7, inner);
  table.set(8, std::vector<double>{1.5, -std::numeric_limits<double>::infinity()});
  table.set(9, std::vector<std::uint64_t>{7, 8, 9});
  table.set(65535, Vector{32, 3, ByteVector(6, std::byte{0xAB})});
  return table;
}

TEST_CASE("what was set is what is read after encoding and decoding") {
  const Table table = decode_message(encode_message(every_type()));
  CHECK(table.u64(1, "u") == 0xFFFF'FFFF'FFFF'FFFF);
  CHECK(table.i64(2, "i") == -5);
  CHECK(table.f64(3, "f") == 0.1);
  CHECK(table.boolean(4, "b"));
  CHECK(table.text(5, "t") == "text");
  CHECK(table.strings(6, "s") == std::vector<std::string>{"", "one", "", "two"});
  CHECK(table.table(7, "inner").text(1, "t") == "café");
  CHECK(table.table(7, "inner").table(9, "empty").fields().empty());
  CHECK(table.f64s(8, "d") == std::vector<double>{1.5, -std::numeric_limits<double>::infinity()});
  CHECK(table.u64s(9, "n") == std::vector<std::uint64_t>{7, 8, 9});
  CHECK(table.vector(65535, "v") == Vector{32, 3, ByteVector(6, std::byte{0xAB})});
  CHECK(table.fields().size() == 10);
}

TEST_CASE("the bytes are those of the specification") {
  Table inner;
  inner.set(2, true);
  Table root;
  root.set(700, std::vector<double>{1.0});  // set out of order, written in order
  root.set(3, inner);
  root.set(1, std::int64_t{-1});
  root.set(2, "hé");
  root.set(4, std::vector<std::string>{"a", "bc"});
  ByteScript expected;
  expected.object(1, 0, 5, 16, 96);
  expected.field(1, 2, 0xFFFF'FFFF'FFFF'FFFF).field(2, 19, 96).field(3, 16, 120).field(4, 18, 152);
  expected.field(700, 17, 184);
  expected.object(2, 33, 3, 1, 19).text("hé").zeros_to(120);
  expected.object(1, 0, 1, 16, 32).field(2, 4, 1);
  expected.object(3, 0, 2, 4, 27).u32(1).u32(3).text("abc").zeros_to(184);
  expected.object(2, 10, 1, 8, 24).u64(0x3FF0'0000'0000'0000);
  CHECK(encode_message(root) == expected.bytes());
}

TEST_CASE("the example of the specification is what it says") {
  constexpr std::uint8_t kExample[] = {
      0x01, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x30, 0x00, 0x00, 0x00,  //
      0x01, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,  //
      0x02, 0x00, 0x13, 0x00, 0x00, 0x00, 0x00, 0x00, 0x30, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  //
      0x02, 0x00, 0x21, 0x00, 0x03, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x13, 0x00, 0x00, 0x00,  //
      0x68, 0xC3, 0xA9, 0x00, 0x00, 0x00, 0x00, 0x00};
  const Bytes example = std::as_bytes(std::span(kExample));
  Table table;
  table.set(1, std::int64_t{-1});
  table.set(2, "h\xC3\xA9");
  CHECK(encode_message(table) == ByteVector(example.begin(), example.end()));
  CHECK(decode_message(example).text(2, "text") == "h\xC3\xA9");
}

TEST_CASE("children follow their table depth first") {
  Table grandchild, child, root;
  grandchild.set(1, "deep");
  child.set(1, grandchild);
  child.set(2, "after");
  root.set(1, child);
  root.set(2, "last");
  ByteScript expected;
  expected.object(1, 0, 2, 16, 48).field(1, 16, 48).field(2, 19, 152);
  expected.object(1, 0, 2, 16, 48).field(1, 16, 96).field(2, 19, 152 - 24);
  expected.object(1, 0, 1, 16, 32).field(1, 19, 128);
  // "deep" stands behind its table, so that "after" comes at 152 and "last" at 176.
  ByteVector bytes = expected.object(2, 33, 4, 1, 20).text("deep").zeros_to(152).bytes();
  test::patch<std::uint64_t>(bytes, 48 + 16 + 16 + 8, 152);
  test::patch<std::uint64_t>(bytes, 16 + 16 + 8, 176);
  ByteScript tail;
  tail.object(2, 33, 5, 1, 21).text("after").zeros_to(24).object(2, 33, 4, 1, 20).text("last").zeros_to(48);
  bytes.insert(bytes.end(), tail.bytes().begin(), tail.bytes().end());
  CHECK(encode_message(root) == bytes);
  CHECK(code_of(bytes) == "");
}

TEST_CASE("fields, scalars and objects of a newer version are kept byte for byte") {
  ByteScript newer;
  newer.object(1, 0, 4, 16, 80);
  newer.field(1, 19, 80).field(600, 9, 0xDEAD'BEEF'0123'4567).field(601, 25, 104).field(602, 20, 128);
  newer.object(2, 33, 4, 1, 20).text("tiny").zeros_to(104);
  newer.object(77, 5, 3, 9, 23).text("1234567").zeros_to(128);
  newer.object(4, 0, 0, 0, 16);
  const Table table = decode_message(newer.bytes());
  CHECK(table.text(1, "producer") == "tiny");
  CHECK(encode_message(table) == newer.bytes());
  Table changed = table;
  changed.set(1, "a longer producer");  // the unknown ones move along
  const Table again = decode_message(encode_message(changed));
  CHECK(std::get<Unknown>(again.fields().at(600).content).scalar == 0xDEAD'BEEF'0123'4567);
  CHECK(std::get<Unknown>(again.fields().at(601).content).object.size() == 23);
}

TEST_CASE("getters name the field that is missing or of another type") {
  const Table table = every_type();
  CHECK(message_of([&] { (void)table.u64(99, "steps"); }).find("steps (99) is missing") != std::string::npos);
  for (const std::string& message :
       {message_of([&] { (void)table.u64(2, "steps"); }), message_of([&] { (void)table.i64(1, "steps"); }),
        message_of([&] { (void)table.f64(5, "steps"); }),
        message_of([&] { (void)table.boolean(1, "steps"); }),
        message_of([&] { (void)table.text(6, "steps"); }),
        message_of([&] { (void)table.strings(5, "steps"); }),
        message_of([&] { (void)table.table(8, "steps"); }), message_of([&] { (void)table.f64s(9, "steps"); }),
        message_of([&] { (void)table.u64s(8, "steps"); }),
        message_of([&] { (void)table.vector(7, "steps"); })}) {
    CAPTURE(message);
    CHECK(message.find("steps") != std::string::npos);
  }
}

// One text under one field: table at 0, text of four bytes at 32, padding to 56.
ByteVector one_text() {
  return ByteScript()
      .object(1, 0, 1, 16, 32)
      .field(5, 19, 32)
      .object(2, 33, 4, 1, 20)
      .text("text")
      .zeros_to(56)
      .bytes();
}

template <class T>
std::string code_after(std::size_t offset, T value) {
  ByteVector block = one_text();
  test::patch(block, offset, value);
  return code_of(block);
}

TEST_CASE("V10: an object's header lies and its size is refused") {
  REQUIRE(code_of(one_text()) == "");
  CHECK(code_of({}) == "V10");
  CHECK(code_of(ByteVector(8)) == "V10");
  CHECK(code_after<std::uint32_t>(12, 15) == "V10");          // smaller than its header
  CHECK(code_after<std::uint32_t>(12, 0xFFFFFFFF) == "V10");  // outside the block
  CHECK(code_after<std::uint32_t>(4, 2) == "V10");            // more fields than bytes
  CHECK(code_after<std::uint32_t>(8, 17) == "V10");           // stride of a table
  CHECK(code_after<std::uint16_t>(2, 1) == "V10");            // element type of a table
  CHECK(code_after<std::uint16_t>(32, 0) == "V10");           // no such kind
  CHECK(code_after<std::uint32_t>(36, 5) == "V10");           // one byte more than there is
  CHECK(code_after<std::uint32_t>(40, 0) == "V10");           // stride 0
  CHECK(code_after<std::uint32_t>(44, 21) == "V10");
  ByteVector wrapped = one_text();  // count · stride = 2^32 + 4 must not wrap to 4
  test::patch<std::uint32_t>(wrapped, 36, 0x40000001);
  test::patch<std::uint32_t>(wrapped, 40, 4);
  CHECK(code_of(wrapped) == "V10");
}

TEST_CASE("V11: an object anywhere else than at its canonical offset is refused") {
  for (std::uint64_t offset : {0ULL, 16ULL, 33ULL, 40ULL, 1ULL << 40, ~0ULL}) {
    CAPTURE(offset);
    CHECK(code_after<std::uint64_t>(24, offset) == "V11");
  }
  ByteVector shared =
      ByteScript().object(1, 0, 2, 16, 48).field(1, 19, 48).field(2, 19, 48).object(2, 33, 0, 1, 16).bytes();
  CHECK(code_of(shared) == "V11");
}

TEST_CASE("V12: field records out of order or with illegal bits are refused") {
  const auto two = [](std::uint16_t first, std::uint16_t second) {
    return ByteScript().object(1, 0, 2, 16, 48).field(first, 1, 0).field(second, 1, 0).bytes();
  };
  CHECK(code_of(two(1, 2)) == "");
  CHECK(code_of(two(2, 1)) == "V12");
  CHECK(code_of(two(2, 2)) == "V12");
  CHECK(code_after<std::uint8_t>(19, 2) == "V12");   // unknown flag
  CHECK(code_after<std::uint32_t>(20, 1) == "V12");  // the zero word
}

TEST_CASE("V13: types that do not exist or do not match are refused") {
  for (std::uint8_t type : {0, 16, 17, 18, 32, 255}) {
    CAPTURE(type);
    CHECK(code_after<std::uint8_t>(18, type) == "V13");
  }
  CHECK(code_after<std::uint16_t>(34, 32) == "V13");  // structs where a text is announced
  CHECK(code_of(ByteScript().object(2, 33, 8, 1, 24).u64(0).bytes()) == "V13");  // the root is no table
  CHECK(code_of(ByteScript().object(1, 0, 1, 16, 32).field(1, 4, 2).bytes()) == "V13");  // bool of 2
  // An unknown reference must not hide a table, whose own references would not move when the file is copied.
  CHECK(code_of(ByteScript().object(1, 0, 1, 16, 32).field(1, 20, 32).object(1, 0, 0, 16, 16).bytes()) ==
        "V13");
}

TEST_CASE("V14: text that is not UTF-8 and string ends that do not fit are refused") {
  CHECK(code_after<std::uint8_t>(48, 0xFF) == "V14");
  CHECK(code_after<std::uint8_t>(50, 0) == "V14");
  const auto strings = [](std::uint32_t first, std::uint32_t second, std::string_view text) {
    ByteScript s;
    s.object(1, 0, 1, 16, 32)
        .field(1, 18, 32)
        .object(3, 0, 2, 4, static_cast<std::uint32_t>(24 + text.size()));
    return s.u32(first).u32(second).text(text).zeros_to(64).bytes();
  };
  CHECK(code_of(strings(1, 4, "text")) == "");
  CHECK(code_of(strings(4, 1, "text")) == "V14");
  CHECK(code_of(strings(1, 5, "text")) == "V14");
  CHECK(code_of(strings(1, 3, "text")) == "V14");  // a byte of no string
  CHECK(code_of(strings(0xFFFFFFFF, 4, "text")) == "V14");
  CHECK(code_of(strings(1, 3, "\xC3\xA9z")) == "V14");  // whole text valid, but cut inside é
}

TEST_CASE("V15 and V17: padding is zero and the block ends with its last object") {
  CHECK(code_after<std::uint8_t>(52, 1) == "V15");
  CHECK(code_after<std::uint8_t>(55, 1) == "V15");
  ByteVector longer = one_text();
  longer.resize(64);
  CHECK(code_of(longer) == "V17");
}

TEST_CASE("V16: depth, fields, text length and objects have limits") {
  const auto nested = [](int tables) {
    Table table;
    for (int i = 1; i < tables; ++i) {
      Table outer;
      outer.set(1, table);
      table = outer;
    }
    return encode_message(table);
  };
  CHECK(code_of(nested(8)) == "");
  CHECK(code_of(nested(9)) == "V16");
  const auto fields = [](int count) {
    Table table;
    for (int id = 0; id < count; ++id)
      table.set(static_cast<Table::Id>(id), true);
    return encode_message(table);
  };
  CHECK(code_of(fields(1024)) == "");
  CHECK(code_of(fields(1025)) == "V16");
  const auto text = [](std::size_t bytes) {
    Table table;
    table.set(1, std::string(bytes, 'x'));
    return encode_message(table);
  };
  CHECK(code_of(text(1 << 20)) == "");
  CHECK(code_of(text((1 << 20) + 1)) == "V16");
  Table many, root;
  for (int id = 0; id < 1024; ++id)
    many.set(static_cast<Table::Id>(id), "");
  const Value shared{16, 0, std::make_shared<const Table>(many)};
  for (int id = 0; id < 1024; ++id)
    root.set(static_cast<Table::Id>(id), shared);
  CHECK(code_of(encode_message(root)) == "V16");  // 1 + 1024 + 1024² objects
}

TEST_CASE("V18: a field that must be understood and is not stops the reader") {
  CHECK(code_after<std::uint8_t>(19, 1) == "V18");
  Table table;
  table.set(600, Value{1, 1, std::uint64_t{5}});
  CHECK(code_of(encode_message(table)) == "V18");  // the writer passes the flag on
}

TEST_CASE("a block cut off anywhere is refused") {
  const ByteVector whole = encode_message(every_type());
  for (std::size_t bytes = 0; bytes < whole.size(); bytes += 8) {
    CAPTURE(bytes);
    CHECK(code_of({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(bytes)}) != "");
  }
}

}  // namespace
}  // namespace vitrail::format
