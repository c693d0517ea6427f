#include "onnx_export/export_vit.h"

#include <doctest/doctest.h>
#include <onnx/onnx_pb.h>

#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/error.h"
#include "format/error.h"
#include "tests/support/export_model.h"

namespace vitrail::onnx_export {
namespace {

// A folder of its own for each test, gone afterwards.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "vitrail-onnx-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  std::int64_t files() const {
    return std::distance(std::filesystem::directory_iterator(path_), std::filesystem::directory_iterator());
  }

 private:
  std::filesystem::path path_;
};

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::unique_ptr<Backend> cpu() {
  return make_backend("cpu", {.threads = 1});
}

TEST_CASE("the result tells what was written") {
  const Folder folder;
  const auto backend = cpu();
  const Model model = test::export_model(*backend, test::tiny_config(), DType::f64);
  const ExportResult result = export_vit(folder / "m.onnx", model, *backend);
  CHECK(result.path == folder / "m.onnx");
  CHECK(result.bytes == std::filesystem::file_size(folder / "m.onnx"));
  CHECK(result.parameters == model.params.parameters());
  CHECK(result.converted_to_f32);
  onnx::ModelProto proto;
  REQUIRE(proto.ParseFromString(read(folder / "m.onnx")));
  CHECK(proto.graph().node_size() == result.nodes);
  CHECK(folder.files() == 1);
}

TEST_CASE("the same model gives the same bytes") {
  const Folder folder;
  const auto backend = cpu();
  for (const test::NamedConfig& named : test::switch_configs()) {
    CAPTURE(named.name);
    export_vit(folder / "a.onnx", test::export_model(*backend, named.config), *backend);
    export_vit(folder / "b.onnx", test::export_model(*backend, named.config), *backend);
    CHECK(read(folder / "a.onnx") == read(folder / "b.onnx"));
  }
}

TEST_CASE("labels and preprocessing travel in the file") {
  const Folder folder;
  const auto backend = cpu();
  const Model model = test::export_model(*backend, test::tiny_config());
  export_vit(folder / "m.onnx", model, *backend);
  onnx::ModelProto proto;
  REQUIRE(proto.ParseFromString(read(folder / "m.onnx")));
  std::map<std::string, std::string> found;
  for (const onnx::StringStringEntryProto& entry : proto.metadata_props())
    found[entry.key()] = entry.value();
  CHECK(nlohmann::json::parse(found.at("labels")).get<std::vector<std::string>>() == model.labels);
  CHECK(nlohmann::json::parse(found.at("mean")) == nlohmann::json({0.485, 0.456, 0.406}));
  CHECK(nlohmann::json::parse(found.at("std")) == nlohmann::json({0.229, 0.224, 0.225}));
  CHECK(found.at("size") == "8");
  CHECK(found.at("channels") == "3");
  CHECK(found.at("crop_pct") == "0.875");
  CHECK(found.at("interpolation") == "bilinear");
  CHECK(found.at("architecture") == test::tiny_config().name);
  CHECK(found.at("producer").starts_with("vitrail "));
}

TEST_CASE("a label that is no UTF-8 does not spoil the file") {
  const Folder folder;
  const auto backend = cpu();
  Model model = test::export_model(*backend, test::tiny_config());
  model.labels[1] = "caf\xe9";
  CHECK_NOTHROW(export_vit(folder / "m.onnx", model, *backend));
}

TEST_CASE("a place that cannot be written is refused, and nothing is left behind") {
  const Folder folder;
  const auto backend = cpu();
  const Model model = test::export_model(*backend, test::tiny_config());
  CHECK_THROWS_AS(export_vit(folder / "missing" / "m.onnx", model, *backend), format::FileError);
  CHECK(folder.files() == 0);
}

TEST_CASE("what does not fit in one protobuf message is refused") {
  CHECK_NOTHROW(require_fitting(304'000'000));                        // vit_large
  CHECK_THROWS_AS(require_fitting(632'000'000), const ConfigError&);  // vit_huge
}

TEST_CASE("sizes that contradict each other are refused") {
  const Folder folder;
  const auto backend = cpu();
  Model model = test::export_model(*backend, test::tiny_config());
  model.config.num_heads = 3;  // does not divide 8
  CHECK_THROWS_AS(export_vit(folder / "m.onnx", model, *backend), ConfigError);
}

}  // namespace
}  // namespace vitrail::onnx_export
