#include "tests/support/safetensors_bytes.h"

namespace vitrail::test {
namespace {

using namespace std::string_literals;

// One tensor x whose entry is given.
std::string one(const std::string& entry, std::string_view data = "abcd") {
  return safetensors_of("{\"x\":" + entry + "}", data);
}

// Of type U8, one byte an element.
std::string u8(const std::string& shape, const std::string& offsets) {
  return "{\"dtype\":\"U8\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

void add_lengths(std::vector<BadSafetensors>& list) {
  const std::string good = one(u8("[4]", "[0,4]"));
  list.push_back({"empty", "", "8 bytes"});
  list.push_back({"seven-bytes", "1234567", "8 bytes"});
  list.push_back({"length-0", safetensors_of(""), "begins with '{'"});
  list.push_back({"length-beyond-file", with_length(good, good.size() - 7), "cut off"});
  list.push_back({"length-of-100-million-and-1", with_length(good, 100'000'001), "more than the 100000000"});
  list.push_back(
      {"length-of-2-to-the-63", with_length(good, std::uint64_t{1} << 63), "more than the 100000000"});
  list.push_back({"length-all-ones", with_length(good, ~std::uint64_t{0}), "more than the 100000000"});
  list.push_back({"length-one-short", with_length(good, good.size() - 13), "no JSON"});
  list.push_back({"length-one-long", with_length(good, good.size() - 11), "no JSON"});
}

void add_texts(std::vector<BadSafetensors>& list) {
  list.push_back({"lax-starts-with-space", safetensors_of(" {}"), "begins with '{'"});
  list.push_back({"starts-with-bracket", safetensors_of("[]"), "begins with '{'"});
  list.push_back({"byte-order-mark", safetensors_of("\xEF\xBB\xBF{}"), "begins with '{'"});
  list.push_back({"bad-utf8", safetensors_of("{\"\xFF\":" + u8("[0]", "[0,0]") + "}"), "UTF-8"});
  list.push_back({"nul-behind", safetensors_of("{}\0"s), "UTF-8"});
  list.push_back({"lax-nul-in-name", safetensors_of("{\"a\\u0000\":" + u8("[0]", "[0,0]") + "}"), "NUL"});
  list.push_back({"two-values", safetensors_of("{}{}"), "no JSON"});
  list.push_back({"comment", safetensors_of("{/**/}"), "no JSON"});
  list.push_back({"trailing-comma", safetensors_of("{\"x\":" + u8("[0]", "[0,0]") + ",}"), "no JSON"});
  list.push_back({"deep", safetensors_of("{\"x\":" + std::string(100'000, '[')), "nested"});
  const std::string x = "\"x\":" + u8("[4]", "[0,4]");
  list.push_back({"lax-tensor-twice", safetensors_of("{" + x + "," + x + "}", "abcd"), "twice"});
  list.push_back({"metadata-twice", safetensors_of(R"({"__metadata__":{},"__metadata__":{}})"), "twice"});
  list.push_back(
      {"lax-metadata-key-twice", safetensors_of(R"({"__metadata__":{"a":"1","a":"2"}})"), "twice"});
  list.push_back({"metadata-of-number", safetensors_of(R"({"__metadata__":{"a":1}})"), "'a' is none"});
  list.push_back({"metadata-of-object", safetensors_of(R"({"__metadata__":{"a":{}}})"), "'a' is none"});
  list.push_back({"metadata-is-list", safetensors_of(R"({"__metadata__":[]})"), "object of texts"});
  list.push_back({"lax-metadata-is-null", safetensors_of(R"({"__metadata__":null})"), "object of texts"});
  list.push_back({"metadata-is-tensor",
                  safetensors_of("{\"__metadata__\":" + u8("[4]", "[0,4]") + "}", "abcd"), "texts alone"});
}

void add_entries(std::vector<BadSafetensors>& list) {
  const auto entry = [&](const char* name, const std::string& text, const char* reason) {
    list.push_back({name, one(text), reason});
  };
  entry("entry-is-list", "[]", "expected an object");
  entry("entry-is-null", "null", "expected an object");
  entry("entry-empty", "{}", "no other keys");
  entry("no-dtype", R"({"shape":[4],"data_offsets":[0,4]})", "no other keys");
  entry("no-shape", R"({"dtype":"U8","data_offsets":[0,4]})", "no other keys");
  entry("no-offsets", R"({"dtype":"U8","shape":[4]})", "no other keys");
  entry("lax-unknown-key", R"({"dtype":"U8","shape":[4],"data_offsets":[0,4],"x":1})", "no other keys");
  entry("dtype-twice", R"({"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]})", "twice");
  entry("shape-twice", R"({"dtype":"U8","shape":[4],"shape":[4],"data_offsets":[0,4]})", "twice");
  entry("dtype-unknown", R"({"dtype":"U9","shape":[4],"data_offsets":[0,4]})", "'U9'");
  entry("dtype-small-letters", R"({"dtype":"u8","shape":[4],"data_offsets":[0,4]})", "'u8'");
  entry("dtype-number", R"({"dtype":8,"shape":[4],"data_offsets":[0,4]})", "expected a text");
  list.push_back({"lax-dtype-of-six-bits",
                  one(R"({"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]})", "abc"), "'F6_E2M3'"});
  entry("shape-is-number", u8("4", "[0,4]"), "list of whole numbers");
  entry("shape-is-object", u8("{}", "[0,4]"), "list of whole numbers");
  entry("shape-negative", u8("[-4]", "[0,4]"), "whole numbers");
  entry("shape-minus-0", u8("[-0,4]", "[0,4]"), "whole numbers");
  entry("shape-real", u8("[4.0]", "[0,4]"), "whole numbers");
  entry("shape-with-exponent", u8("[4e0]", "[0,4]"), "whole numbers");
  entry("shape-text", u8("[\"4\"]", "[0,4]"), "whole numbers");
  entry("shape-null", u8("[null]", "[0,4]"), "whole numbers");
  entry("shape-nested", u8("[[4]]", "[0,4]"), "whole numbers");
  entry("shape-bool", u8("[true]", "[0,4]"), "whole numbers");
  entry("shape-of-2-to-the-64", u8("[18446744073709551616]", "[0,4]"), "whole numbers");
  entry("shape-product-wraps-to-4", u8("[4611686018427387905,4]", "[0,4]"), "too many elements");
  entry("shape-product-wraps-to-0", u8("[4294967296,4294967296]", "[0,4]"), "too many elements");
  entry("shape-product-is-large", u8("[1000000,1000000,1000000]", "[0,4]"), "too many elements");
  entry("lax-nine-axes", u8("[1,1,1,1,1,1,1,1,4]", "[0,4]"), "at most 8 axes");
  entry("bytes-of-shape-wrap", R"({"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]})",
        "too many elements");
  entry("shape-larger-than-offsets", u8("[5]", "[0,4]"), "5 bytes");
  entry("shape-smaller-than-offsets", u8("[3]", "[0,4]"), "3 bytes");
  entry("type-larger-than-offsets", R"({"dtype":"F32","shape":[4],"data_offsets":[0,4]})", "16 bytes");
  entry("half-byte-left", R"({"dtype":"F4","shape":[7],"data_offsets":[0,4]})", "no whole number of bytes");
  list.push_back(
      {"lax-empty-name", safetensors_of("{\"\":" + u8("[4]", "[0,4]") + "}", "abcd"), "name of 1 to"});
  list.push_back({"lax-bool-of-2", one(R"({"dtype":"BOOL","shape":[4],"data_offsets":[0,4]})", "\0\1\2\1"s),
                  "element 2 is 2"});
}

void add_places(std::vector<BadSafetensors>& list) {
  const auto entry = [&](const char* name, const std::string& offsets, const char* reason) {
    list.push_back({name, one(u8("[4]", offsets)), reason});
  };
  entry("offsets-are-number", "4", "list of whole numbers");
  entry("offsets-empty", "[]", "two whole numbers");
  entry("offsets-of-one", "[0]", "two whole numbers");
  entry("offsets-of-three", "[0,4,4]", "two whole numbers");
  entry("offset-negative", "[-4,0]", "whole numbers");
  entry("offset-real", "[0,4.0]", "whole numbers");
  entry("offset-of-2-to-the-64", "[0,18446744073709551620]", "whole numbers");
  entry("offset-of-2-to-the-63", "[9223372036854775804,9223372036854775808]", "whole numbers");
  entry("end-before-begin", "[4,0]", "before its begin");
  entry("beyond-the-end", "[1,5]", "belong to no tensor");
  list.push_back({"no-data", one(u8("[4]", "[0,4]"), ""), "cut off"});
  list.push_back({"data-one-short", one(u8("[4]", "[0,4]"), "abc"), "cut off"});
  list.push_back({"data-one-long", one(u8("[4]", "[0,4]"), "abcde"), "the last 1 bytes"});
  list.push_back({"data-without-tensors", safetensors_of("{}", "abcd"), "the last 4 bytes"});
  const auto two = [&](const char* name, const std::string& a, const std::string& b, const char* reason) {
    list.push_back({name, safetensors_of("{\"a\":" + a + ",\"b\":" + b + "}", "abcdefgh"), reason});
  };
  two("hole", u8("[3]", "[0,3]"), u8("[4]", "[4,8]"), "1 bytes in front");
  two("hole-in-front", u8("[3]", "[1,4]"), u8("[4]", "[4,8]"), "1 bytes in front");
  two("overlap", u8("[5]", "[0,5]"), u8("[4]", "[4,8]"), "another tensor");
  two("same-bytes", u8("[8]", "[0,8]"), u8("[8]", "[0,8]"), "another tensor");
  two("inside-another", u8("[8]", "[0,8]"), u8("[2]", "[2,4]"), "another tensor");
  two("empty-inside-another", u8("[8]", "[0,8]"), u8("[0]", "[4,4]"), "another tensor");
  two("empty-behind-the-end", u8("[8]", "[0,8]"), u8("[0]", "[9,9]"), "1 bytes in front");
}

}  // namespace

std::vector<BadSafetensors> bad_safetensors() {
  std::vector<BadSafetensors> list;
  add_lengths(list);
  add_texts(list);
  add_entries(list);
  add_places(list);
  return list;
}

}  // namespace vitrail::test
