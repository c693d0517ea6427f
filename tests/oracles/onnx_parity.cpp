// Writes what check_onnx.py compares with onnxruntime: a folder for each network, with files of several
// profiles and numbers, random images and the engine's own logits.
//   onnx_parity FOLDER
// FOLDER/real/NAME: six architectures in their own width. FOLDER/tiny/NAME: one network for each switch, with
// every kind of file. FOLDER/raw: photographs' worth of samples in many sizes.

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "engine/evaluate.h"
#include "onnx_export/export_vit.h"
#include "onnx_export/ranges.h"
#include "tests/support/export_model.h"

namespace vitrail {
namespace {

constexpr std::int64_t kBatches[] = {1, 3, 64};
// The random weights are this over the root of the dimension: numbers behind a matrix of order one, so that
// logits are not tiny, attention is neither uniform nor one-hot, and the kinds of GELU differ.
constexpr double kScale = 1.5;

template <class Change>
VitConfig changed(const std::string& name, Change change) {
  VitConfig config = vit_config(name);
  change(config);
  return config;
}

// Every switch that reaches the graph is on in at least one, off in at least one. The larger ones are cut in
// depth and image size, never in width.
std::vector<VitConfig> architectures() {
  return {
      vit_config("vit_tiny_patch16_224"),
      vit_config("deit_tiny_distilled_patch16_224"),
      changed("vit_small_patch14_reg4_dinov2",
              [](VitConfig& c) {
                c.img_size = 98;
                c.depth = 6;
              }),
      changed("vit_base_patch32_clip_quickgelu_224",
              [](VitConfig& c) {
                c.depth = 4;
                c.head_bias = false;
              }),
      changed("vit_medium_patch16_gap_240",
              [](VitConfig& c) {
                c.img_size = 96;
                c.depth = 4;
              }),
      changed("vit_tiny_patch16_224",
              [](VitConfig& c) {
                c.name = "vit_grey_patch7_28_mean_fc_norm_tanh";
                c.img_size = 28;
                c.patch_size = 7;
                c.in_chans = 1;
                c.num_classes = 10;
                c.global_pool = PoolKind::avg;
                c.fc_norm = true;
                c.gelu = GeluKind::tanh;
                c.proj_bias = false;
              }),
  };
}

struct Variant {
  std::string name;
  onnx_export::ExportOptions options;
};

constexpr onnx_export::Profile kAllProfiles[] = {onnx_export::Profile::portable,
                                                 onnx_export::Profile::fixed_batch, onnx_export::Profile::ort,
                                                 onnx_export::Profile::modern};

std::vector<Variant> real_variants() {
  std::vector<Variant> all;
  for (const onnx_export::Profile profile : kAllProfiles)
    all.push_back({std::string(name_of(profile)), {.profile = profile}});
  return all;
}

std::vector<Variant> tiny_variants() {
  using namespace onnx_export;
  std::vector<Variant> all;
  for (const Profile profile : kAllProfiles) {
    const std::string name(name_of(profile));
    for (const Numbers numbers :
         {Numbers::fp32, Numbers::fp16, Numbers::int8_dynamic, Numbers::int8_static, Numbers::int8_weights})
      all.push_back({name + "," + std::string(name_of(numbers)), {.profile = profile, .numbers = numbers}});
    for (const Output output : {Output::probabilities, Output::features, Output::topk, Output::attention}) {
      ExportOptions options{.profile = profile, .output = output, .top = 3};
      if (output == Output::attention) options.attention = {0};
      all.push_back({name + ",fp32," + std::string(name_of(output)), options});
    }
    for (const SampleLayout layout : {SampleLayout::nhwc, SampleLayout::nchw}) {
      all.push_back({name + ",fp32,uint8," + std::string(name_of(layout)),
                     {.profile = profile, .input = InputKind::samples, .layout = layout}});
    }
  }
  all.push_back({"portable,fp32,opset 22", {.opset = 22}});
  all.push_back({"ort,fp32,opset 22", {.profile = Profile::ort, .opset = 22}});
  all.push_back({"modern,fp32,opset 20", {.profile = Profile::modern, .opset = 20}});
  all.push_back({"modern,fp32,opset 24", {.profile = Profile::modern, .opset = 24}});
  all.push_back({"portable,fp32,external", {.external_data = true}});
  return all;
}

std::vector<std::uint8_t> random_samples(std::size_t count, std::uint32_t seed) {
  std::vector<std::uint8_t> samples(count);
  for (std::size_t i = 0; i < count; ++i) {
    const Random4 bits = random4({11, Purpose::init, 2, 0}, seed, static_cast<std::uint32_t>(i));
    samples[i] = static_cast<std::uint8_t>(bits[0] >> 24);
  }
  return samples;
}

// (batch, size, size, channels) of samples → (batch, channels, size, size), normalised
std::vector<float> normalised(std::span<const std::uint8_t> samples, const InputConfig& input) {
  std::vector<float> images(samples.size());
  const std::size_t channels = static_cast<std::size_t>(input.channels),
                    area = static_cast<std::size_t>(input.size * input.size);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const std::size_t c = i % channels, pixel = i / channels % area, image = i / channels / area;
    images[(image * channels + c) * area + pixel] =
        static_cast<float>((samples[i] / 255.0 - input.mean[c]) / input.std[c]);
  }
  return images;
}

template <class T>
void write_numbers(const std::filesystem::path& path, const std::vector<T>& numbers) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(numbers.data()),
             static_cast<std::streamsize>(numbers.size() * sizeof(T)));
  if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
}

