// Each family's names: a model of ours under them comes back to the last bit.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>

#include "engine/error.h"
#include "engine/import_model.h"
#include "tests/support/engine_foreign_weights.h"
#include "tests/support/tiny_vit.h"

namespace vitrail {
namespace {

using test::HostTensorMap;

struct Case {
  const char* name;
  const char* named_switches;  // of test::switch_configs()
  const char* family;
  std::function<HostTensorMap(const HostTensorMap&)> rename;
  nlohmann::ordered_json config = {};
  ImportOptions options = {};
};

nlohmann::ordered_json hf_config(double eps, const char* act = "gelu") {
  return {{"layer_norm_eps", eps}, {"num_attention_heads", 2}, {"hidden_act", act}, {"image_size", 8}};
}

ImportOptions told_pattern() {
  ImportOptions options;
  options.num_heads = 2;
  options.normalization = "half";
  return options;
}

ImportOptions told_of_clip() {
  ImportOptions options = told_pattern();
  options.gelu = GeluKind::quick;
  return options;
}

ImportOptions told_of_gap() {
  ImportOptions options = told_pattern();
  options.gelu = GeluKind::erf;
  return options;
}

std::vector<Case> cases() {
  const auto same = [](const HostTensorMap& ours) { return ours; };
  const auto under = [](const char* prefix) {
    return [prefix](const HostTensorMap& ours) { return test::with_prefix(ours, prefix); };
  };
  return {
      {"timm", "plain", "timm ViT", same, {}, told_pattern()},
      {"timm inside transformers", "plain", "timm ViT", under("timm_model."), {}, told_pattern()},
      {"timm, distilled", "deit_distilled", "timm DeiT, distilled", same, {}, told_pattern()},
      {"timm DeiT III", "deit3", "DeiT III", same, {}, told_pattern()},
      {"timm DINOv2", "dinov2_registers", "DINOv2 with registers", same, {}, told_pattern()},
      {"timm CLIP", "clip", "timm CLIP vision tower", same, {}, told_of_clip()},
      {"OpenCLIP with timm",
       "clip",
       "OpenCLIP with a timm tower",
       [](const HostTensorMap& ours) {
         HostTensorMap theirs = test::with_prefix(ours, "visual.trunk.");
         auto head = theirs.extract("visual.trunk.head.weight");
         head.key() = "visual.head.proj.weight";
         theirs.insert(std::move(head));
         theirs["logit_scale"] = {{}, {1}};
         theirs["text.token_embedding.weight"] = {{2, 3}, std::vector<float>(6)};
         return theirs;
       },
       {},
       told_of_clip()},
      {"timm, average pooled", "gap", "timm ViT without class token", same, {}, told_of_gap()},
      {"HF ViT", "plain", "Hugging Face ViT",
       [](const HostTensorMap& ours) {
         HostTensorMap theirs = test::as_hf_vit(ours, "vit.");
         theirs["vit.pooler.dense.weight"] = {{8, 8}, std::vector<float>(64)};
         theirs["vit.pooler.dense.bias"] = {{8}, std::vector<float>(8)};
         return theirs;
       },
       hf_config(1e-12), told_pattern()},
      {"HF ViT from 5 on", "plain", "Hugging Face ViT",
       [](const HostTensorMap& ours) { return test::as_hf5_vit(ours, "vit."); }, hf_config(1e-12),
       told_pattern()},
      {"HF DeiT", "deit_distilled", "Hugging Face DeiT, distilled",
       [](const HostTensorMap& ours) { return test::as_hf_vit(ours, "deit."); }, hf_config(1e-12)},
      {"HF CLIP",
       "clip",
       "Hugging Face CLIP vision tower",
       test::as_hf_clip,
       {{"model_type", "clip"}, {"vision_config", hf_config(1e-5, "quick_gelu")}}},
      {"OpenAI CLIP",
       "clip",
       "OpenAI's CLIP or OpenCLIP, vision tower",
       [](const HostTensorMap& ours) {
         HostTensorMap theirs = test::as_openai_clip(ours, "visual.");
         theirs["transformer.resblocks.0.ln_1.weight"] = {{4}, std::vector<float>(4)};
         theirs["positional_embedding"] = {{7, 4}, std::vector<float>(28)};
         return theirs;
       },
       {},
       told_of_clip()},
      {"the vision tower of OpenAI's CLIP alone",
       "clip",
       "OpenAI's CLIP or OpenCLIP, vision tower",
       [](const HostTensorMap& ours) { return test::as_openai_clip(ours, ""); },
       {},
       told_of_clip()},
      {"JAX", "plain", "JAX ViT", [](const HostTensorMap& ours) { return test::as_jax(ours, 2, false); }},
      {"JAX, big_vision", "plain", "JAX ViT",
       [](const HostTensorMap& ours) { return test::with_prefix(test::as_jax(ours, 2, true), "params/"); }},
  };
}

VitConfig named_switches(const std::string& name) {
  for (const test::NamedConfig& named : test::switch_configs()) {
    if (named.name == name) return named.config;
  }
  FAIL("no such switches: " << name);
  return {};
}

ParamSet random_params(Backend& backend, const VitConfig& config) {
  ParamSet params(backend, config, DType::f32);
  test::randomize(backend, params, 5);
  return params;
}

void check_same(const HostTensorMap& found, const HostTensorMap& expected) {
  CHECK(found.size() == expected.size());
  for (const auto& [name, tensor] : expected) {
    const std::string& shown = name;
    CAPTURE(shown);
    REQUIRE(found.contains(name));
    CHECK((found.at(name).values == tensor.values));
  }
}

bool any_contains(const std::vector<std::string>& lines, const std::string& text) {
  return std::any_of(lines.begin(), lines.end(),
                     [&](const std::string& line) { return line.find(text) != std::string::npos; });
}

}  // namespace

TEST_CASE("each family is recognised by its names, and every element lands in its place") {
  const auto backend = make_backend("cpu");
  for (const Case& c : cases()) {
    CAPTURE(c.name);
    VitConfig config = named_switches(c.named_switches);
    const ParamSet params = random_params(*backend, config);
    const HostTensorMap ours = test::host_tensors(*backend, params), theirs = c.rename(ours);
    WeightFile file = test::weight_file(theirs);
    if (!c.config.empty()) file.config = test::datum(c.config);
    const ImportedModel model = import_model(file, *backend, c.options);
    CHECK(model.import.family == c.family);
    check_same(test::host_tensors(*backend, model.model.params), ours);

    VitConfig found = model.import.config;
    config.name = found.name;
    config.init_values = found.init_values;
    if (std::string(c.name).starts_with("HF") && !config.pre_norm) config.norm_eps = 1e-12;
    if (std::string(c.name).starts_with("JAX")) config.gelu = GeluKind::tanh;
    CHECK((found == config));
    CHECK((recognise(file, c.options).lines == model.import.lines));
  }
}

TEST_CASE("the originals' own names: gamma_1, register_tokens, chunks of blocks") {
  const auto backend = make_backend("cpu");
  const ParamSet params = random_params(*backend, named_switches("deit3"));
  const HostTensorMap ours = test::host_tensors(*backend, params);
  HostTensorMap theirs;
  for (const auto& [name, tensor] : ours) {
    std::string other = name;
    if (const auto at = name.find("ls1.gamma"); at != std::string::npos)
      other = name.substr(0, at) + "gamma_1";
    if (const auto at = name.find("ls2.gamma"); at != std::string::npos)
      other = name.substr(0, at) + "gamma_2";
    if (name.starts_with("blocks.")) other = "blocks.0" + other.substr(6);
    theirs[other] = tensor;
  }
  const ImportedModel model = import_model(test::weight_file(theirs), *backend, told_pattern());
  CHECK(model.import.family == "DeiT III");
  check_same(test::host_tensors(*backend, model.model.params), ours);
}

TEST_CASE("a position of the class token beside registers goes into the token") {
  const auto backend = make_backend("cpu");
  const VitConfig config = named_switches("dinov2_registers");
  const ParamSet params = random_params(*backend, config);
  const HostTensorMap ours = test::host_tensors(*backend, params);
  HostTensorMap split = ours;
  test::HostTensor &token = split.at("cls_token"), &rows = split.at("pos_embed");
  std::vector<float> position(static_cast<std::size_t>(config.embed_dim));
  for (std::size_t i = 0; i < position.size(); ++i) {
    position[i] = 0.25F * static_cast<float>(i) - 1;
    token.values[i] -= position[i];
  }
  rows.values.insert(rows.values.begin(), position.begin(), position.end());
  ++rows.shape[1];
  HostTensorMap original = split;
  auto registers = original.extract("reg_token");
  registers.key() = "register_tokens";
  original.insert(std::move(registers));
  original["mask_token"] = {{1, 8}, std::vector<float>(8)};
  for (const HostTensorMap& theirs : {test::as_hf_dinov2(split, "dinov2_with_registers."), original}) {
    WeightFile file = test::weight_file(theirs);
    file.config = test::datum(hf_config(1e-6));
    const ImportedModel model = import_model(file, *backend);
    CHECK(model.import.config.no_embed_class);
    const HostTensorMap found = test::host_tensors(*backend, model.model.params);
    CHECK((found.at("pos_embed").values == ours.at("pos_embed").values));
    for (std::size_t i = 0; i < position.size(); ++i) {
      CHECK(found.at("cls_token").values[i] ==
            doctest::Approx(double(ours.at("cls_token").values[i])).epsilon(1e-6));
    }
  }
}

TEST_CASE("a DeiT of Hugging Face with one head: its second token is a register") {
  const auto backend = make_backend("cpu");
  VitConfig config = test::tiny_config();
  config.reg_tokens = 1;
  const ParamSet params = random_params(*backend, config);
  const HostTensorMap ours = test::host_tensors(*backend, params);
  HostTensorMap theirs = test::as_hf_vit(ours, "deit.");
  auto token = theirs.extract("deit.embeddings.register_tokens");
  token.key() = "deit.embeddings.distillation_token";
  theirs.insert(std::move(token));
  WeightFile file = test::weight_file(theirs);
  file.config = test::datum(hf_config(1e-12));
  const ImportedModel model = import_model(file, *backend);
  CHECK(model.import.family == "Hugging Face DeiT");
  CHECK_FALSE(model.import.config.no_embed_class);
  check_same(test::host_tensors(*backend, model.model.params), ours);
}

TEST_CASE("a file without a head gives its features; what pre-training leaves behind is named") {
  const auto backend = make_backend("cpu");
  const ParamSet params = random_params(*backend, test::tiny_config());
  HostTensorMap ours = test::host_tensors(*backend, params);
  ours.erase("head.weight");
  ours.erase("head.bias");
  HostTensorMap theirs = ours;
  theirs["mask_token"] = {{1, 1, 4}, std::vector<float>(4)};
  theirs["decoder_pos_embed"] = {{1, 5, 4}, std::vector<float>(20)};
  theirs["decoder_blocks.0.norm1.weight"] = {{4}, std::vector<float>(4)};
  ImportOptions options;
  options.num_heads = 2;
  const ImportedModel model = import_model(test::weight_file(theirs), *backend, options);
  CHECK(model.import.family == "MAE");
  CHECK(model.import.input.mean[0] == 0.485);
  CHECK(model.import.config.num_classes == 8);
  CHECK(any_contains(model.import.lines, "left out: the decoder of pre-training (2 tensors)"));
  CHECK(any_contains(model.import.lines, "left out: the mask token of pre-training (1 tensor)"));
  CHECK(any_contains(model.import.lines, "no head in the file"));
  HostTensorMap found = test::host_tensors(*backend, model.model.params);
  const std::vector<float> head = found.at("head.weight").values;
  for (std::size_t i = 0; i < head.size(); ++i)
    CHECK(head[i] == (i % 9 == 0 ? 1 : 0));
  found.erase("head.weight");
  check_same(found, ours);
}

TEST_CASE("pre_logits goes, and the head that reads it with it") {
  const auto backend = make_backend("cpu");
  const ParamSet params = random_params(*backend, test::tiny_config());
  HostTensorMap theirs = test::as_jax(test::host_tensors(*backend, params), 2, false);
  theirs["pre_logits/kernel"] = {{8, 8}, std::vector<float>(64)};
  theirs["pre_logits/bias"] = {{8}, std::vector<float>(8)};
  const Import import = recognise(test::weight_file(theirs));
  CHECK(import.config.num_classes == 8);
  CHECK_FALSE(import.config.head_bias);
  CHECK(any_contains(import.lines, "left out: pre_logits, a layer between norm and head"));
  CHECK(any_contains(import.lines, "left out: the head behind pre_logits"));
}

TEST_CASE("all that does not fit is named in one error") {
  const auto backend = make_backend("cpu");
  const ParamSet params = random_params(*backend, test::tiny_config());
  HostTensorMap theirs = test::host_tensors(*backend, params);
  theirs.erase("blocks.1.norm2.bias");
  theirs.erase("norm.weight");
  theirs["blocks.0.attn.proj.weight"].shape = {4, 16};
  theirs["blocks.0.attn.q_norm.weight"] = {{4}, std::vector<float>(4)};
  theirs["something.else"] = {{1}, {1}};
  std::string message;
  try {
    import_model(test::weight_file(theirs), *backend, told_pattern());
  } catch (const ConfigError& error) {
    message = error.what();
  }
  CAPTURE(message);
  for (const char* part :
       {"missing blocks.1.norm2.bias", "missing norm.weight",
        "mismatched blocks.0.attn.proj.weight: expected [8, 8] for blocks.0.attn.proj.weight, found [4, 16]",
        "unexpected blocks.0.attn.q_norm.weight: normalised queries and keys is not supported",
        "unexpected something.else"})
    CHECK(message.find(part) != std::string::npos);
}

TEST_CASE("a classifier that reads the mean of the patches too is refused, unless a new head is wanted") {
  const auto backend = make_backend("cpu");
  VitConfig config = named_switches("dinov2_registers");
  const ParamSet params = random_params(*backend, config);
  HostTensorMap theirs = test::as_hf_dinov2(test::host_tensors(*backend, params), "dinov2_with_registers.");
  test::HostTensor& head = theirs.at("classifier.weight");
  head.shape = {5, 16};
  head.values.resize(80);
  WeightFile file = test::weight_file(theirs);
  file.config = test::datum(hf_config(1e-6));
  CHECK_THROWS_WITH_AS(recognise(file), doctest::Contains("reads the mean of the patches"), ConfigError);
  ImportOptions options;
  options.num_classes = 5;
  const ImportedModel model = import_model(file, *backend, options);
  CHECK(any_contains(model.import.lines, "a new head for 5 classes"));
  for (std::size_t row = 0; row < 5; ++row)
    for (std::size_t column = 8; column < 16; ++column)
      head.values[row * 16 + column] = 0;
  const HostTensorMap found = test::host_tensors(*backend, import_model(file, *backend).model.params);
  CHECK(found.at("head.weight").values[8] == head.values[16]);
}

TEST_CASE("tensors of absurd shapes are refused, whatever they are") {
  const auto backend = make_backend("cpu");
  const ParamSet params = random_params(*backend, test::tiny_config());
  const HostTensorMap ours = test::host_tensors(*backend, params);
  const std::vector<std::vector<std::int64_t>> shapes = {{},
                                                         {0},
                                                         {1},
                                                         {0, 0, 0, 0},
                                                         {std::int64_t{1} << 62, 4, 0},
                                                         {0, std::int64_t{1} << 62},
                                                         {8, 3, 4},
                                                         {1, 1, 1, 1, 1}};
  for (const HostTensorMap& theirs : {ours, test::as_hf_vit(ours, ""), test::as_jax(ours, 2, false)}) {
    for (const auto& entry : theirs) {
      for (const std::vector<std::int64_t>& shape : shapes) {
        HostTensorMap changed = theirs;
        changed.at(entry.first) = {shape, {}};
        WeightFile file = test::weight_file(changed);
        file.config = test::datum(hf_config(1e-12));
        CHECK_THROWS_AS(recognise(file, told_pattern()), ConfigError);
      }
    }
  }
}

TEST_CASE("a third of a qkv that is missing, or there twice, is named") {
  const auto backend = make_backend("cpu");
  const ParamSet params = random_params(*backend, test::tiny_config());
  HostTensorMap theirs = test::as_hf_vit(test::host_tensors(*backend, params), "");
  theirs.erase("encoder.layer.1.attention.attention.key.bias");
  theirs["layers.0.attention.q_proj.weight"] = theirs.at("encoder.layer.0.attention.attention.query.weight");
  WeightFile file = test::weight_file(theirs);
  file.config = test::datum(hf_config(1e-12));
  CHECK_THROWS_WITH_AS(recognise(file, told_pattern()),
                       doctest::Contains("missing blocks.1.attn.qkv.bias (keys)"), ConfigError);
  CHECK_THROWS_WITH_AS(recognise(file, told_pattern()),
                       doctest::Contains("blocks.0.attn.qkv.weight (queries) is there more than once"),
                       ConfigError);
}

TEST_CASE("a file of something else is refused, and one of two networks") {
  HostTensorMap other;
  other["layer1.0.conv1.weight"] = {{2}, {1, 2}};
  CHECK_THROWS_WITH_AS(recognise(test::weight_file(other)), doctest::Contains("none of its 1 tensors"),
                       ConfigError);
  other["a.patch_embed.proj.weight"] = other["b.patch_embed.proj.weight"] = {{2}, {1, 2}};
  CHECK_THROWS_WITH_AS(recognise(test::weight_file(other)),
                       doctest::Contains("expected one network, found 2"), ConfigError);
}

}  // namespace vitrail
