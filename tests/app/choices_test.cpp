#include "engine/app/choices.h"

#include <doctest/doctest.h>

#include "engine/app/random_images.h"
#include "engine/app/recipes.h"
#include "engine/error.h"
#include "engine/keys.h"

using namespace vitrail;
using namespace vitrail::app;

namespace {

using Arguments = std::vector<std::string>;

// `images` squares of `size` grey pixels in 5 classes.
DataSource grey_data(std::int64_t size, std::int64_t images) {
  VitConfig shape;
  shape.img_size = size;
  shape.in_chans = 1;
  shape.num_classes = 5;
  return random_images(shape, images);
}

RunConfig chosen(const Arguments& told, const DataSource& data) {
  RunConfig config = read_run_config(told);
  choose(config, data);
  return config;
}

}  // namespace

TEST_CASE("whatever the size of the images, what is chosen fits together") {
  for (std::int64_t size = 1; size <= 300; size += size < 40 ? 1 : 37) {
    const RunConfig config = chosen({}, grey_data(size, 300));
    CHECK_MESSAGE((size < 8 || config.train.model.img_size <= std::max<std::int64_t>(size, 128)), size);
    CHECK_NOTHROW(config.train.check());
    CHECK(config.train.model.num_classes == 5);
    CHECK(config.train.model.in_chans == 1);
  }
  DataSource mixed = grey_data(100, 300);
  mixed.native_size = 0;
  mixed.native_channels = 3;
  const RunConfig config = chosen({}, mixed);
  CHECK_NOTHROW(config.train.check());
  CHECK(config.train.model.in_chans == 3);
  CHECK(config.train.input.mean == std::array<double, 4>{0.5, 0.5, 0.5, 0.5});
}

TEST_CASE("what was told stays, and the rest fits it") {
  const RunConfig config =
      chosen({"model.dim=50", "epochs=3", "accumulate=3", "augment.flip=1"}, grey_data(28, 1000));
  CHECK(config.train.model.embed_dim == 50);
  CHECK(config.train.model.mlp_dim == 200);
  CHECK(config.train.epochs == 3);
  CHECK(config.train.batch % 3 == 0);
  CHECK(config.train.augment.flip == 1);
  CHECK_NOTHROW(config.train.check());
  CHECK(config.origins.at("model.dim") == "command line");

  const RunConfig named = chosen({"model=vit_small_patch16_224"}, grey_data(28, 1000));
  CHECK(named.train.model.embed_dim == 384);
  CHECK(named.train.model.img_size == 224);
  CHECK(named.train.model.num_classes == 5);
  CHECK_NOTHROW(named.train.check());

  CHECK_NOTHROW(chosen({"opt.lr=1e-8"}, grey_data(28, 1000)).train.check());
}

TEST_CASE("small images: mean and deviation are measured") {
  const DataSource data = grey_data(28, 20);
  const Image image = data.train->load(0, 1);
  double sum = 0;
  for (const std::uint8_t sample : image.pixels)
    sum += sample / 255.0;
  const double mean = sum / double(image.pixels.size());
  const RunConfig config = chosen({}, data);
  CHECK(config.train.input.mean[0] == doctest::Approx(mean).epsilon(1e-3));
  CHECK(config.train.input.mean[3] == config.train.input.mean[0]);
}

TEST_CASE("few images: an epoch still has eight steps") {
  for (const std::int64_t images : {1, 7, 8, 20, 500}) {
    const std::int64_t batch = chosen({}, grey_data(28, images)).train.batch;
    CHECK(batch >= 1);
    CHECK((images < 8 || images / batch >= 8));
  }
}

TEST_CASE("choosing anew from what was written down changes nothing") {
  const DataSource data = grey_data(28, 1000);
  const RunConfig first = chosen({"data=x"}, data);
  RunConfig again;
  std::vector<Setting> settings;
  for (const std::string& setting : to_settings(first.train)) {
    settings.push_back(parse_arguments(Arguments{setting}).front());
  }
  apply(again, settings);
  CHECK(choose(again, data).empty());
  CHECK(again.train == first.train);
}

TEST_CASE("the recipes are in order, and their networks are sound") {
  std::int64_t before = 0;
  for (const Recipe& recipe : recipes()) {
    CHECK(recipe.up_to > before);
    before = recipe.up_to;
    CHECK(recipe.dim % recipe.heads == 0);
    CHECK(recipe.img_size % recipe.patch_size == 0);
  }
  CHECK(&recipe_for(0) == &recipes().back());
  CHECK(&recipe_for(1) == &recipes().front());
}
