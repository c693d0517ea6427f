// The structure of the exported graph. That it computes the same numbers as the engine is shown by
// tests/oracles/check_onnx.py in onnxruntime.

#include "onnx_export/vit_graph.h"

#include <doctest/doctest.h>
#include <onnx/checker.h>
#include <onnx/shape_inference/implementation.h>

#include <cstring>
#include <map>
#include <set>

#include "onnx_export/ops.h"
#include "tests/support/export_model.h"

namespace vitrail::onnx_export {
namespace {

const std::set<std::string> kAllowedOps = {"Add",      "Conv",  "Div",     "Erf",        "LayerNormalization",
                                           "MatMul",   "Mul",   "Pad",     "ReduceMean", "Reshape",
                                           "Sigmoid",  "Slice", "Softmax", "Split",      "Tanh",
                                           "Transpose"};

struct Exported {
  std::unique_ptr<Backend> backend = make_backend("cpu", {.threads = 1});
  Model model;
  Graph graph;
  onnx::ModelProto whole;
  explicit Exported(const VitConfig& config, const ExportOptions& options = {}, DType dtype = DType::f32)
      : model(test::export_model(*backend, config, dtype)),
        graph(build_vit(model, *backend, options)),
        whole(graph.complete()) {}
  const onnx::GraphProto& proto() const { return whole.graph(); }

  std::vector<float> initializer(const std::string& name) const {
    for (const onnx::TensorProto& tensor : proto().initializer()) {
      if (tensor.name() != name) continue;
      std::vector<float> elements(tensor.raw_data().size() / sizeof(float));
      std::memcpy(elements.data(), tensor.raw_data().data(), tensor.raw_data().size());
      return elements;
    }
    FAIL("no initialiser is called " << name);
    return {};
  }

