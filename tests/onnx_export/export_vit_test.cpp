#include "onnx_export/export_vit.h"

#include <doctest/doctest.h>
#include <onnx/onnx_pb.h>

#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/error.h"
#include "format/error.h"
#include "onnx_export/closeness.h"
#include "tests/support/export_model.h"
#include "tests/support/read_file.h"
#include "tests/support/temporary_folder.h"

namespace vitrail::onnx_export {
namespace {

std::int64_t files_in(const std::filesystem::path& folder) {
  return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
}

std::unique_ptr<Backend> cpu() {
  return make_backend("cpu", {.threads = 1});
}

TEST_CASE("the result tells what was written") {
  const test::TemporaryFolder folder;
  const auto backend = cpu();
  const Model model = test::export_model(*backend, test::tiny_config(), DType::f64);
  const ExportResult result = export_vit(folder / "m.onnx", model, *backend);
  CHECK(result.path == folder / "m.onnx");
  CHECK(result.bytes == std::filesystem::file_size(folder / "m.onnx"));
  CHECK(result.parameters == model.params.parameters());
  CHECK(result.converted_to_f32);
  onnx::ModelProto proto;
  REQUIRE(proto.ParseFromString(test::read_file(folder / "m.onnx")));
  CHECK(proto.graph().node_size() == result.nodes);
  CHECK(files_in(folder / "") == 1);
}

TEST_CASE("the same model gives the same bytes") {
  const test::TemporaryFolder folder;
  const auto backend = cpu();
  for (const test::NamedConfig& named : test::switch_configs()) {
    CAPTURE(named.name);
    export_vit(folder / "a.onnx", test::export_model(*backend, named.config), *backend);
    export_vit(folder / "b.onnx", test::export_model(*backend, named.config), *backend);
    CHECK(test::read_file(folder / "a.onnx") == test::read_file(folder / "b.onnx"));
  }
}

TEST_CASE("labels and preprocessing travel in the file") {
  const test::TemporaryFolder folder;
  const auto backend = cpu();
  const Model model = test::export_model(*backend, test::tiny_config());
  export_vit(folder / "m.onnx", model, *backend);
  onnx::ModelProto proto;
  REQUIRE(proto.ParseFromString(test::read_file(folder / "m.onnx")));
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
  const test::TemporaryFolder folder;
  const auto backend = cpu();
  Model model = test::export_model(*backend, test::tiny_config());
  model.labels[1] = "caf\xe9";
  CHECK_NOTHROW(export_vit(folder / "m.onnx", model, *backend));
}

TEST_CASE("a place that cannot be written is refused, and nothing is left behind") {
  const test::TemporaryFolder folder;
  const auto backend = cpu();
  const Model model = test::export_model(*backend, test::tiny_config());
  CHECK_THROWS_AS(export_vit(folder / "missing" / "m.onnx", model, *backend), format::FileError);
  CHECK(files_in(folder / "") == 0);
}

TEST_CASE("fp16 keeps a half of a block in f32 whose numbers it cannot hold") {
  const auto backend = cpu();
  const Model model = test::export_model(*backend, test::tiny_config());
  Ranges ranges;
  ranges.images = 1;
  ranges.outputs["blocks.1.mlp.fc2"] = {-40000, 10};
  const auto halves = [&](const Ranges& seen) {
    const onnx::ModelProto proto = build_vit(model, *backend, {.numbers = Numbers::fp16}, seen).complete();
    std::string names;
    for (const onnx::TensorProto& tensor : proto.graph().initializer())
      names += tensor.name() + " ";
    return names;
  };
  CHECK(halves({}).find("blocks.1.mlp.fc1.weight.T.f16 ") != std::string::npos);
  CHECK(halves(ranges).find("blocks.1.mlp.fc1.weight.T ") != std::string::npos);
  CHECK(halves(ranges).find("blocks.1.attn.qkv.weight.T.f16 ") != std::string::npos);
  CHECK(halves(ranges).find("blocks.0.mlp.fc1.weight.T.f16 ") != std::string::npos);
}

TEST_CASE("static int8 wants images, and covers what they showed") {
  const auto backend = cpu();
  const Model model = test::export_model(*backend, test::tiny_config());
  const Parameters parameters(model.params, *backend);
  const Subject subject{model.config, model.input, model.labels, parameters, model.params.views()};
  CHECK_THROWS_AS(build_file(subject, *backend, {.numbers = Numbers::int8_static}), ConfigError);
  Ranges ranges;
  const std::vector<float> images(3 * 3 * 8 * 8, 0.5f);
  observe(ranges, model.config, model.params.views(), *backend, images);
  CHECK(ranges.images == 3);
  CHECK(ranges.inputs.size() == 8);                            // four layers a block
  CHECK(ranges.outputs.size() == 10);                          // and the scores
  CHECK(ranges.inputs.at("blocks.0.mlp.fc2").lowest > -0.2f);  // behind a GELU
  CHECK_NOTHROW(build_file(subject, *backend, {.numbers = Numbers::int8_static}, ranges));
}

TEST_CASE("how far a graph is from the engine") {
  const auto backend = cpu();
  const Model model = test::export_model(*backend, test::tiny_config());
  std::vector<float> images(10 * 3 * 8 * 8);
  for (std::size_t i = 0; i < images.size(); ++i)
    images[i] = static_cast<float>(i % 37) / 18 - 1;
  const std::vector<std::int64_t> labels(10, 1);
  const auto measured = [&](Numbers numbers, bool full_range = false) {
    const ExportOptions options{.numbers = numbers, .full_range = full_range};
    Comparison comparison(build_vit(model, *backend, options), model.config, model.params.views(), *backend);
    comparison.add(images, labels);
    return comparison.result();
  };
  const Closeness exact = measured(Numbers::fp32), coarse = measured(Numbers::int8_weights);
  CHECK(exact.images == 10);
  CHECK(exact.labelled == 10);
  CHECK(exact.largest_difference < 1e-5);
  CHECK(exact.same_top1 == 10);
  CHECK(exact.engine_right == exact.graph_right);
  CHECK(coarse.largest_difference > 1e-4);
  CHECK(coarse.largest_difference < 0.2 * (1 + coarse.largest_logit));
  const auto difference = [&](bool full_range) {
    return measured(Numbers::int8_dynamic, full_range).largest_difference;
  };
  CHECK(difference(true) < difference(false));  // a bit more of each weight
}

TEST_CASE("sizes that contradict each other are refused") {
  const test::TemporaryFolder folder;
  const auto backend = cpu();
  Model model = test::export_model(*backend, test::tiny_config());
  model.config.num_heads = 3;  // does not divide 8
  CHECK_THROWS_AS(export_vit(folder / "m.onnx", model, *backend), ConfigError);
}

}  // namespace
}  // namespace vitrail::onnx_export
