// Numbers that no tensor tells: where they come from, and what is asked for.
#include <doctest/doctest.h>

#include <algorithm>

#include "engine/error.h"
#include "engine/import_model.h"
#include "tests/support/engine_foreign_weights.h"
#include "tests/support/tiny_vit.h"

namespace vitrail {
namespace {

using nlohmann::ordered_json;
using test::HostTensorMap;

HostTensorMap tensors_of(const VitConfig& config) {
  const auto backend = make_backend("cpu");
  const ParamSet params(*backend, config, DType::f32);
  return test::host_tensors(*backend, params);
}

VitConfig clip_config() {
  VitConfig config = test::tiny_config();
  config.pre_norm = true;
  config.patch_bias = config.head_bias = false;
  return config;
}

bool has_line(const Import& import, const std::string& text) {
  return std::any_of(import.lines.begin(), import.lines.end(),
                     [&](const std::string& line) { return line.find(text) != std::string::npos; });
}

const ordered_json kVitConfig = {{"model_type", "vit"},
                                 {"layer_norm_eps", 1e-12},
                                 {"num_attention_heads", 4},
                                 {"hidden_act", "gelu_new"},
                                 {"id2label", {{"0", "a"}, {"1", "b"}, {"2", "c"}, {"3", "d"}, {"4", "e"}}}};

}  // namespace

TEST_CASE("config.json and preprocessor_config.json of transformers") {
  const HostTensorMap theirs = test::as_hf_vit(tensors_of(test::tiny_config()), "vit.");
  WeightFile file = test::weight_file(theirs);
  file.config = test::datum(kVitConfig);
  file.preprocessor = test::datum({{"do_normalize", true},
                                   {"image_mean", {0.1, 0.2, 0.3}},
                                   {"image_std", {0.4, 0.5, 0.6}},
                                   {"do_resize", true},
                                   {"size", {{"shortest_edge", 9}}},
                                   {"resample", 2},
                                   {"do_center_crop", true},
                                   {"crop_size", {{"height", 8}, {"width", 8}}}});
  const Import import = recognise(file);
  CHECK(import.config.norm_eps == 1e-12);
  CHECK(import.config.num_heads == 4);
  CHECK(import.config.gelu == GeluKind::tanh);
  CHECK((import.labels == std::vector<std::string>{"a", "b", "c", "d", "e"}));
  CHECK(import.input.mean[1] == 0.2);
  CHECK(import.input.std[2] == 0.6);
  CHECK(import.input.interpolation == Interpolation::bilinear);
  CHECK(std::int64_t(8 / import.input.crop_pct) == 9);
  CHECK(has_line(import,
                 "LayerNorm epsilon 1e-12 (config.json), GELU tanh (config.json), 4 heads (config.json)"));
  CHECK(has_line(import, "mean 0.1 0.2 0.3, deviation 0.4 0.5 0.6 (preprocessor_config.json)"));
}

TEST_CASE("every size of resizing and cropping comes back from its share") {
  const HostTensorMap theirs = test::as_hf_vit(tensors_of(test::tiny_config()), "vit.");
  WeightFile file = test::weight_file(theirs);
  file.config = test::datum(kVitConfig);
  for (std::int64_t cut = 3; cut <= 60; cut += 7) {
    for (std::int64_t resized = cut; resized <= 2 * cut; ++resized) {
      file.preprocessor = test::datum({{"image_mean", {0.5}},
                                       {"image_std", {0.5}},
                                       {"size", {{"shortest_edge", resized}}},
                                       {"do_center_crop", true},
                                       {"crop_size", cut}});
      const double share = recognise(file).input.crop_pct;
      CHECK(static_cast<std::int64_t>(std::floor(double(cut) / share)) == resized);
    }
  }
}

TEST_CASE("images that are squashed, and filters that we lack, are told") {
  const HostTensorMap theirs = test::as_hf_vit(tensors_of(test::tiny_config()), "vit.");
  WeightFile file = test::weight_file(theirs);
  file.config = test::datum(kVitConfig);
  file.preprocessor = test::datum({{"image_mean", {0.5}},
                                   {"image_std", {0.5}},
                                   {"size", {{"height", 8}, {"width", 8}}},
                                   {"resample", 1}});
  const Import import = recognise(file);
  CHECK(import.input.crop_pct == 1);
  CHECK(has_line(import, "squashes images to 8 × 8"));
  CHECK(has_line(import, "'PIL's filter 1'; here bicubic takes its place"));
}

TEST_CASE("config.json as timm writes it") {
  const HostTensorMap theirs = tensors_of(test::tiny_config());
  WeightFile file = test::weight_file(theirs);
  file.config = test::datum({{"architecture", "vit_tiny_patch16_224"},
                             {"model_args", {{"num_heads", 2}, {"act_layer", "gelu_tanh"}}},
                             {"label_names", {"v", "w", "x", "y", "z"}},
                             {"pretrained_cfg",
                              {{"mean", {0.485, 0.456, 0.406}},
                               {"std", {0.229, 0.224, 0.225}},
                               {"crop_pct", 0.95},
                               {"interpolation", "bilinear"},
                               {"crop_mode", "squash"}}}});
  const Import import = recognise(file);
  CHECK(import.config.norm_eps == 1e-6);
  CHECK(import.config.gelu == GeluKind::tanh);
  CHECK(import.input.crop_pct == 0.95);
  CHECK(import.input.mean[2] == 0.406);
  CHECK(import.labels.front() == "v");
  CHECK(has_line(import, "crops images by 'squash'"));
}

TEST_CASE("what cannot be known is asked for, with the settings that tell it") {
  const auto question = [](const HostTensorMap& tensors, const ImportOptions& options = {}) {
    try {
      recognise(test::weight_file(tensors), options);
    } catch (const ConfigError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const auto asks = [](const std::string& text, const char* setting) {
    return text.find(setting) != std::string::npos;
  };
  const std::string timm = question(tensors_of(test::tiny_config()));
  CHECK(asks(timm, "init.num_heads="));
  CHECK(asks(timm, "init.normalization="));
  CHECK_FALSE(asks(timm, "init.norm_eps="));
  CHECK_FALSE(asks(timm, "init.gelu="));
  const std::string hf = question(test::as_hf_vit(tensors_of(test::tiny_config()), ""));
  CHECK(asks(hf, "init.norm_eps="));
  CHECK_FALSE(asks(hf, "init.gelu="));
  const std::string clip = question(test::as_openai_clip(tensors_of(clip_config()), "visual."));
  CHECK(asks(clip, "init.gelu=quick"));
  CHECK_FALSE(asks(clip, "init.normalization="));

  VitConfig gap = test::tiny_config();
  gap.class_token = false;
  gap.global_pool = PoolKind::avg;
  CHECK(asks(question(tensors_of(gap)), "tanh (some SigLIPs)"));

  ImportOptions options;
  options.num_heads = 2;
  options.gelu = GeluKind::quick;
  const HostTensorMap theirs = test::as_openai_clip(tensors_of(clip_config()), "visual.");
  const Import import = recognise(test::weight_file(theirs), options);
  CHECK(import.config.gelu == GeluKind::quick);
  CHECK(import.config.norm_eps == 1e-5);
  CHECK(import.input.mean[0] == 0.48145466);
  CHECK(has_line(import, "GELU quick (init.gelu)"));
}

TEST_CASE("what the user says goes before what the documents say") {
  const HostTensorMap theirs = test::as_hf_vit(tensors_of(test::tiny_config()), "");
  WeightFile file = test::weight_file(theirs);
  file.config = test::datum(kVitConfig);
  ImportOptions options;
  options.norm_eps = 1e-5;
  options.gelu = GeluKind::erf;
  options.num_heads = 1;
  options.normalization = "clip";
  const Import import = recognise(file, options);
  CHECK(import.config.norm_eps == 1e-5);
  CHECK(import.config.gelu == GeluKind::erf);
  CHECK(import.config.num_heads == 1);
  CHECK(import.input.std[0] == 0.26862954);
}

TEST_CASE("a dict of CLIP's vision tower leaves out what is its class's default") {
  const HostTensorMap theirs = test::as_hf_clip(tensors_of(clip_config()));
  WeightFile file = test::weight_file(theirs);
  file.config = test::datum(
      {{"model_type", "clip"}, {"vision_config", {{"num_attention_heads", 2}, {"image_size", 8}}}});
  const Import import = recognise(file);
  CHECK(import.config.norm_eps == 1e-5);
  CHECK(import.config.gelu == GeluKind::quick);
  CHECK(has_line(import, "transformers' default for CLIP"));
}

TEST_CASE("OpenCLIP's document tells the GELU and the images") {
  const HostTensorMap theirs = test::as_openai_clip(tensors_of(clip_config()), "visual.");
  WeightFile file = test::weight_file(theirs);
  ImportOptions options;
  options.num_heads = 2;
  for (const bool quick : {true, false}) {
    file.config = test::datum({{"model_cfg", {{"vision_cfg", {{"image_size", 8}}}, {"quick_gelu", quick}}},
                               {"preprocess_cfg", {{"mean", {0.5, 0.25, 0.125}}, {"std", {0.5, 0.5, 0.5}}}}});
    const Import import = recognise(file, options);
    CHECK(import.config.gelu == (quick ? GeluKind::quick : GeluKind::erf));
    CHECK(import.input.mean[1] == 0.25);
  }
}

TEST_CASE("a timm name tells what tensors do not, and a wrong one is refused") {
  VitConfig config = vit_config("vit_tiny_patch16_224");
  config.depth = 12;
  const HostTensorMap theirs = tensors_of(config);
  const WeightFile file = test::weight_file(theirs);
  ImportOptions options;
  options.architecture = "deit_tiny_patch16_224";
  const Import import = recognise(file, options);
  CHECK(import.config.num_heads == 3);
  CHECK(import.input.mean[0] == 0.485);
  CHECK(import.config.name == "vit_tiny_patch16_224");
  options.architecture = "vit_small_patch16_224";
  CHECK_THROWS_WITH_AS(recognise(file, options),
                       doctest::Contains("vit_small_patch16_224 has width 384, the file 192"), ConfigError);
}

TEST_CASE("an activation that has no place here is refused by name") {
  const HostTensorMap theirs = test::as_hf_vit(tensors_of(test::tiny_config()), "");
  WeightFile file = test::weight_file(theirs);
  file.config = test::datum({{"layer_norm_eps", 1e-12}, {"hidden_act", "relu"}});
  CHECK_THROWS_WITH_AS(recognise(file), doctest::Contains("found 'relu'"), ConfigError);
}

}  // namespace vitrail