// Samples in all numbers from 0 to 255 are what a normalised image is made of, so both kinds of input share
// them and their logits.
void write_case(const std::filesystem::path& folder, Backend& backend, const VitConfig& config,
                const std::vector<Variant>& variants) {
  std::filesystem::create_directories(folder);
  const double scale = kScale / std::sqrt(static_cast<double>(config.embed_dim));
  const Model model = test::export_model(backend, config, DType::f32, scale);
  Classifier classifier(backend, config, model.params, 64);
  onnx_export::Ranges ranges;
  for (const std::int64_t batch : kBatches) {
    const std::vector<std::uint8_t> samples =
        random_samples(static_cast<std::size_t>(batch * config.in_chans * config.img_size * config.img_size),
                       static_cast<std::uint32_t>(batch));
    const std::vector<float> images = normalised(samples, model.input);
    write_numbers(folder / fmt::format("samples_{}.u8", batch), samples);
    write_numbers(folder / fmt::format("images_{}.f32", batch), images);
    write_numbers(folder / fmt::format("logits_{}.f32", batch), classifier.logits(images));
    if (batch == 64 && variants.size() > 4)
      onnx_export::observe(ranges, config, model.params.views(), backend, images);
  }
  for (const Variant& variant : variants)
    onnx_export::export_vit(folder / (variant.name + ".onnx"), model, backend, variant.options, ranges);
}

// Raw images of odd sizes, the file that prepares them in its graph, and what the engine makes of them.
void write_raw(const std::filesystem::path& folder, Backend& backend, Interpolation interpolation) {
  std::filesystem::create_directories(folder);
  VitConfig config = test::tiny_config();
  config.img_size = 32;
  config.patch_size = 8;
  Model model = test::export_model(backend, config, DType::f32, kScale / std::sqrt(8.0));
  model.input.interpolation = interpolation;
  onnx_export::export_vit(
      folder / "model.onnx", model, backend,
      {.profile = onnx_export::Profile::modern, .input = onnx_export::InputKind::samples, .any_size = true});
  Classifier classifier(backend, config, model.params, 1);
  std::vector<float> pixels(static_cast<std::size_t>(3 * config.img_size * config.img_size));
  for (std::int64_t i = 0; i < 100; ++i) {
    const std::int64_t height = 17 + i * 37 % 101, width = 19 + i * 53 % 127;
    const Image image{width, height, 3, random_samples(static_cast<std::size_t>(height * width * 3), 7)};
    transform_eval(image, model.input, pixels);
    write_numbers(folder / fmt::format("{}_{}x{}.u8", i, height, width), image.pixels);
    write_numbers(folder / fmt::format("{}_{}x{}.f32", i, height, width), classifier.logits(pixels));
  }
}

}  // namespace
}  // namespace vitrail

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::cerr << "usage: onnx_parity FOLDER\n";
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  const auto backend = vitrail::make_backend("cpu");
  for (const vitrail::VitConfig& config : vitrail::architectures())
    vitrail::write_case(folder / "real" / config.name, *backend, config, vitrail::real_variants());
  for (const vitrail::test::NamedConfig& named : vitrail::test::switch_configs())
    vitrail::write_case(folder / "tiny" / named.name, *backend, named.config, vitrail::tiny_variants());
  vitrail::write_raw(folder / "raw" / "bicubic", *backend, vitrail::Interpolation::bicubic);
  vitrail::write_raw(folder / "raw" / "bilinear", *backend, vitrail::Interpolation::bilinear);
  return 0;
} catch (const std::exception& error) {
  std::cerr << "onnx_parity: " << error.what() << "\n";
  return 1;
}
