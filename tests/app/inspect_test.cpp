// The commands that look into files: ls, cat, verify, diff, rescue, info, on files of a few kilobytes.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "format/shards.h"
#include "tests/support/app_program.h"
#include "tests/support/checkpoint_files.h"
#include "tests/support/temporary_folder.h"

using namespace vitrail;
using namespace vitrail::test;

namespace {

namespace fs = std::filesystem;
using format::ElementType;
using format::Role;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// A folder in which the program runs.
struct Place {
  TemporaryFolder folder;

  fs::path operator/(const std::string& name) const { return folder / name; }
  Outcome run(const std::vector<std::string>& arguments) const { return run_program(folder / "", arguments); }
  nlohmann::json json(std::vector<std::string> arguments, int code = 0) const {
    arguments.emplace_back("--json");
    const Outcome outcome = run(arguments);
    CHECK_MESSAGE(outcome.code == code, outcome.err);
    return nlohmann::json::parse(outcome.out);
  }
};

struct Tensor {
  const char* name;
  Role role;
  ElementType type;
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

void write(const fs::path& path, const std::vector<Tensor>& tensors, const std::string& producer = "test") {
  format::ContainerContents contents;
  contents.root.set(format::section::kProducer, producer);
  for (const Tensor& tensor : tensors) {
    format::TensorRecord record;
    record.name = tensor.name;
    record.role = tensor.role;
    record.type = tensor.type;
    record.shape = tensor.shape;
    record.bytes = std::as_bytes(std::span(tensor.values));
    contents.tensors.push_back(record);
  }
  format::write_container(path, contents);
}

const std::vector<Tensor> kThree = {
    {"head.weight", Role::parameter, ElementType::f32, {3, 2}, {1, 2, 3, 4, 5, 6}},
    {"head.bias", Role::parameter, ElementType::f32, {3}, {0.5F, NAN, -INFINITY}},
    {"head.bias", Role::first_moment, ElementType::f32, {3}, {7, 8, 9}}};

std::int64_t offset_of(const Place& place, const std::string& file, std::size_t tensor) {
  return place.json({"ls", file}).at("tensors").at(tensor).at("offset");
}

}  // namespace

TEST_CASE("ls lists tensors, by pattern and by role") {
  const Place place;
  write(place / "m.vitrail", kThree);
  const nlohmann::json all = place.json({"ls", "m.vitrail"});
  CHECK(all.at("kind") == "weights");
  REQUIRE(all.at("tensors").size() == 3);
  const nlohmann::json& first = all.at("tensors").at(0);
  CHECK(first.at("name") == "head.bias");
  CHECK(first.at("role") == "parameter");
  CHECK(first.at("dtype") == "f32");
  CHECK(first.at("shape") == nlohmann::json({3}));
  CHECK(first.at("bytes") == 12);
  CHECK(first.at("hash").get<std::string>().size() == 32);
  CHECK(place.json({"ls", "m.vitrail", "*.weight"}).at("tensors").size() == 1);
  CHECK(place.json({"ls", "m.vitrail", "head.????"}).at("tensors").size() == 2);
  CHECK(place.json({"ls", "m.vitrail", "--role", "first_moment"}).at("tensors").size() == 1);
  CHECK(place.json({"ls", "m.vitrail", "*.weight", "--role", "16"}).at("tensors").empty());
  const Outcome text = place.run({"ls", "m.vitrail", "*bias"});
  CHECK(contains(text.out, first.at("hash").get<std::string>().substr(0, 12)));
  CHECK(contains(text.out, "2 of 3 tensors, 24 B"));
  CHECK(contains(place.run({"ls", "m.vitrail", "--role", "first_moments"}).err,
                 "did you mean 'first_moment'?"));
}

TEST_CASE("cat shows values, rows, statistics and bytes") {
  const Place place;
  write(place / "m.vitrail", kThree);
  const Outcome text = place.run({"cat", "m.vitrail", "head.weight"});
  CHECK(contains(text.out, "head.weight  parameter  f32  [3, 2]"));
  CHECK(contains(text.out, "[[1 2]\n [3 4]\n [5 6]]"));
  CHECK(contains(text.out, "6 elements  min 1  mean 3.5  max 6  NaN 0  infinite 0"));
  CHECK(contains(place.run({"cat", "m.vitrail", "head.bias"}).out,
                 "min 0.5  mean 0.5  max 0.5  NaN 1  infinite 1"));
  CHECK(contains(place.run({"cat", "m.vitrail", "head.bias", "--role", "first_moment"}).out, "[7 8 9]"));

  const nlohmann::json rows = place.json({"cat", "m.vitrail", "head.weight", "--rows", "1:3"});
  CHECK(rows.at("values") == nlohmann::json({{3, 4}, {5, 6}}));
  CHECK(rows.at("rows") == nlohmann::json({1, 3}));
  CHECK(rows.at("shape") == nlohmann::json({3, 2}));
  CHECK(place.json({"cat", "m.vitrail", "head.weight", "--rows", "2"}).at("values") ==
        nlohmann::json({{5, 6}}));
  CHECK(place.json({"cat", "m.vitrail", "head.weight", "--rows", ":1"}).at("values") ==
        nlohmann::json({{1, 2}}));
  CHECK(place.json({"cat", "m.vitrail", "head.bias"}).at("values") == nlohmann::json({0.5, "nan", "-inf"}));

  const std::string raw = place.run({"cat", "m.vitrail", "head.weight", "--raw", "--rows", "0:2"}).out;
  REQUIRE(raw.size() == 16);
  CHECK(std::memcmp(raw.data(), kThree[0].values.data(), 16) == 0);

  CHECK(place.run({"cat", "m.vitrail", "head.weight", "--rows", "2:4"}).code == 2);
  CHECK(place.run({"cat", "m.vitrail", "head.weight", "--rows", "2:1"}).code == 2);
  CHECK(contains(place.run({"cat", "m.vitrail", "head.wieght"}).err, "did you mean 'head.weight'?"));
  CHECK(contains(place.run({"cat", "m.vitrail", "head.bias", "--role", "momentum"}).err, "--role parameter"));
  CHECK(place.run({"cat", "m.vitrail", "head.bias", "--raw", "--json"}).code == 2);

  flip_byte(place / "m.vitrail", offset_of(place, "m.vitrail", 1));
  CHECK(place.run({"cat", "m.vitrail", "head.bias"}).code == 0);
  const Outcome damaged = place.run({"cat", "m.vitrail", "head.weight", "--raw"});
  CHECK(damaged.code == 4);
  CHECK(damaged.out.empty());
  CHECK(contains(damaged.err, "head.weight"));
}

TEST_CASE("verify: structure at once, every byte with --full; damage has a name") {
  const Place place;
  write(place / "m.vitrail", kThree);
  write(place / "n.vitrail", kThree);
  CHECK(contains(place.run({"verify", "m.vitrail"}).out, "structure"));
  CHECK(contains(place.run({"verify", "--full", "m.vitrail", "n.vitrail"}).out,
                 "every byte is as it was written"));

  flip_byte(place / "n.vitrail", offset_of(place, "n.vitrail", 1) + 4);
  CHECK(place.run({"verify", "m.vitrail", "n.vitrail"}).code == 0);
  const Outcome full = place.run({"verify", "--full", "m.vitrail", "n.vitrail"});
  CHECK(full.code == 4);
  CHECK(contains(full.out, "m.vitrail  weights"));
  CHECK(contains(full.out, "n.vitrail: tensor 'head.weight' (role 0) is damaged"));
  CHECK(contains(full.out, "[V40]"));
  CHECK(contains(full.err, "1 of 2 files is damaged"));

  const nlohmann::json report = place.json({"verify", "--full", "m.vitrail", "n.vitrail"}, 4);
  CHECK(report.at("whole") == false);
  CHECK(report.at("files").at(0).at("whole") == true);
  const nlohmann::json& damage = report.at("files").at(1).at("damage").at(0);
  CHECK(damage.at("rule") == "V40");
  CHECK(damage.at("tensor") == "head.weight");
  CHECK(damage.at("role") == "parameter");
  CHECK(damage.at("elements") == nlohmann::json({0, 6}));
  CHECK(damage.at("expected") != damage.at("found"));

  flip_byte(place / "m.vitrail", 200);
  CHECK(contains(place.run({"verify", "m.vitrail"}).out, "[V08]"));
  CHECK(place.json({"verify", "m.vitrail"}, 4).at("files").at(0).at("rule") == "V08");
  CHECK(place.json({"verify", "nowhere.vitrail"}, 1).at("whole") == false);
}

TEST_CASE("verify: all checkpoints of a run, and all files of a folder") {
  const Place place;
  fs::create_directories(place / "run/rolling");
  write_checkpoint(place / "run/last.vitrail", {.step = 2});
  fs::create_hard_link(place / "run/last.vitrail", place / "run/rolling/step-0000000002.vitrail");
  write_checkpoint(place / "run/rolling/step-0000000001.vitrail", {.step = 1});
  CHECK(place.json({"verify", "--full", "run"}).at("files").size() == 2);
  fs::resize_file(place / "run/rolling/step-0000000001.vitrail", 5000);
  const nlohmann::json report = place.json({"verify", "run"}, 4);
  CHECK(report.at("files").at(0).at("rule") == "V01");
  CHECK(report.at("files").at(1).at("whole") == true);

  fs::create_directories(place / "many");
  CHECK(place.run({"verify", "many"}).code == 2);
  write(place / "many/a.vitrail", kThree);
  write(place / "many/b.vitrail", kThree);
  CHECK(place.json({"verify", "many"}).at("files").size() == 2);
}

TEST_CASE("verify: an index stands for its shards") {
  const Place place;
  write(place / "m.vitrail", kThree);
  const format::SplitResult split = format::split_container(place / "m.vitrail", place / "set", 2);
  const std::string index = split.index.filename().string();
  CHECK(place.json({"verify", "--full", index}).at("files").size() == 3);
  flip_byte(split.shards[1], offset_of(place, split.shards[1].filename().string(), 0));
  CHECK(place.run({"verify", index}).code == 0);
  const nlohmann::json full = place.json({"verify", "--full", index}, 4);
  CHECK(full.at("files").at(0).at("whole") == true);
  CHECK(full.at("files").at(2).at("whole") == false);
  fs::remove(split.shards[1]);
  CHECK(contains(place.json({"verify", index}, 1).at("files").at(0).at("error"), "is missing"));
}

TEST_CASE("verify: a long file has a progress line") {
  const Place place;
  write(place / "m.vitrail",
        {{"a", Role::parameter, ElementType::f32, {3 << 20}, std::vector<float>(3 << 20)}});
  CHECK(contains(run_on_terminal(place.folder / "", {"verify", "--full", "m.vitrail"}, 80).out, " %  "));
}

TEST_CASE("diff: equal, changed, reshaped, added, removed, and fields") {
  const Place place;
  write(place / "a.vitrail", kThree);
  write(place / "b.vitrail", kThree);
  CHECK(contains(place.run({"diff", "a.vitrail", "b.vitrail"}).out, "Equal  all 3 tensors, all fields"));
  CHECK(place.json({"diff", "a.vitrail", "b.vitrail"}).at("equal") == true);

  std::vector<Tensor> other = kThree;
  other[0].values[3] = 5;               // 4 before
  other[1].values[1] = 1;               // NaN before
  other[2].role = Role::second_moment;  // one removed, one added
  other.push_back({"pos", Role::parameter, ElementType::f32, {2}, {1, 2}});
  write(place / "b.vitrail", other, "another");
  const nlohmann::json diff = place.json({"diff", "a.vitrail", "b.vitrail"}, 1);
  CHECK(diff.at("equal") == false);
  CHECK(diff.at("fields") ==
        nlohmann::json::parse(R"([{"field": "producer", "a": "test", "b": "another"}])"));
  const nlohmann::json& tensors = diff.at("tensors");
  CHECK(tensors.at("equal") == 0);
  REQUIRE(tensors.at("changed").size() == 2);
  CHECK(tensors.at("changed").at(0).at("name") == "head.bias");
  CHECK(tensors.at("changed").at(0).at("max_abs") == "inf");
  CHECK(tensors.at("changed").at(1).at("max_abs") == 1);
  CHECK(tensors.at("changed").at(1).at("max_rel") == doctest::Approx(0.2));
  CHECK(tensors.at("changed").at(1).at("elements_changed") == 1);
  CHECK(tensors.at("removed").size() == 1);
  CHECK(tensors.at("added").size() == 2);
  CHECK(contains(
      place.run({"diff", "a.vitrail", "b.vitrail"}).out,
      "Changed  head.weight (parameter)  f32 [3, 2]  largest change 1, relative 0.2, in 1 of 6 elements"));

  other[0].shape = {2, 3};
  write(place / "b.vitrail", other);
  CHECK(place.json({"diff", "a.vitrail", "b.vitrail"}, 1).at("tensors").at("reshaped").size() == 1);
  CHECK(place.run({"diff", "a.vitrail", "missing.vitrail"}).code == 2);
}

TEST_CASE("diff reads only tensors that differ, and with --fast none") {
  const Place place;
  std::vector<Tensor> other = kThree;
  other[0].values[3] = 5;
  write(place / "a.vitrail", kThree);
  write(place / "b.vitrail", other);
  flip_byte(place / "a.vitrail", offset_of(place, "a.vitrail", 2));  // the moment: equal by its hash
  CHECK(place.run({"diff", "a.vitrail", "b.vitrail"}).code == 1);
  flip_byte(place / "a.vitrail", offset_of(place, "a.vitrail", 1));  // head.weight: to be read
  CHECK(place.run({"diff", "a.vitrail", "b.vitrail"}).code == 4);
  const nlohmann::json fast = place.json({"diff", "--fast", "a.vitrail", "b.vitrail"}, 1);
  CHECK_FALSE(fast.at("tensors").at("changed").at(0).contains("max_abs"));
}

TEST_CASE("rescue saves what is whole, and says what is lost") {
  const Place place;
  write(place / "m.vitrail", kThree);
  const std::string content = place.json({"rescue", "m.vitrail", "-o", "whole.vitrail"}).at("content_id");
  CHECK(read_file(place / "whole.vitrail") == read_file(place / "m.vitrail"));

  SUBCASE("a damaged tensor") {
    flip_byte(place / "m.vitrail", offset_of(place, "m.vitrail", 1));
    const Outcome text = place.run({"rescue", "m.vitrail", "-o", "out.vitrail"});
    CHECK(text.code == 4);
    CHECK(contains(text.out, "Lost  head.weight  parameter  f32 [3, 2]  damaged"));
    CHECK(contains(text.out, "Rescued  out.vitrail  weights"));
    CHECK(contains(text.out, "2 of 3 tensors"));
    CHECK(place.run({"verify", "--full", "out.vitrail"}).code == 0);
    CHECK(place.run({"cat", "out.vitrail", "head.bias"}).code == 0);
    CHECK(place.run({"rescue", "m.vitrail", "-o", "out.vitrail"}).code == 2);
    const nlohmann::json report = place.json({"rescue", "m.vitrail", "-o", "out.vitrail", "--force"}, 4);
    CHECK(report.at("complete") == false);
    CHECK(report.at("lost").at(0).at("name") == "head.weight");
  }
  SUBCASE("without its beginning, all of it") {
    std::fstream file(place / "m.vitrail", std::ios::in | std::ios::out | std::ios::binary);
    file << std::string(128, '\0');
    file.close();
    CHECK(place.run({"verify", "m.vitrail"}).code == 4);
    CHECK(place.json({"rescue", "m.vitrail", "-o", "out.vitrail"}).at("content_id") == content);
  }
  SUBCASE("cut off behind the second tensor") {
    fs::resize_file(place / "m.vitrail", static_cast<std::uintmax_t>(offset_of(place, "m.vitrail", 2)));
    const nlohmann::json report = place.json({"rescue", "m.vitrail", "-o", "out.vitrail"}, 4);
    CHECK(report.at("tensors") == 2);
    CHECK(contains(report.at("lost").at(0).at("reason"), "cut off"));
  }
  SUBCASE("nothing at all") {
    fs::resize_file(place / "m.vitrail", 200);
    CHECK(place.run({"rescue", "m.vitrail", "-o", "out.vitrail"}).code == 4);
    std::ofstream(place / "picture.png") << "\x89PNG\r\n\x1a\n....";
    CHECK(contains(place.run({"rescue", "picture.png", "-o", "out.vitrail"}).err, "PNG"));
    CHECK_FALSE(fs::exists(place / "out.vitrail"));
  }
  SUBCASE("never over the damaged file itself") {
    CHECK(place.run({"rescue", "m.vitrail", "-o", "m.vitrail", "--force"}).code == 2);
    CHECK(place.run({"rescue", "nowhere", "-o", "x.vitrail"}).code == 2);
  }
}

TEST_CASE("a checkpoint whose moments are damaged becomes a model that can be used") {
  const Place place;
  write_quarters(place / "quarters", 64, 16);
  REQUIRE(place.run(tiny_run("run", {"ema.decay=0.9"})).code == 0);
  const nlohmann::json all = place.json({"ls", "run"}).at("tensors");
  const auto moment = std::find_if(all.begin(), all.end(),
                                   [](const nlohmann::json& t) { return t.at("role") == "first_moment"; });
  flip_byte(place / "run/last.vitrail", moment->at("offset"));
  const nlohmann::json report = place.json({"rescue", "run/last.vitrail", "-o", "model.vitrail"}, 4);
  CHECK(report.at("out_kind") == "model");
  CHECK(report.at("lost").size() == 1);
  CHECK(place.run({"verify", "--full", "model.vitrail"}).code == 0);
  CHECK(place.run({"eval", "model.vitrail", "data=quarters"}).code == 0);

  const nlohmann::json info = place.json({"info", "run"});
  CHECK(info.at("architecture") == "vit");
  CHECK(info.at("format") == "1.0");
  CHECK(info.at("unknown_fields") == 0);
  CHECK(info.at("roles").size() == 4);
  CHECK(info.at("roles").at(0).at("role") == "parameter");
  CHECK(info.at("roles").at(0).at("bytes") == 4 * info.at("parameters").get<int>());
  CHECK(info.at("metrics").at("train_loss").get<double>() > 0);
  CHECK(info.contains("lr"));
  const std::string text = place.run({"info", "run"}).out;
  for (const char* part : {"tensors of role first_moment", "Metrics", "step 8 of 8", "format 1.0"})
    CHECK_MESSAGE(contains(text, part), part);
}

TEST_CASE("files of other formats are recognised") {
  const Place place;
  const auto check = [&](const std::string& name, const std::string& bytes, const std::string& expected,
                         const std::vector<const char*>& commands = {"info", "ls", "eval", "verify"}) {
    std::ofstream(place / name, std::ios::binary) << bytes;
    for (const char* command : commands) {
      const Outcome outcome = place.run({command, name});
      CHECK(outcome.code == 4);
      const std::string said = outcome.out + outcome.err;
      CHECK_MESSAGE(contains(said, expected), said);
      CHECK(contains(said, name));
    }
  };
  using namespace std::string_literals;
  check("model.pt", "PK\3\4\0\0\0\0\0\0....archive/data.pkl"s, "a PyTorch file (zip)", {"ls", "verify"});
  check("model.onnx", "\x08\x08\x12\x07pytorch"s, "an ONNX file");
  check("model.safetensors", "\x40\0\0\0\0\0\0\0{\"a\":{}}"s, "a safetensors file", {"ls", "verify"});
  check("image.png", "\x89PNG\r\n\x1a\n\0\0\0\rIHDR"s, "a PNG image");
  check("image.jpg", "\xff\xd8\xff\xe0\0\x10JFIF"s, "a JPEG image");
  check("model.vitrail.gz", "\x1f\x8b\x08\0"s, "packed with gzip");
  check("empty.vitrail", "", "it is empty");
  check("notes.vitrail", "weights: see below\n", "it is text");
  check("copied.vitrail", "\x89VTL\n\x1a\n\1\0\0\0\0"s, "line ends were converted");
  check("noise.vitrail", "\xC3\x28\xA0\x01\xFE"s, "V02");
  CHECK(contains(place.run({"ls", "model.pt"}).err, "help: use 'vitrail convert"));
  // Commands that import it look into it.
  for (const char* name : {"model.pt", "model.safetensors"}) {
    const Outcome outcome = place.run({"info", name});
    CHECK(outcome.code == 4);
    CHECK_MESSAGE(contains(outcome.err, name), outcome.err);
  }
  fs::create_directories(place / "folder");
  CHECK(contains(place.run({"info", "folder"}).err, "found no last.vitrail in it"));
}
