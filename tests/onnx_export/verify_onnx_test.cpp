#include "onnx_export/verify_onnx.h"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>

#include "format/error.h"
#include "onnx_export/export_vit.h"
#include "tests/support/export_model.h"
#include "tests/support/read_file.h"
#include "tests/support/temporary_folder.h"

namespace vitrail::onnx_export {
namespace {

using format::FormatError;
using reference::ModelParts;

// An exported file of a few kilobytes, in memory.
struct SmallFile {
  test::TemporaryFolder folder;
  std::unique_ptr<Backend> backend = make_backend("cpu", {.threads = 1});
  std::unique_ptr<reference::Products> products = reference::plain_products();
  std::string bytes;

  SmallFile() {
    VitConfig config = test::tiny_config();
    config.depth = 1;
    export_vit(folder / "m.onnx", test::export_model(*backend, config), *backend);
    bytes = test::read_file(folder / "m.onnx");
  }
  OnnxReport verify(const std::string& file) const {
    const reference::Limits small{.memory = 64 << 20, .work = 1 << 26, .structure = 1 << 20};
    const ModelParts parts = ModelParts::of(std::as_bytes(std::span(file)), {}, small);
    return verify_onnx(parts, *products, small);
  }
  onnx::ModelProto message() const {
    onnx::ModelProto model;
    REQUIRE(model.ParseFromString(bytes));
    return model;
  }
  // After a change, with a hash that is right again, where the file can be taken apart at all.
  static std::string rehashed(onnx::ModelProto model) {
    const std::string before = model.SerializeAsString();
    for (onnx::StringStringEntryProto& entry : *model.mutable_metadata_props()) {
      if (entry.key() != kHashKey) continue;
      try {
        entry.set_value(ModelParts::of(std::as_bytes(std::span(before)), {}).content_hash(kHashKey));
      } catch (const FormatError&) {
      }
    }
    return model.SerializeAsString();
  }
};

TEST_CASE("an exported file of every switch proves itself") {
  const test::TemporaryFolder folder;
  const auto backend = make_backend("cpu", {.threads = 1});
  for (const test::NamedConfig& named : test::switch_configs()) {
    CAPTURE(named.name);
    export_vit(folder / "m.onnx", test::export_model(*backend, named.config), *backend);
    const OnnxReport report = verify_onnx(folder / "m.onnx", *backend);
    CHECK(report.hashed);
    CHECK(report.official);
    CHECK(report.opset == 17);
    CHECK(report.bytes == std::filesystem::file_size(folder / "m.onnx"));
    REQUIRE(report.deviation);
    CHECK_MESSAGE(report.deviation->within(), report.deviation->text());
  }
}

TEST_CASE("files of every profile, input, output and kind of numbers prove themselves, external data too") {
  const test::TemporaryFolder folder;
  const auto backend = make_backend("cpu", {.threads = 1});
  VitConfig config = test::tiny_config();
  config.embed_dim = 32;  // payloads that are streamed
  config.mlp_dim = 64;
  const Model model = test::export_model(*backend, config);
  std::vector<ExportOptions> all;
  for (const Profile profile : {Profile::portable, Profile::fixed_batch, Profile::ort, Profile::modern}) {
    for (const Numbers numbers : {Numbers::fp32, Numbers::fp16, Numbers::int8_dynamic, Numbers::int8_weights})
      all.push_back({.profile = profile, .numbers = numbers});
  }
  for (const Output output : {Output::probabilities, Output::features, Output::topk, Output::attention})
    all.push_back({.output = output});
  for (const SampleLayout layout : {SampleLayout::nhwc, SampleLayout::nchw})
    all.push_back({.input = InputKind::samples, .layout = layout});
  all.push_back({.profile = Profile::modern, .input = InputKind::samples, .any_size = true});
  all.push_back({.profile = Profile::fixed_batch, .batch = 3});
  all.push_back({.external_data = true});
  for (const ExportOptions& options : all) {
    CAPTURE(name_of(options.profile));
    CAPTURE(name_of(options.numbers));
    CAPTURE(name_of(options.output));
    export_vit(folder / "m.onnx", model, *backend, options);
    const OnnxReport report = verify_onnx(folder / "m.onnx", *backend);
    CHECK(report.hashed);
    CHECK(report.official == (report.opset <= 17));
    REQUIRE(report.deviation);
    CHECK_MESSAGE(report.deviation->within(), report.deviation->text());
  }
}

TEST_CASE("external data are looked for in the file's folder, and nowhere else") {
  const test::TemporaryFolder folder;
  const auto backend = make_backend("cpu", {.threads = 1});
  VitConfig config = test::tiny_config();
  config.embed_dim = 32;
  export_vit(folder / "m.onnx", test::export_model(*backend, config), *backend, {.external_data = true});
  const std::string whole = test::read_file(folder / "m.onnx");
  const auto refused = [&](const std::string& key, const std::string& value, const std::string& part) {
    onnx::ModelProto model;
    REQUIRE(model.ParseFromString(whole));
    for (onnx::TensorProto& tensor : *model.mutable_graph()->mutable_initializer()) {
      for (onnx::StringStringEntryProto& entry : *tensor.mutable_external_data()) {
        if (entry.key() == key) entry.set_value(value);
      }
    }
    std::ofstream(folder / "m.onnx", std::ios::binary) << model.SerializeAsString();
    CHECK_THROWS_WITH_AS(verify_onnx(folder / "m.onnx", *backend), doctest::Contains(part.c_str()),
                         FormatError);
  };
  refused("location", "/etc/passwd", "in the folder of the file");
  refused("location", "../m.onnx.data", "in the folder of the file");
  refused("location", ".", "in the folder of the file");
  refused("location", "nothing.data", "cannot be read");
  refused("offset", "18446744073709551615", "behind the end");
  refused("offset", "-1", "expected a number of bytes");
  refused("length", "18446744073709551615", "behind the end");
  refused("length", "12", "expected");
  std::filesystem::create_symlink("/etc/passwd", folder / "link");
  refused("location", "link", "in the folder of the file");
}

TEST_CASE("a file cut off anywhere is refused") {
  const SmallFile file;
  for (std::size_t size = 0; size < file.bytes.size(); ++size) {
    CAPTURE(size);
    CHECK_THROWS_AS(file.verify(file.bytes.substr(0, size)), FormatError);
  }
}

TEST_CASE("every flipped bit is found, of structure, metadata and weights") {
  const SmallFile file;
  REQUIRE(file.verify(file.bytes).deviation->within());
  std::string damaged = file.bytes;
  // Protobuf reads 64 bits of a number of ten bytes, which hold 70: the last six may be anything.
  const std::string message = file.message().SerializeAsString();
  const auto says_the_same = [&] {
    onnx::ModelProto model;
    return model.ParseFromString(damaged) && model.SerializeAsString() == message;
  };
  int idle = 0;
  // All eight bits of every 7th byte: 7 has no divisor in common with the sizes of elements.
  for (std::size_t at = 0; at < damaged.size(); at += 7) {
    for (int bit = 0; bit < 8; ++bit) {
      CAPTURE(at);
      CAPTURE(bit);
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      if (says_the_same()) {
        ++idle;
      } else {
        CHECK_THROWS_AS(file.verify(damaged), FormatError);
      }
      damaged[at] = file.bytes[at];
    }
  }
  CHECK(idle <= 24);
}

TEST_CASE("a weight that was changed on purpose, hash and all, is found by the self-test") {
  const SmallFile file;
  int found = 0, weights = 0;
  const onnx::ModelProto whole = file.message();
  for (int i = 0; i < whole.graph().initializer_size(); ++i) {
    if (whole.graph().initializer(i).data_type() != onnx::TensorProto_DataType_FLOAT) continue;
    onnx::ModelProto model = whole;
    std::string& raw = *model.mutable_graph()->mutable_initializer(i)->mutable_raw_data();
    raw[3] = static_cast<char>(raw[3] ^ 0x04);  // its exponent: larger or smaller by 2^8
    const OnnxReport report = file.verify(SmallFile::rehashed(model));
    ++weights;
    if (report.deviation->within()) continue;
    ++found;
    CHECK(report.deviation->output == "logits");
    CHECK(report.deviation->distance() > report.deviation->limit);
  }
  CHECK(weights > 15);
  // The key's bias adds the same to all scores of a row; else every first weight reaches the logits.
  CHECK(found >= weights - 1);
}

TEST_CASE("the order in which another program writes the fields changes nothing") {
  const SmallFile file;
  onnx::ModelProto model = file.message();
  onnx::ModelProto only_graph;
  only_graph.mutable_graph()->Swap(model.mutable_graph());
  model.clear_graph();
  CHECK(file.verify(only_graph.SerializeAsString() + model.SerializeAsString()).hashed);
}

TEST_CASE("another program's file without self-test and hash is checked, and says so") {
  const SmallFile file;
  onnx::ModelProto model = file.message();
  onnx::ModelProto bare = model;
  bare.clear_metadata_props();
  CHECK_THROWS_AS(file.verify(bare.SerializeAsString()), FormatError);  // no file of ours is without
  bare.set_producer_name("somebody");
  const OnnxReport report = file.verify(bare.SerializeAsString());
  CHECK_FALSE(report.hashed);
  CHECK_FALSE(report.deviation);
  // One of the two alone is damage.
  for (int i = 0; i < model.metadata_props_size(); ++i) {
    const std::string key = model.metadata_props(i).key();
    if (key != kHashKey && key != kSelfTestKey) continue;
    onnx::ModelProto half = model;
    half.mutable_metadata_props()->DeleteSubrange(i, 1);
    CHECK_THROWS_AS(file.verify(half.SerializeAsString()), FormatError);
  }
}

TEST_CASE("weights that are made when they are asked for give the same numbers and the same hash") {
  const SmallFile file;
  const onnx::ModelProto whole = file.message();
  onnx::ModelProto bare = whole;
  bare.mutable_graph()->clear_initializer();
  ModelParts parts = ModelParts::of(bare);
  for (const onnx::TensorProto& tensor : whole.graph().initializer()) {
    const auto bytes = std::as_bytes(std::span(tensor.raw_data()));
    parts.append({.name = tensor.name(),
                  .type = static_cast<reference::Type>(tensor.data_type()),
                  .dims = {tensor.dims().begin(), tensor.dims().end()},
                  .bytes = {},
                  .produce = [bytes](const auto& sink) {
                    sink(bytes.first(bytes.size() / 2));
                    sink(bytes.subspan(bytes.size() / 2));
                  }});
  }
  CHECK(parts.content_hash(kHashKey) == *parts.metadata(kHashKey));
  const reference::Graph graph(parts);
  CHECK(run_self_test(SelfTest::parse(*parts.metadata(kSelfTestKey)), graph, *file.products).within());
}

// A change, and part of the message that it must lead to.
struct Case {
  const char* message;
  void (*change)(onnx::ModelProto& model);
};

onnx::NodeProto& node(onnx::ModelProto& model, const std::string& op) {
  for (onnx::NodeProto& node : *model.mutable_graph()->mutable_node()) {
    if (node.op_type() == op) return node;
  }
  FAIL("no node is a " << op);
  return *model.mutable_graph()->mutable_node(0);
}

const Case kCases[] = {
    {"computes no such operator", [](onnx::ModelProto& m) { node(m, "Softmax").set_op_type("Gather"); }},
    {"(com.example Softmax)", [](onnx::ModelProto& m) { node(m, "Softmax").set_domain("com.example"); }},
    {"asks for 'nothing', which nothing before it computes",
     [](onnx::ModelProto& m) { node(m, "Softmax").set_input(0, "nothing"); }},
    {"which nothing before it computes",  // a cycle
     [](onnx::ModelProto& m) {
       node(m, "Conv").set_input(0, m.graph().node(m.graph().node_size() - 2).output(0));
     }},
    {"is given twice",
     [](onnx::ModelProto& m) { node(m, "Softmax").set_output(0, m.graph().node(0).output(0)); }},
    {"attribute 'axis' is of another type",
     [](onnx::ModelProto& m) {
       node(m, "Softmax").mutable_attribute(0)->set_type(onnx::AttributeProto_AttributeType_FLOAT);
     }},
    {"axis 9 of a tensor", [](onnx::ModelProto& m) { node(m, "Softmax").mutable_attribute(0)->set_i(9); }},
    {"is none of its operator",
     [](onnx::ModelProto& m) { node(m, "Softmax").mutable_attribute(0)->set_name("axes"); }},
    {"expected 2 to 2 inputs, found 1",
     [](onnx::ModelProto& m) { node(m, "MatMul").mutable_input()->RemoveLast(); }},
    {"the file declares float32",
     [](onnx::ModelProto& m) {
       auto& shape =
           *m.mutable_graph()->mutable_value_info(0)->mutable_type()->mutable_tensor_type()->mutable_shape();
       shape.mutable_dim(1)->set_dim_value(77);
     }},
    {"expected opset 13 to 24, found 99",
     [](onnx::ModelProto& m) { m.mutable_opset_import(0)->set_version(99); }},
    {"expected an IR version", [](onnx::ModelProto& m) { m.set_ir_version(3); }},
    {"bytes for float32",
     [](onnx::ModelProto& m) { m.mutable_graph()->mutable_initializer(0)->mutable_raw_data()->pop_back(); }},
    {"found element type 16",
     [](onnx::ModelProto& m) { m.mutable_graph()->mutable_initializer(0)->set_data_type(16); }},
    {"expected extents from 1",
     [](onnx::ModelProto& m) { m.mutable_graph()->mutable_initializer(0)->set_dims(0, -4); }},
    {"without functions", [](onnx::ModelProto& m) { m.add_functions()->set_name("f"); }},
    {"the self-test knows an output 'logits', the graph has none",
     [](onnx::ModelProto& m) {
       m.mutable_graph()->mutable_output(0)->set_name("classes");
       m.mutable_graph()->mutable_node(m.graph().node_size() - 1)->set_output(0, "classes");
     }},
    {"expects a graph whose one input is 'images'",
     [](onnx::ModelProto& m) {
       m.mutable_graph()->mutable_input(0)->set_name("pictures");
       node(m, "Conv").set_input(0, "pictures");
     }},
};

TEST_CASE("what is wrong is named") {
  const SmallFile file;
  for (const Case& wrong : kCases) {
    onnx::ModelProto model = file.message();
    wrong.change(model);
    std::string message = "nothing was refused";
    try {
      file.verify(SmallFile::rehashed(model));
    } catch (const FormatError& error) {
      message = error.what();
    }
    CAPTURE(message);
    CAPTURE(wrong.message);
    CHECK((message.find(wrong.message) != std::string::npos));
  }
}

}  // namespace
}  // namespace vitrail::onnx_export
