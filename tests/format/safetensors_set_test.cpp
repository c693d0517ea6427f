// Sets of safetensors shards with their index.

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "format/file.h"
#include "format/json.h"
#include "format/safetensors.h"
#include "tests/support/format_file.h"
#include "tests/support/safetensors_bytes.h"

namespace vitrail::format {
namespace {

namespace fs = std::filesystem;
using test::safetensors_of;
using test::TemporaryFolder;

void write_text(const fs::path& path, const std::string& text) {
  replace_file(path, text, Durability::fast);
}

std::string refusal_of(const fs::path& path) {
  try {
    (void)SafetensorsFile::open(path);
    return "";
  } catch (const FormatError& error) {
    return error.what();
  }
}

struct Seven {
  Seven() {
    for (int i = 0; i < 7; ++i) {
      const Bytes part = Bytes(bytes).subspan(static_cast<std::size_t>(i) * 16, 16);
      list.push_back({.name = "t" + std::to_string(6 - i), .shape = {4}, .bytes = part});
    }
    list.push_back({.name = "tied", .shape = {4}, .bytes = {}, .alias_of = "t2"});
  }
  std::vector<std::byte> bytes = [] {
    std::vector<std::byte> values(112);
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<std::byte>(i);
    return values;
  }();
  std::vector<TensorRecord> list;
};

TEST_CASE("a set is one file in parts") {
  const TemporaryFolder folder;
  const Seven tensors;
  const fs::path index = folder / "model.safetensors.index.json";
  const WriteResult result = write_safetensors_set(index, tensors.list, {{"a", "b"}}, 40);
  std::uint64_t bytes = fs::file_size(index);
  for (int i = 1; i <= 4; ++i)
    bytes += fs::file_size(folder / ("model-0000" + std::to_string(i) + "-of-00004.safetensors"));
  CHECK(result.file_bytes == bytes);
  const Datum root = read_json(index);
  CHECK(*root.find("metadata")->find("total_size")->as<std::int64_t>() == 112);
  CHECK(root.find("weight_map")->as<Datum::Dict>()->items.size() == 7);
  CHECK(*root.find("weight_map")->find("t3")->as<std::string>() == "model-00002-of-00004.safetensors");

  const SafetensorsFile set = SafetensorsFile::open(index);
  CHECK_NOTHROW(set.verify());
  CHECK(set.metadata() == std::map<std::string, std::string>{{"a", "b"}, {"format", "pt"}});
  const WriteResult whole = write_safetensors(folder / "whole", tensors.list, {});
  const WriteResult again = write_safetensors(folder / "again", set.tensors(), {});
  CHECK(whole.content_id == result.content_id);
  CHECK(again.content_id == result.content_id);
  CHECK(test::file_bytes(folder / "whole") == test::file_bytes(folder / "again"));
}

TEST_CASE("a set does not take the place of another, and no shard that of another set's") {
  const TemporaryFolder folder;
  Seven tensors;
  const fs::path index = folder / "model.safetensors.index.json";
  write_safetensors_set(index, tensors.list, {}, 40);
  CHECK_THROWS_WITH_AS(write_safetensors_set(index, tensors.list, {}, 40),
                       doctest::Contains("delete the old one"), FormatError);
  CHECK_THROWS_WITH_AS(write_safetensors_set(folder / "x.json", tensors.list, {}, 40),
                       doctest::Contains(".safetensors.index.json"), FormatError);
  tensors.bytes[5] = std::byte{99};
  write_safetensors_set(folder / "other.safetensors.index.json", tensors.list, {}, 40);
  const std::string last = "-00004-of-00004.safetensors";  // t6, whose bytes come first
  fs::copy_file(folder / ("other" + last), folder / ("model" + last), fs::copy_options::overwrite_existing);
  CHECK_THROWS_WITH_AS(SafetensorsFile::open(index).verify(), doctest::Contains("index.json: damaged"),
                       FormatError);
}

TEST_CASE("the caller is told of each tensor of his own") {
  const TemporaryFolder folder;
  const Seven tensors;
  std::set<const TensorRecord*> told;
  write_safetensors_set(folder / "m.safetensors.index.json", tensors.list, {}, 40,
                        {.on_consumed = [&](const TensorRecord& tensor) { told.insert(&tensor); }});
  CHECK(told.size() == 7);
  for (const TensorRecord* tensor : told)
    CHECK((tensor >= tensors.list.data() && tensor < tensors.list.data() + 7));
}

// a and b in two files, as another program writes them.
void write_pair(const TemporaryFolder& folder, const std::string& index) {
  const auto entry = [](const std::string& name) {
    return safetensors_of("{\"" + name + "\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", "x");
  };
  write_text(folder / "1.safetensors", entry("a"));
  write_text(folder / "2.safetensors", entry("b"));
  write_text(folder / "i.json", index);
}

TEST_CASE("an index of another program, and what is wrong with one") {
  const TemporaryFolder folder;
  const auto refusal = [&](const std::string& index) {
    write_pair(folder, index);
    return refusal_of(folder / "i.json");
  };
  CHECK(refusal("{\n  \"metadata\": {\"total_size\": 2.0}, \"weight_map\": "
                "{\"a\": \"1.safetensors\", \"b\": \"2.safetensors\"}}") == "");
  struct Wrong {
    const char* index;
    const char* reason;
  };
  for (const Wrong& wrong : {
           Wrong{R"({"weight_map":{"a":"1.safetensors","c":"2.safetensors"}})", "expected the tensors c"},
           Wrong{R"({"weight_map":{"a":"1.safetensors","b":"1.safetensors"}})", "expected the tensors b"},
           Wrong{R"({"weight_map":{"b":"2.safetensors","a":"2.safetensors"}})", "expected the tensors a"},
           Wrong{R"({"weight_map":{"a":"1.safetensors","b":"3.safetensors","c":"4.safetensors"}})",
                 "missing beside it: 3.safetensors, 4.safetensors"},
           Wrong{R"({"weight_map":{"a":"../1.safetensors"}})", "a file in the same folder"},
           Wrong{R"({"weight_map":{"a":"/etc/hostname"}})", "a file in the same folder"},
           Wrong{R"({"weight_map":{"a":"x/1.safetensors"}})", "a file in the same folder"},
           Wrong{R"({"weight_map":{"a":"x\\1.safetensors"}})", "a file in the same folder"},
           Wrong{R"({"weight_map":{"a":".."}})", "a file in the same folder"},
           Wrong{R"({"weight_map":{"a":""}})", "a file in the same folder"},
           Wrong{R"({"weight_map":{"a":1}})", "a file in the same folder"},
           Wrong{R"({"weight_map":{"a":"i.json"}})", "no safetensors file"},
           Wrong{R"({"weight_map":{"a":"1.safetensors","a":"2.safetensors"}})", "twice"},
           Wrong{R"({"weight_map":{},"metadata":{}})", "without tensors"},
           Wrong{R"({"weight_map":[1,2,3,4,5,6]})", "weight_map"},
           Wrong{R"({"architectures":["ViT"]})", "weight_map"},
           Wrong{R"({"weight_map":{"a":"1.safetensors")", "no JSON"},
       }) {
    CAPTURE(wrong.index);
    const std::string found = refusal(wrong.index);
    CHECK(found.find((folder / "i.json").string()) == 0);
    CHECK_MESSAGE(found.find(wrong.reason) != std::string::npos, found);
  }
  write_pair(folder, R"({"weight_map":{"a":"1.safetensors"}})");
  write_text(folder / "1.safetensors",
             safetensors_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                            R"("c":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                            "xy"));
  CHECK(refusal_of(folder / "i.json").find("has the tensors c beside") != std::string::npos);
}

}  // namespace
}  // namespace vitrail::format
