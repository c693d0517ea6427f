#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>

#include "engine/error.h"
#include "engine/evaluate.h"
#include "engine/import_model.h"
#include "tests/support/engine_foreign_weights.h"
#include "tests/support/tiny_vit.h"

namespace vitrail {
namespace {

using test::HostTensorMap;

Model random_model(Backend& backend, const VitConfig& config) {
  Model model{config, {}, {"a", "b", "c", "d", "e"}, ParamSet(backend, config, DType::f32)};
  model.input.size = config.img_size;
  model.input.channels = config.in_chans;
  model.input.mean = {0.1, 0.2, 0.3, 0.1};
  model.input.std = {0.4, 0.5, 0.6, 0.4};
  if (config.in_chans == 1) {  // the other three stand for nothing
    model.input.mean.fill(0.1);
    model.input.std.fill(0.4);
  }
  model.input.crop_pct = 0.8;
  test::randomize(backend, model.params, 7);
  return model;
}

VitConfig switches(const std::string& name) {
  for (const test::NamedConfig& named : test::switch_configs()) {
    if (named.name == name) return named.config;
  }
  FAIL("no such switches: " << name);
  return {};
}

WeightFile file_of(const ExportedWeights& exported) {
  WeightFile file;
  file.path = "exported";
  file.tensors = exported.tensors;
  file.metadata = exported.metadata;
  file.storage = exported.storage;
  return file;
}

HostTensorMap map_of(const ExportedWeights& exported) {
  HostTensorMap tensors;
  for (const format::TensorRecord& record : exported.tensors) {
    test::HostTensor& tensor = tensors[record.name];
    tensor.shape = record.shape;
    tensor.values.resize(record.bytes.size() / 4);
    std::memcpy(tensor.values.data(), record.bytes.data(), record.bytes.size());
  }
  return tensors;
}

void check_equal(const HostTensorMap& found, const HostTensorMap& expected) {
  for (const auto& [name, tensor] : expected) {
    const std::string& shown = name;
    CAPTURE(shown);
    REQUIRE(found.contains(name));
    CHECK(found.at(name).shape == tensor.shape);
    CHECK((found.at(name).values == tensor.values));
  }
  for (const auto& [name, tensor] : found)
    if (!expected.contains(name)) FAIL_CHECK("unexpected: " << name.c_str());
}

std::vector<float> logits(Backend& backend, const Model& model) {
  const VitConfig& c = model.config;
  std::vector<float> images(static_cast<std::size_t>(2 * c.in_chans * c.img_size * c.img_size));
  for (std::size_t i = 0; i < images.size(); ++i)
    images[i] = static_cast<float>(i % 23) / 11 - 1;
  return Classifier(backend, c, model.params, 2).logits(images);
}

}  // namespace

TEST_CASE("timm's layout, and back, changes nothing") {
  const auto backend = make_backend("cpu");
  std::vector<test::NamedConfig> all = test::switch_configs();
  // A table that could also be read as one of 4 × 4 patches and the class token.
  all.push_back({"registers in the table", test::tiny_config()});
  all.back().config.reg_tokens = 7;
  all.back().config.img_size = 12;
  for (const test::NamedConfig& named : all) {
    CAPTURE(named.name);
    VitConfig config = named.config;
    config.name = "custom";
    const Model model = random_model(*backend, config);
    const ExportedWeights exported = export_weights(model, *backend, Layout::timm);
    HostTensorMap expected = test::host_tensors(*backend, model.params);
    if (!config.head_bias) expected["head.bias"] = {{5}, std::vector<float>(5)};
    check_equal(map_of(exported), expected);

    WeightFile by_metadata = file_of(exported), by_document = file_of(exported);
    by_document.metadata.clear();
    by_document.config = test::datum(nlohmann::ordered_json::parse(exported.config_json));
    for (const WeightFile& file : {by_metadata, by_document}) {
      const ImportedModel back = import_model(file, *backend);
      CHECK((back.model.config == model.config));
      CHECK((back.model.input == model.input));
      CHECK(back.model.labels == model.labels);
      check_equal(test::host_tensors(*backend, back.model.params),
                  test::host_tensors(*backend, model.params));
    }
  }
}

TEST_CASE("transformers' layout has the names that its classes have") {
  const auto backend = make_backend("cpu");
  const Model vit = random_model(*backend, test::tiny_config());
  check_equal(map_of(export_weights(vit, *backend, Layout::hf)),
              test::as_hf_vit(test::host_tensors(*backend, vit.params), "vit."));
  const Model deit = random_model(*backend, switches("deit_distilled"));
  check_equal(map_of(export_weights(deit, *backend, Layout::hf)),
              test::as_hf_vit(test::host_tensors(*backend, deit.params), "deit."));
  const Model clip = random_model(*backend, switches("clip"));
  check_equal(map_of(export_weights(clip, *backend, Layout::hf)),
              test::as_hf_clip(test::host_tensors(*backend, clip.params)));
}

TEST_CASE("what comes back from transformers' layout computes the same") {
  const auto backend = make_backend("cpu");
  VitConfig one_head = test::tiny_config(), dinov2 = switches("dinov2_registers");
  one_head.reg_tokens = 1;
  dinov2.mlp_dim = 16;
  VitConfig plain_dinov2 = dinov2;
  plain_dinov2.reg_tokens = 0;
  plain_dinov2.no_embed_class = false;
  VitConfig deit3 = plain_dinov2;
  deit3.no_embed_class = true;
  VitConfig tanh = test::tiny_config();
  tanh.gelu = GeluKind::tanh;
  tanh.qkv_bias = false;
  for (const VitConfig& config : {test::tiny_config(), tanh, one_head, switches("deit_distilled"), dinov2,
                                  plain_dinov2, deit3, switches("clip"), switches("grey_one_block")}) {
    const Model model = random_model(*backend, config);
    const ExportedWeights exported = export_weights(model, *backend, Layout::hf);
    CAPTURE(exported.lines.front());
    WeightFile file = file_of(exported);
    file.config = test::datum(nlohmann::ordered_json::parse(exported.config_json));
    file.preprocessor = test::datum(nlohmann::ordered_json::parse(exported.preprocessor_json));
    const ImportedModel back = import_model(file, *backend);
    CHECK((logits(*backend, back.model) == logits(*backend, model)));
    CHECK((back.model.input == model.input));
    if (!config.pre_norm) CHECK(back.model.labels == model.labels);  // CLIP's outputs are no classes
    check_equal(map_of(export_weights(back.model, *backend, Layout::hf)), map_of(exported));
  }
}

TEST_CASE("a head that is the identity stays away, and is there again after import") {
  const auto backend = make_backend("cpu");
  VitConfig config = test::tiny_config();
  config.num_classes = config.embed_dim;
  config.head_bias = false;
  Model model = random_model(*backend, config);
  model.labels.clear();
  std::vector<float> identity(64);
  for (std::size_t i = 0; i < 8; ++i)
    identity[i * 9] = 1;
  backend->upload(model.params.find("head.weight")->view, identity.data(), 256);
  for (const Layout layout : {Layout::timm, Layout::hf}) {
    const ExportedWeights exported = export_weights(model, *backend, layout);
    CHECK(std::none_of(exported.tensors.begin(), exported.tensors.end(), [](const auto& tensor) {
      return tensor.name.starts_with("head") || tensor.name.starts_with("classifier");
    }));
    WeightFile file = file_of(exported);
    file.config = test::datum(nlohmann::ordered_json::parse(exported.config_json));
    ImportOptions options;
    options.normalization = "half";
    const ImportedModel back = import_model(file, *backend, options);
    check_equal(test::host_tensors(*backend, back.model.params), test::host_tensors(*backend, model.params));
  }
}

TEST_CASE("what a layout has no place for is named") {
  const auto backend = make_backend("cpu");
  VitConfig config = switches("gap_fc_norm");
  const Model gap = random_model(*backend, config);
  CHECK_THROWS_WITH_AS(
      export_weights(gap, *backend, Layout::hf),
      doctest::Contains(
          "ViT has no place for model.global_pool=avg, model.fc_norm=true, model.proj_bias=false"),
      ConfigError);
  config = test::tiny_config();
  config.patch_bias = false;
  CHECK_THROWS_WITH_AS(export_weights(random_model(*backend, config), *backend, Layout::timm),
                       doctest::Contains("model.patch_bias=false has no place there"), ConfigError);
}

}  // namespace vitrail
