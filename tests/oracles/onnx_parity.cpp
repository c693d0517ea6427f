// Writes what check_onnx.py compares with onnxruntime: for each of six architectures a folder with the
// exported file, random images and the engine's own logits.
//   onnx_parity FOLDER

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "engine/evaluate.h"
#include "onnx_export/export_vit.h"
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

std::vector<float> random_images(const VitConfig& config, std::int64_t batch) {
  std::vector<float> images(
      static_cast<std::size_t>(batch * config.in_chans * config.img_size * config.img_size));
  for (std::size_t i = 0; i < images.size(); ++i) {
    const Random4 bits =
        random4({11, Purpose::init, 2, 0}, static_cast<std::uint32_t>(batch), static_cast<std::uint32_t>(i));
    images[i] = static_cast<float>(4 * uniform(bits[0]) - 2);  // as normalised samples are
  }
  return images;
}

void write_floats(const std::filesystem::path& path, std::span<const float> numbers) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(numbers.data()),
             static_cast<std::streamsize>(numbers.size_bytes()));
  if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
}

void write_case(const std::filesystem::path& folder, Backend& backend, const VitConfig& config) {
  std::filesystem::create_directories(folder);
  const double scale = kScale / std::sqrt(static_cast<double>(config.embed_dim));
  const Model model = test::export_model(backend, config, DType::f32, scale);
  onnx_export::export_vit(folder / "model.onnx", model, backend);
  Classifier classifier(backend, config, model.params, 64);
  for (const std::int64_t batch : kBatches) {
    const std::vector<float> images = random_images(config, batch);
    write_floats(folder / fmt::format("images_{}.f32", batch), images);
    write_floats(folder / fmt::format("logits_{}.f32", batch), classifier.logits(images));
  }
}

}  // namespace
}  // namespace vitrail

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::cerr << "usage: onnx_parity FOLDER\n";
    return 2;
  }
  const auto backend = vitrail::make_backend("cpu");
  for (const vitrail::VitConfig& config : vitrail::architectures()) {
    vitrail::write_case(std::filesystem::path(argv[1]) / config.name, *backend, config);
  }
  return 0;
} catch (const std::exception& error) {
  std::cerr << "onnx_parity: " << error.what() << "\n";
  return 1;
}
