#include "engine/model_io.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "engine/error.h"
#include "engine/evaluate.h"
#include "engine/ready_model.h"
#include "format/error.h"
#include "format/file.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_vit.h"

namespace vitrail {
namespace {

Model random_vit(Backend& backend, const VitConfig& config) {
  Model model{config, {}, {"a", "b", "c", "d", "e"}, ParamSet(backend, config, DType::f32)};
  model.input.size = config.img_size;
  model.input.channels = config.in_chans;
  model.input.mean = {0.1, 0.2, 0.3, 0.5};
  test::randomize(backend, model.params, 3);
  return model;
}

std::vector<float> some_images(const VitConfig& config, std::int64_t count) {
  std::vector<float> images(
      static_cast<std::size_t>(count * config.in_chans * config.img_size * config.img_size));
  for (std::size_t i = 0; i < images.size(); ++i)
    images[i] = static_cast<float>(i % 17) / 8 - 1;
  return images;
}

}  // namespace

TEST_CASE("a model comes back from its file alone, for each switch") {
  const test::TemporaryFolder folder;
  const auto backend = make_backend("cpu");
  for (const test::NamedConfig& named : test::switch_configs()) {
    CAPTURE(named.name);
    Model model = random_vit(*backend, named.config);
    save_model(folder / "m.vitrail", *backend, model);
    Model loaded = load_model(folder / "m.vitrail", *backend);
    CHECK((loaded.config == model.config));
    CHECK((loaded.input.mean[0] == 0.1));
    CHECK(loaded.labels == model.labels);
    const std::vector<float> images = some_images(named.config, 3);
    Classifier before(*backend, model.config, model.params, 3),
        after(*backend, loaded.config, loaded.params, 3);
    CHECK((before.logits(images) == after.logits(images)));
  }
}

TEST_CASE("a model ready to run computes what the loaded one does, on the weights where they are mapped") {
  const test::TemporaryFolder folder;
  const auto backend = make_backend("cpu");
  for (const test::NamedConfig& named : test::switch_configs()) {
    CAPTURE(named.name);
    Model model = random_vit(*backend, named.config);
    save_model(folder / "m.vitrail", *backend, model);
    const ReadyModel ready = open_ready(folder / "m.vitrail", *backend, DType::f32);
    CHECK(ready.labels == model.labels);
    CHECK_FALSE(ready.set);
    CHECK(ready.narrow.capacity() == 0);
    const std::vector<float> images = some_images(named.config, 3);
    Classifier before(*backend, model.config, model.params, 3),
        after(*backend, ready.config, ready.params, ready.dtype, 3);
    CHECK((before.logits(images) == after.logits(images)));

    // In bf16 and int8 too: the same copies, from the file and from memory.
    for (const DType dtype : {DType::bf16, DType::int8}) {
      const ReadyModel mapped = open_ready(folder / "m.vitrail", *backend, dtype);
      const ReadyModel copied = make_ready(random_vit(*backend, named.config), *backend, dtype);
      CHECK(mapped.narrow.capacity() > 0);
      Classifier from_file(*backend, mapped.config, mapped.params, mapped.dtype, 3),
          from_memory(*backend, copied.config, copied.params, copied.dtype, 3);
      const std::vector<float> narrow = from_file.logits(images), exact = before.logits(images);
      CHECK((narrow == from_memory.logits(images)));
      CHECK((narrow != exact));
      double error = 0, size = 0;
      for (std::size_t i = 0; i < exact.size(); ++i) {
        error += std::pow(narrow[i] - exact[i], 2);
        size += std::pow(exact[i], 2);
      }
      CHECK(std::sqrt(error / size) < 0.05);
    }
  }
}

TEST_CASE("a model of f64 computes in f64, and never in bf16 or int8") {
  const test::TemporaryFolder folder;
  const auto backend = make_backend("cpu");
  const Model model{.config = test::tiny_config(),
                    .input = {},
                    .labels = {},
                    .params = ParamSet(*backend, test::tiny_config(), DType::f64)};
  save_model(folder / "m.vitrail", *backend, model);
  CHECK(open_ready(folder / "m.vitrail", *backend, DType::f32).dtype == DType::f64);
  CHECK_THROWS_AS(open_ready(folder / "m.vitrail", *backend, DType::bf16), ConfigError);
  CHECK_THROWS_AS(open_ready(folder / "m.vitrail", *backend, DType::int8), ConfigError);
}

TEST_CASE("weights load strictly, and all that is wrong is named together") {
  const test::TemporaryFolder folder;
  const auto backend = make_backend("cpu");
  Model model = random_vit(*backend, test::tiny_config());
  save_weights(folder / "w.vitrail", *backend, model.params);
  VitConfig other = test::tiny_config();
  other.mlp_dim = 20;
  other.layer_scale = true;
  other.pos_drop_rate = 0.5;
  const ParamSet target(*backend, other, DType::f32);
  try {
    load_weights(folder / "w.vitrail", *backend, target);
    FAIL("expected a refusal");
  } catch (const format::FormatError& error) {
    const std::string what = error.what();
    CHECK(what.find("missing blocks.0.ls1.gamma") != std::string::npos);
    CHECK(what.find("mismatched blocks.1.mlp.fc2.weight") != std::string::npos);
  }
  CHECK_THROWS_WITH_AS(load_model(folder / "w.vitrail", *backend), doctest::Contains("weights alone"),
                       format::FormatError);
}

TEST_CASE("a model file's head says what it is") {
  const test::TemporaryFolder folder;
  const auto backend = make_backend("cpu");
  Model model = random_vit(*backend, test::tiny_config());
  save_model(folder / "m.vitrail", *backend, model);
  const ModelInfo info = get_model_info(folder / "m.vitrail");
  CHECK(info.kind == "model");
  CHECK(info.dtype == "f32");
  CHECK(info.parameters == model.params.parameters());
  CHECK(info.tensors == static_cast<std::int64_t>(model.params.tensors().size()));
  CHECK(info.labels.size() == 5);
}

TEST_CASE("a damaged weight is found and named") {
  const test::TemporaryFolder folder;
  const auto backend = make_backend("cpu");
  Model model = random_vit(*backend, test::tiny_config());
  save_model(folder / "m.vitrail", *backend, model);
  std::uint64_t place = 0;
  {
    const format::Container container = format::Container::open(folder / "m.vitrail");
    const format::Bytes bytes = container.find(format::Role::parameter, "blocks.1.mlp.fc1.weight")->bytes;
    const format::MappedFile whole(folder / "m.vitrail");
    place = static_cast<std::uint64_t>(
        std::search(whole.bytes().begin(), whole.bytes().end(), bytes.begin(), bytes.end()) -
        whole.bytes().begin());
  }
  std::fstream file(folder / "m.vitrail", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(place + 10));
  file.put('x');
  file.close();
  CHECK_THROWS_WITH_AS(load_model(folder / "m.vitrail", *backend),
                       doctest::Contains("blocks.1.mlp.fc1.weight"), format::FormatError);
}

TEST_CASE("parameter counts of timm's models") {
  // The formula of a plain ViT, and published counts.
  const auto backend = make_backend("cpu");
  const auto count = [&](const char* name) {
    return ParamSet(*backend, vit_config(name), DType::f32).parameters();
  };
  CHECK(count("vit_tiny_patch16_224") == 5717416);
  CHECK(count("vit_small_patch16_224") == 22050664);
  CHECK(count("vit_small_patch32_224") == 22878952);
  CHECK(count("deit_tiny_distilled_patch16_224") == 5910800);
  CHECK(count("vit_base_patch16_224") == 86567656);
}

}  // namespace vitrail
