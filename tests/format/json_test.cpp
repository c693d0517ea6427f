// JSON read strictly and written back, beside a parser of another kind for what is accepted.

#include "format/json.h"

#include <doctest/doctest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "format/error.h"
#include "format/file.h"
#include "tests/support/temporary_folder.h"

namespace vitrail::format {
namespace {

using namespace std::string_literals;

std::string refusal_of(std::string_view text, const JsonLimits& limits = {}) {
  try {
    (void)parse_json(text, limits);
    return "";
  } catch (const FormatError& error) {
    return error.what();
  }
}

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("values, their types and their order") {
  const Datum root =
      parse_json(R"( {"b":[1,-2,2.5,true,false,null,"é\u00e9\ud83d\ude00\n"],"a":{},"":[[]]} )");
  const Datum::Dict& dict = *root.as<Datum::Dict>();
  REQUIRE(dict.items.size() == 3);
  CHECK(*dict.items[0].key.as<std::string>() == "b");
  CHECK(*dict.items[1].key.as<std::string>() == "a");
  CHECK(dict.items[1].value.as<Datum::Dict>()->items.empty());
  CHECK(dict.items[2].value.as<Datum::List>()->items[0].as<Datum::List>()->items.empty());
  const std::vector<Datum>& list = root.find("b")->as<Datum::List>()->items;
  CHECK(*list[0].as<std::int64_t>() == 1);
  CHECK(*list[1].as<std::int64_t>() == -2);
  CHECK(*list[2].as<double>() == 2.5);
  CHECK(*list[3].as<bool>());
  CHECK_FALSE(*list[4].as<bool>());
  CHECK(list[5].is_none());
  CHECK(*list[6].as<std::string>() == "éé😀\n");
}

TEST_CASE("only what is an exact integer of 64 bits is one") {
  CHECK(*parse_json("9223372036854775807").as<std::int64_t>() == std::numeric_limits<std::int64_t>::max());
  CHECK(*parse_json("-9223372036854775808").as<std::int64_t>() == std::numeric_limits<std::int64_t>::min());
  for (const char* text :
       {"9223372036854775808", "18446744073709551616", "-9223372036854775809", "1.0", "1e2", "-0"}) {
    CAPTURE(text);
    const Datum value = parse_json(text);
    CHECK(value.as<std::int64_t>() == nullptr);
    CHECK(value.as<double>() != nullptr);
  }
}

TEST_CASE("what is no JSON") {
  const std::vector<std::string> texts = {"",
                                          " ",
                                          "{",
                                          "{\"a\"}",
                                          "{\"a\":}",
                                          "{\"a\":1,}",
                                          "[1,]",
                                          "[1 2]",
                                          "{a:1}",
                                          "{'a':1}",
                                          "nul",
                                          "NaN",
                                          "Infinity",
                                          "-Infinity",
                                          "01",
                                          "+1",
                                          "1.",
                                          ".5",
                                          "1e",
                                          "1e999",
                                          "0x1",
                                          "\"",
                                          "\"\\q\"",
                                          "\"\\ud800\"",
                                          "\"\\udc00x\"",
                                          "\"a\nb\"",
                                          "{} {}",
                                          "1 1",
                                          "[]]",
                                          "// x\n1",
                                          "/* x */ 1",
                                          "{1:2}",
                                          "[\"a\":1]",
                                          "\"\t\"",
                                          "\"\xC3\"",
                                          "\"\xFF\"",
                                          "\xEF\xBB\xBF{}",
                                          "{}\0"s,
                                          "{}\0{"s,
                                          "\0"s,
                                          "\"a\0b\""s,
                                          "\"\\u0000\"",
                                          "{\"\\u0000\":1}",
                                          "\"\xED\xA0\x80\"",
                                          "\"\xC0\x80\""};
  for (const std::string& text : texts) {
    CAPTURE(text);
    CHECK(refusal_of(text) != "");
  }
}

TEST_CASE("a key that is there twice") {
  CHECK(holds(refusal_of(R"({"a":1,"b":2,"a":1})"), "'a' is there twice"));
  CHECK(holds(refusal_of(R"([{"x":{"é":1,"\u00e9":1}}])"), "twice"));
  CHECK(refusal_of(R"({"a":{"a":{"a":1}},"b":{"a":1}})") == "");
}

TEST_CASE("limits on length, depth and number") {
  CHECK(refusal_of("[[1]]", {.bytes = 5}) == "");
  CHECK(holds(refusal_of("[[1]]", {.bytes = 4}), "at most 4"));
  CHECK(refusal_of("[[1]]", {.depth = 2}) == "");
  CHECK(holds(refusal_of("[[1]]", {.depth = 1}), "deeper than 1"));
  CHECK(refusal_of("{\"a\":[1]}", {.values = 4}) == "");
  CHECK(holds(refusal_of("{\"a\":[1]}", {.values = 3}), "more than 3"));
  CHECK(holds(refusal_of(std::string(1'000'000, '[')), "deeper than 64"));
  CHECK(refusal_of(std::string(10'000, '"')).size() < 300);
}

TEST_CASE("every truncation and every flipped bit is read as the library's own parser reads it, or refused") {
  const std::string text = R"({"a":[1,-2.5e3,true,null],"bé":{"c":"x\n\u00e9"},"d":9223372036854775807})";
  for (std::size_t size = 0; size < text.size(); ++size)
    CHECK(refusal_of(std::string_view(text).substr(0, size)) != "");
  for (std::size_t bit = 0; bit < 8 * text.size(); ++bit) {
    std::string flipped = text;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    CAPTURE(flipped);
    if (refusal_of(flipped) == "") {
      const std::string ours = to_json(parse_json(flipped));
      CHECK(nlohmann::json::parse(ours) == nlohmann::json::parse(flipped));
    }
  }
}

TEST_CASE("written and read back") {
  const std::string text =
      R"({"a":[1,-2,2.5,1e-06,1.0,1e+16,true,null],"b":{},"c":[],"d":"\"\\\b\f\n\r\t\u0001/é"})";
  CHECK(to_json(parse_json(text)) == text);
  CHECK(to_json(parse_json(R"({"a":[1,{"b":2}],"c":{}})"), 2) ==
        "{\n  \"a\": [\n    1,\n    {\n      \"b\": 2\n    }\n  ],\n  \"c\": {}\n}");
  CHECK_THROWS_AS((void)to_json(std::numeric_limits<double>::infinity()), FormatError);
  CHECK_THROWS_AS((void)to_json(std::numeric_limits<double>::quiet_NaN()), FormatError);
  CHECK_THROWS_AS((void)to_json("\xFF"), FormatError);
}

TEST_CASE("a file is named in errors") {
  const test::TemporaryFolder folder;
  replace_file(folder / "config.json", "{\"a\":1}", Durability::fast);
  CHECK(*read_json(folder / "config.json").find("a")->as<std::int64_t>() == 1);
  replace_file(folder / "config.json", "{\"a\":1", Durability::fast);
  CHECK_THROWS_WITH_AS((void)read_json(folder / "config.json"),
                       doctest::Contains("config.json: no JSON at byte"), FormatError);
  CHECK_THROWS_AS((void)read_json(folder / "none.json"), FileError);
}

}  // namespace
}  // namespace vitrail::format
