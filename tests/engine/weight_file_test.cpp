// Files of weights of each format, told by content; wrappers and prefixes are taken off and named.

#include "engine/weight_file.h"

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <fstream>

#include "engine/error.h"
#include "format/file.h"
#include "format/safetensors.h"
#include "format/torch_file.h"
#include "format/zip.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_vit.h"

namespace vitrail {
namespace {

namespace fs = std::filesystem;
using format::Datum;
using format::TensorRecord;
using test::TemporaryFolder;

// Four tensors of one element, 1 to 4, as a state dict: a and b, and those of their average.
struct Tensors {
  std::array<float, 4> values{1, 2, 3, 4};
  std::vector<TensorRecord> list;
  Tensors() {
    for (const float& value : values)
      list.push_back({.name = "x" + std::to_string(list.size()),
                      .shape = {1},
                      .bytes = std::as_bytes(std::span(&value, 1))});
  }
};

Datum state_dict(const std::string& prefix, std::size_t first = 0) {
  return Datum::Dict{{{prefix + "a", Datum::Tensor{first}}, {prefix + "b.weight", Datum::Tensor{first + 1}}}};
}

struct Found {
  std::string names, notes;
  float first = 0;
};

Found describe(const WeightFile& file) {
  Found found;
  for (const TensorRecord& tensor : file.tensors)
    found.names += tensor.name + (tensor.alias_of.empty() ? " " : "=" + tensor.alias_of + " ");
  for (const std::string& note : file.notes)
    found.notes += note + "; ";
  if (!file.tensors.empty()) std::memcpy(&found.first, file.tensors[0].bytes.data(), sizeof(float));
  return found;
}

Found open_pt(const Datum& root, WeightChoice choice = WeightChoice::best) {
  const TemporaryFolder folder;
  const Tensors tensors;
  write_torch(folder / "x.pt", root, tensors.list);
  const WeightFile file = open_weight_file(folder / "x.pt", choice);
  CHECK(file.format == "pt");
  return describe(file);
}

void write_text(const fs::path& path, const std::string& text) {
  format::replace_file(path, text, format::Durability::fast);
}

TEST_CASE("a state dict, bare and in the wrappers of training programs") {
  CHECK(open_pt(state_dict("")).names == "a b.weight ");
  CHECK(open_pt(state_dict("")).notes == "");
  for (const char* key : {"state_dict", "model_state_dict", "model", "module", "net", "student"}) {
    const Found found =
        open_pt(Datum::Dict{{{"epoch", 3}, {key, state_dict("")}, {"optimizer", Datum::Dict{}}}});
    CHECK(found.names == "a b.weight ");
    CHECK(found.notes == "took '" + std::string(key) + "'; left out 'epoch', 'optimizer'; ");
  }
  const Found deep = open_pt(Datum::Dict{{{"model", Datum::Dict{{{"module", state_dict("module.")}}}}}});
  CHECK(deep.names == "a b.weight ");
  CHECK(deep.notes == "took 'model'; took 'module'; took 'module.' off all names; ");
  const Found config =
      open_pt(Datum::Dict{{{"model", Datum::Dict{{{"name", "vit"}}}}, {"state_dict", state_dict("")}}});
  CHECK(config.names == "a b.weight ");
}

TEST_CASE("prefixes go when all names have them") {
  CHECK(open_pt(state_dict("module.")).notes == "took 'module.' off all names; ");
  CHECK(open_pt(state_dict("_orig_mod.module.model.")).names == "a b.weight ");
  CHECK(open_pt(state_dict("backbone.")).names == "backbone.a backbone.b.weight ");
  const Datum mixed = Datum::Dict{{{"module.a", Datum::Tensor{0}}, {"b", Datum::Tensor{1}}}};
  CHECK(open_pt(mixed).names == "module.a b ");
  const Datum nothing_left = Datum::Dict{{{"model.", Datum::Tensor{0}}}};
  CHECK(open_pt(nothing_left).names == "model. ");
}

TEST_CASE("Lightning's modules have a network and more") {
  Datum::Dict state{{{"model.a", Datum::Tensor{0}}, {"loss.weight", Datum::Tensor{1}}}};
  const Found found = open_pt(Datum::Dict{{{"pytorch-lightning_version", "2.0"}, {"state_dict", state}}});
  CHECK(found.names == "a ");
  CHECK(found.notes.find("beside 'model.': 'loss.weight'") != std::string::npos);
}

TEST_CASE("weights or their average") {
  for (const char* key : {"state_dict_ema", "model_ema"}) {
    const Datum both = Datum::Dict{{{"state_dict", state_dict("")}, {key, state_dict("", 2)}}};
    CHECK(open_pt(both).first == 1);
    CHECK(open_pt(both).notes == "took 'state_dict'; left out '" + std::string(key) + "'; ");
    CHECK(open_pt(both, WeightChoice::ema).first == 3);
    CHECK(open_pt(Datum::Dict{{{key, state_dict("", 2)}}}).notes == "took '" + std::string(key) + "'; ");
  }
  CHECK_THROWS_AS(open_pt(state_dict(""), WeightChoice::ema), ConfigError);
}

TEST_CASE("tied weights, and what is no tensor") {
  const Datum tied =
      Datum::Dict{{{"module.a", Datum::Tensor{0}}, {"module.b", Datum::Tensor{0}}, {"steps", 4}}};
  const Found found = open_pt(Datum::Dict{{{"model", tied}}});
  CHECK(found.names == "a b=a ");
  CHECK(found.notes == "took 'model'; left out what is no tensor: 'steps'; took 'module.' off all names; ");
  CHECK_THROWS_WITH_AS(open_pt(Datum::Dict{{{"epoch", 1}}}), doctest::Contains("found a dict of 'epoch'"),
                       format::FormatError);
  CHECK_THROWS_WITH_AS(open_pt(Datum::List{}), doctest::Contains("x.pt: expected a state dict"),
                       format::FormatError);
}

TEST_CASE("safetensors, a set of them, and the documents beside them") {
  const TemporaryFolder folder;
  Tensors tensors;
  for (TensorRecord& tensor : tensors.list)
    tensor.name = "module." + tensor.name;
  write_safetensors(folder / "any.name", tensors.list, {{"k", "v"}});
  WeightFile file = open_weight_file(folder / "any.name");
  CHECK(file.format == "safetensors");
  CHECK(describe(file).names == "x0 x1 x2 x3 ");
  CHECK(file.metadata.at("k") == "v");
  CHECK_FALSE(file.config.has_value());
  CHECK_THROWS_AS(open_weight_file(folder / "any.name", WeightChoice::ema), ConfigError);

  write_safetensors_set(folder / "model.safetensors.index.json", tensors.list, {}, 8);
  write_text(folder / "config.json", R"({"hidden_size": 192})");
  write_text(folder / "preprocessor_config.json", R"({"size": 224})");
  for (const fs::path& path : {folder / "model.safetensors.index.json", folder / "."}) {
    file = open_weight_file(path);
    CHECK(describe(file).names == "x0 x1 x2 x3 ");
    CHECK(*file.config->find("hidden_size")->as<std::int64_t>() == 192);
    CHECK(*file.preprocessor->find("size")->as<std::int64_t>() == 224);
  }
  write_text(folder / "config.json", "[]");
  CHECK_THROWS_WITH_AS(open_weight_file(folder / "."),
                       doctest::Contains("config.json: expected a JSON object"), format::FormatError);
  write_text(folder / "config.json", "{\"a\":NaN}");
  CHECK_THROWS_WITH_AS(open_weight_file(folder / "."), doctest::Contains("config.json: no JSON"),
                       format::FormatError);
}

TEST_CASE("damage in a file of our own is found when it is opened") {
  const TemporaryFolder folder;
  const Tensors tensors;
  write_safetensors(folder / "x", tensors.list, {});
  std::fstream file(folder / "x", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-1, std::ios::end);
  file.put('!');
  file.close();
  CHECK_THROWS_WITH_AS(open_weight_file(folder / "x"), doctest::Contains("damaged"), format::FormatError);
}

TEST_CASE("a model of ours, and which weights of a checkpoint") {
  const TemporaryFolder folder;
  const auto backend = make_backend("cpu");
  const VitConfig config = test::tiny_config();
  Model model{config, {}, {}, ParamSet(*backend, config, DType::f32)};
  test::randomize(*backend, model.params, 3);
  save_model(folder / "m.vitrail", *backend, model);
  const WeightFile file = open_weight_file(folder / "m.vitrail");
  CHECK(file.format == "vitrail");
  CHECK(file.tensors.size() == static_cast<std::size_t>(get_model_info(folder / "m.vitrail").tensors));
  CHECK_THROWS_AS(open_weight_file(folder / "m.vitrail", WeightChoice::ema), ConfigError);

  const std::array<float, 2> values{1, 2};
  const auto one = [&](format::Role role, std::size_t i) {
    return TensorRecord{
        .name = "w", .role = role, .shape = {1}, .bytes = std::as_bytes(std::span(&values[i], 1))};
  };
  format::ContainerContents both{format::FileKind::weights, {}, {}};
  both.root.set(1, std::string("test"));
  both.tensors = {one(format::Role::parameter, 0), one(format::Role::ema_parameter, 1)};
  write_container(folder / "both.vitrail", both);
  CHECK(describe(open_weight_file(folder / "both.vitrail")).first == 2);
  CHECK(describe(open_weight_file(folder / "both.vitrail")).notes == "took the EMA weights; ");
  CHECK(describe(open_weight_file(folder / "both.vitrail", WeightChoice::plain)).first == 1);
}

TEST_CASE("what is no file of weights") {
  const TemporaryFolder folder;
  const auto refusal = [&](const fs::path& path) -> std::string {
    try {
      (void)open_weight_file(path);
      return "";
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  };
  CHECK(refusal(folder / "none").find("cannot open") != std::string::npos);
  write_text(folder / "empty", "");
  CHECK(refusal(folder / "empty").find("an empty file") != std::string::npos);
  write_text(folder / "text", "hello");
  CHECK(refusal(folder / "text").find("expected weights as .vitrail") != std::string::npos);
  write_text(folder / "config.txt", "{\"architectures\": [\"ViT\"]}");
  CHECK(refusal(folder / "config.txt").find("weight_map") != std::string::npos);
  std::string archive;
  format::ZipWriter zip(
      [&](format::Bytes part) { archive.append(reinterpret_cast<const char*>(part.data()), part.size()); });
  zip.add("a.txt", {});
  zip.finish();
  write_text(folder / "zip", archive);
  CHECK(refusal(folder / "zip").find("neither of PyTorch") != std::string::npos);
  write_text(folder / "cut.pt", archive.substr(0, 20));
  CHECK(refusal(folder / "cut.pt").find((folder / "cut.pt").string()) == 0);
  CHECK(refusal(folder / ".").find("expected a folder with one of model.safetensors") != std::string::npos);
  write_text(folder / "pytorch_model.bin.index.json", "{}");
  CHECK(refusal(folder / ".").find("save it as safetensors") != std::string::npos);
}

}  // namespace
}  // namespace vitrail
