#include "onnx_export/model_writer.h"

#include <doctest/doctest.h>

#include <cstring>
#include <iterator>

#include "engine/model_io.h"
#include "format/error.h"
#include "onnx_export/export_vit.h"
#include "onnx_export/self_test.h"
#include "tests/support/export_model.h"
#include "tests/support/memory.h"
#include "tests/support/read_file.h"
#include "tests/support/temporary_folder.h"

namespace vitrail::onnx_export {
namespace {

// Without the hash, which is the last of the metadata.
onnx::ModelProto parse(const std::filesystem::path& path) {
  onnx::ModelProto model;
  REQUIRE(model.ParseFromString(test::read_file(path)));
  REQUIRE(model.metadata_props().rbegin()->key() == kHashKey);
  model.mutable_metadata_props()->RemoveLast();
  return model;
}

// Wide enough for several payloads of several pages.
Model wide_model(Backend& backend) {
  VitConfig config = test::tiny_config();
  config.embed_dim = 64;
  config.mlp_dim = 200;
  return test::export_model(backend, config);
}

std::int64_t number_of(const onnx::TensorProto& tensor, const std::string& key) {
  for (const onnx::StringStringEntryProto& entry : tensor.external_data()) {
    if (entry.key() == key) return std::stoll(entry.value());
  }
  FAIL("no entry " << key);
  return 0;
}

TEST_CASE("one file is what protobuf would have written, in another order of fields") {
  const test::TemporaryFolder folder;
  const auto backend = make_backend("cpu", {.threads = 1});
  const Model model = wide_model(*backend);
  const Graph graph = build_vit(model, *backend);
  REQUIRE(graph.payloads().size() > 5);
  const WrittenModel written = write_model(folder / "m.onnx", graph, false);
  CHECK(written.bytes == std::filesystem::file_size(folder / "m.onnx"));
  CHECK(written.data_path.empty());
  CHECK(parse(folder / "m.onnx").SerializeAsString() == graph.complete().SerializeAsString());
}

TEST_CASE("external data begin at whole pages and hold the same bytes") {
  const test::TemporaryFolder folder;
  const auto backend = make_backend("cpu", {.threads = 1});
  const Model model = wide_model(*backend);
  const Graph graph = build_vit(model, *backend);
  const WrittenModel written = write_model(folder / "m.onnx", graph, true);
  CHECK(written.data_path == folder / "m.onnx.data");
  const std::string data = test::read_file(written.data_path);
  CHECK(data.size() == written.data_bytes);
  onnx::ModelProto model_read = parse(folder / "m.onnx");
  for (onnx::TensorProto& tensor : *model_read.mutable_graph()->mutable_initializer()) {
    if (!tensor.has_data_location()) continue;
    CHECK(tensor.external_data(0).value() == "m.onnx.data");
    const std::int64_t offset = number_of(tensor, "offset"), length = number_of(tensor, "length");
    CHECK(offset % 4096 == 0);
    tensor.set_raw_data(data.substr(static_cast<std::size_t>(offset), static_cast<std::size_t>(length)));
    tensor.clear_data_location();
    tensor.clear_external_data();
  }
  CHECK(model_read.SerializeAsString() == graph.complete().SerializeAsString());
}

// 700 million weights that nobody stores: a producer may say anything.
TEST_CASE("what one protobuf message cannot hold goes to a file beside") {
  Graph graph("net");
  const Value x = graph.input("x", {kBatch, 4});
  graph.output("y", graph.map("a", "Erf", x));
  graph.weight("huge", {INT64_C(700'000'000)}, Type::f32, [](const Sink&) { FAIL("nothing is asked for"); });
  CHECK(message_bytes(graph) > kLargestMessage);
  const test::TemporaryFolder folder;
  // The disk may be too small for it, so only the way is looked at: the data file is the one that fails.
  std::filesystem::create_directory(folder / "m.onnx.data");
  CHECK_THROWS_AS(write_model(folder / "m.onnx", graph, false), format::FileError);
  CHECK_FALSE(std::filesystem::exists(folder / "m.onnx"));
}

TEST_CASE("exporting a mapped file takes at most 64 MiB beside it" * doctest::skip(test::kSanitized)) {
  const test::TemporaryFolder folder;
  VitConfig config = vit_config("vit_base_patch16_224");
  config.depth = 4;
  const auto backend = make_backend("cpu", {.threads = 2});
  {
    const Model model{
        .config = config, .input = {}, .labels = {}, .params = ParamSet(*backend, config, DType::f32)};
    init_params(*backend, config, model.params, 1);
    save_model(folder / "a.vitrail", *backend, model);
  }
  const auto bytes = static_cast<std::int64_t>(std::filesystem::file_size(folder / "a.vitrail"));
  REQUIRE(bytes > std::int64_t{100} << 20);
  const std::int64_t before = test::resident_bytes();
  test::peak_resident_bytes();
  const MappedModel model = map_model(folder / "a.vitrail");
  const Parameters parameters(model);
  const VitParams weights = mapped_params(model);
  export_vit(folder / "a.onnx", {model.config, model.input, model.labels, parameters, weights}, *backend);
  const std::int64_t taken = test::peak_resident_bytes() - before;
  CHECK(taken >= bytes / 2);  // the mapping itself, else the measurement sees nothing
  CHECK(taken <= bytes + (std::int64_t{64} << 20));
}

}  // namespace
}  // namespace vitrail::onnx_export