  template <class T = float>
  std::vector<T> param(const std::string& name) const {
    const ParamTensor* tensor = model.params.find(name);
    REQUIRE(tensor != nullptr);
    std::vector<T> elements(static_cast<std::size_t>(tensor->view.shape.elements()));
    backend->download(elements.data(), tensor->view, elements.size() * sizeof(T));
    return elements;
  }
};

// By tensor; -1 for an open extent. (Behind a Reshape to -1 inference cannot know that it is "batch" again.)
std::map<std::string, Dims> shapes_of(const google::protobuf::RepeatedPtrField<onnx::ValueInfoProto>& infos) {
  std::map<std::string, Dims> shapes;
  for (const onnx::ValueInfoProto& info : infos) {
    Dims& dims = shapes[info.name()];
    for (const auto& dim : info.type().tensor_type().shape().dim()) {
      dims.push_back(dim.has_dim_value() ? dim.dim_value() : -1);
    }
  }
  return shapes;
}

struct NamedOptions {
  std::string name;
  ExportOptions options;
};

// Every option of the graph, each profile at the opset it has unless told otherwise.
std::vector<NamedOptions> option_sets() {
  std::vector<NamedOptions> all;
  for (const Profile profile : {Profile::portable, Profile::fixed_batch, Profile::ort, Profile::modern}) {
    const std::string name(name_of(profile));
    all.push_back({name, {.profile = profile}});
    all.push_back({name + " fp16", {.profile = profile, .numbers = Numbers::fp16}});
    all.push_back({name + " int8", {.profile = profile, .numbers = Numbers::int8_dynamic}});
    all.push_back({name + " int8 weights", {.profile = profile, .numbers = Numbers::int8_weights}});
    for (const Output output : {Output::probabilities, Output::features, Output::topk, Output::attention})
      all.push_back({name + " " + std::string(name_of(output)), {.profile = profile, .output = output}});
    all.push_back({name + " batch 2, bytes", {.profile = profile, .batch = 2, .input = InputKind::samples}});
  }
  all.push_back({"opset 18", {.opset = 18}});
  all.push_back({"modern 20", {.profile = Profile::modern, .opset = 20}});
  all.push_back({"modern 24", {.profile = Profile::modern, .opset = 24}});
  all.push_back({"any size", {.profile = Profile::modern, .input = InputKind::samples, .any_size = true}});
  return all;
}

TEST_CASE("the official checker accepts every switch, and infers the shapes that we wrote") {
  for (const test::NamedConfig& named : test::switch_configs()) {
    for (const NamedOptions& chosen : option_sets()) {
      if (opset_of(chosen.options) > 17) continue;  // tests/oracles/check_onnx.py asks a newer checker
      CAPTURE(named.name);
      CAPTURE(chosen.name);
      const Exported exported(named.config, chosen.options);
      CHECK_NOTHROW(onnx::checker::check_model(exported.whole));
      CHECK_NOTHROW(onnx::checker::check_model(exported.graph.skeleton()));
      if (chosen.options.profile == Profile::ort) continue;  // inference knows no com.microsoft
      onnx::ModelProto bare = exported.whole;
      bare.mutable_graph()->clear_value_info();
      const onnx::ShapeInferenceOptions strict(true, 1, true);
      CHECK_NOTHROW(onnx::shape_inference::InferShapes(bare, onnx::OpSchemaRegistry::Instance(), strict));
      CHECK(shapes_of(bare.graph().value_info()) == shapes_of(exported.proto().value_info()));
      CHECK(shapes_of(bare.graph().output()) == shapes_of(exported.proto().output()));
    }
  }
}

unsigned bit_of(Profile profile) {
  return 1u << static_cast<unsigned>(profile);
}

TEST_CASE("only operators that are listed for the profile, of at most four axes") {
  std::set<const Op*> emitted;
  for (const test::NamedConfig& named : test::switch_configs()) {
    for (const NamedOptions& chosen : option_sets()) {
      CAPTURE(named.name);
      CAPTURE(chosen.name);
      const Exported exported(named.config, chosen.options);
      for (const onnx::NodeProto& node : exported.proto().node()) {
        CAPTURE(node.op_type());
        const Op* op = find_op(node.domain(), node.op_type());
        REQUIRE(op != nullptr);
        CHECK((op->use & bit_of(chosen.options.profile)) != 0);
        emitted.insert(op);
      }
      for (const onnx::ValueInfoProto& info : exported.proto().value_info())
        CHECK(info.type().tensor_type().shape().dim_size() <= 4);
    }
  }
  VitConfig unbiased = test::tiny_config();
  unbiased.proj_bias = false;
  const Exported exported(unbiased, {.profile = Profile::ort});
  CHECK(exported.graph.count("Gelu") == unbiased.depth);
  emitted.insert(find_op(kMicrosoft, "Gelu"));
  emitted.insert(find_op("", "QuantizeLinear"));  // of int8_static, which needs ranges
  CHECK(emitted.size() == ops().size());
}

TEST_CASE("a portable graph holds what every runtime takes, and nothing that depends on shapes") {
  for (const test::NamedConfig& named : test::switch_configs()) {
    CAPTURE(named.name);
    const Exported exported(named.config);
    for (const onnx::NodeProto& node : exported.proto().node())
      CHECK(kAllowedOps.count(node.op_type()) == 1);
  }
}

TEST_CASE("a static graph leaves no extent open and pads nothing") {
  for (const test::NamedConfig& named : test::switch_configs()) {
    CAPTURE(named.name);
    const Exported exported(named.config, {.profile = Profile::fixed_batch, .batch = 3});
    CHECK(exported.graph.count("Pad") == 0);
    for (const auto& infos :
         {exported.proto().input(), exported.proto().value_info(), exported.proto().output()}) {
      for (const auto& shape : shapes_of(infos)) {
        CAPTURE(shape.first);
        for (const std::int64_t extent : shape.second)
          CHECK(extent > 0);
      }
    }
    for (const onnx::TensorProto& tensor : exported.proto().initializer()) {
      if (!tensor.name().ends_with(".shape")) continue;
      std::vector<std::int64_t> shape(tensor.raw_data().size() / 8);
      std::memcpy(shape.data(), tensor.raw_data().data(), tensor.raw_data().size());
      CHECK(shape[0] == 3);
    }
  }
}

TEST_CASE("every tensor is described and every initialiser is used") {
  for (const test::NamedConfig& named : test::switch_configs()) {
    CAPTURE(named.name);
    const Exported exported(named.config);
    std::set<std::string> made, used, described, constants;
    for (const onnx::NodeProto& node : exported.proto().node()) {
      made.insert(node.output().begin(), node.output().end());
      used.insert(node.input().begin(), node.input().end());
    }
    for (const onnx::ValueInfoProto& info : exported.proto().value_info())
      described.insert(info.name());
    for (const onnx::ValueInfoProto& info : exported.proto().output())
      described.insert(info.name());
    CHECK(made == described);
    for (const onnx::TensorProto& tensor : exported.proto().initializer())
      constants.insert(tensor.name());
    for (const std::string& name : constants) {
      CAPTURE(name);
      CHECK(used.count(name) == 1);
    }
    CHECK(exported.proto().input_size() == 1);  // initialisers are no inputs
  }
}

TEST_CASE("how many nodes twelve blocks take") {
  VitConfig config = test::tiny_config();
  config.depth = 12;
  const auto nodes = [&](const ExportOptions& options) { return Exported(config, options).graph.nodes(); };
  // 30 a block; 5 before (Conv, Reshape, Transpose, Pad, Add), 2 Slices in the last block, and 4 behind
  // (norm, Reshape, MatMul, Add).
  CHECK(nodes({}) == 371);
  CHECK(nodes({.profile = Profile::fixed_batch}) == 371);
  // MatMul, Split, MultiHeadAttention, MatMul, SkipLayerNormalization, MatMul, BiasGelu, MatMul,
  // SkipLayerNormalization; 6 before, 2 Slices, 3 behind.
  CHECK(nodes({.profile = Profile::ort}) == 119);
  CHECK(nodes({.profile = Profile::modern}) == 191);  // 15 a block
  CHECK(nodes({.numbers = Numbers::fp16}) == 443);    // 6 Casts a block
  CHECK(nodes({.numbers = Numbers::int8_weights}) == 419);
  CHECK(nodes({.numbers = Numbers::int8_dynamic}) == 563);
}

TEST_CASE("names are timm's") {
  const Exported exported(test::tiny_config());
  std::set<std::string> nodes;
  for (const onnx::NodeProto& node : exported.proto().node())
    nodes.insert(node.name());
  for (const char* name :
       {"patch_embed/proj/Conv", "blocks.0/norm1/LayerNormalization", "blocks.0/attn/qkv/MatMul",
        "blocks.1/mlp/fc2/Add", "norm/LayerNormalization", "head/MatMul"}) {
    CAPTURE(name);
    CHECK(nodes.count(name) == 1);
  }
  CHECK(exported.initializer("blocks.0.norm1.weight") == exported.param("blocks.0.norm1.weight"));
  CHECK(exported.initializer("blocks.1.attn.qkv.bias") == exported.param("blocks.1.attn.qkv.bias"));
}

TEST_CASE("matrices are transposed, with LayerScale folded in") {
  VitConfig config = test::tiny_config();
  config.layer_scale = true;
  config.mlp_dim = 40;  // more than one tile of the transposition
  const Exported exported(config);
  const std::size_t dim = 8, hidden = 40;
  const std::vector<float> gamma = exported.param("blocks.1.ls2.gamma");
  const std::vector<float> fc1 = exported.param("blocks.1.mlp.fc1.weight");  // (hidden, dim)
  const std::vector<float> fc2 = exported.param("blocks.1.mlp.fc2.weight");  // (dim, hidden)
  const std::vector<float> bias = exported.param("blocks.1.mlp.fc2.bias");
  const std::vector<float> fc1_t = exported.initializer("blocks.1.mlp.fc1.weight.T");
  const std::vector<float> fc2_t = exported.initializer("blocks.1.mlp.fc2.weight.T.ls2");
  const std::vector<float> folded = exported.initializer("blocks.1.mlp.fc2.bias.ls2");
  for (std::size_t h = 0; h < hidden; ++h) {
    for (std::size_t d = 0; d < dim; ++d) {
      CHECK(fc1_t[d * hidden + h] == fc1[h * dim + d]);
      CHECK(fc2_t[h * dim + d] == gamma[d] * fc2[d * hidden + h]);
    }
  }
  for (std::size_t d = 0; d < dim; ++d)
    CHECK(folded[d] == gamma[d] * bias[d]);
}

TEST_CASE("prefix tokens and position embedding are one constant") {
  const std::size_t dim = 8;
  VitConfig config = test::tiny_config();  // 4 patches
  config.reg_tokens = 2;
  for (const bool no_embed_class : {false, true}) {
    CAPTURE(no_embed_class);
    config.no_embed_class = no_embed_class;
    const Exported exported(config);
    const std::vector<float> rows = exported.initializer("pos_embed.with_prefix");
    REQUIRE(rows.size() == 7 * dim);
    const std::vector<float> cls = exported.param("cls_token"), reg = exported.param("reg_token");
    const std::vector<float> pos = exported.param("pos_embed");
    for (std::size_t d = 0; d < dim; ++d) {
      CHECK(rows[d] == cls[d] + (no_embed_class ? 0 : pos[d]));
      CHECK(rows[2 * dim + d] == reg[dim + d] + (no_embed_class ? 0 : pos[2 * dim + d]));
      CHECK(rows[6 * dim + d] == pos[pos.size() - dim + d]);
    }
  }
}

TEST_CASE("the constants of attention and of each GELU") {
  VitConfig config = test::tiny_config();  // heads of 4
  CHECK(Exported(config).initializer("attn.scale") == std::vector<float>{0.5f});
  CHECK(Exported(config).initializer("gelu.sqrt2") == std::vector<float>{1.41421356f});
  config.gelu = GeluKind::tanh;
  CHECK(Exported(config).initializer("gelu.root")[0] == doctest::Approx(0.79788456).epsilon(1e-7));
  CHECK(Exported(config).initializer("gelu.cubic") == std::vector<float>{0.044715f});
  config.gelu = GeluKind::quick;
  CHECK(Exported(config).initializer("gelu.quick") == std::vector<float>{1.702f});
}

TEST_CASE("weights in f64 become f32") {
  const Exported exported(test::tiny_config(), {}, DType::f64);
  const std::vector<double> wide = exported.param<double>("norm.bias");
  CHECK(exported.initializer("norm.bias") == std::vector<float>(wide.begin(), wide.end()));
}

}  // namespace
}  // namespace vitrail::onnx_export
