#include "engine/app/random_images.h"

#include "kernels/random.h"

namespace vitrail::app {
namespace {

class RandomImages final : public Dataset {
 public:
  RandomImages(const VitConfig& config, std::int64_t images) : images_(images), classes_(config.num_classes) {
    image_ = {.width = config.img_size, .height = config.img_size, .channels = config.in_chans, .pixels = {}};
    image_.pixels.resize(static_cast<std::size_t>(config.img_size * config.img_size * config.in_chans));
    for (std::size_t i = 0; i < image_.pixels.size(); ++i) {
      const Random4 bits = random4({.seed = 1, .purpose = Purpose::replace, .layer = 0, .step = 0}, 0,
                                   static_cast<std::uint32_t>(i / 4));
      image_.pixels[i] = static_cast<std::uint8_t>(bits[i % 4] >> 24);
    }
  }

  std::int64_t size() const override { return images_; }
  std::int64_t label(std::int64_t index) const override { return index % classes_; }
  std::string name(std::int64_t index) const override { return "random[" + std::to_string(index) + "]"; }
  Image load(std::int64_t, std::int64_t) const override { return image_; }

 private:
  std::int64_t images_, classes_;
  Image image_;
};

}  // namespace

DataSource random_images(const VitConfig& config, std::int64_t images) {
  DataSource source;
  source.spec = source.description = "random images";
  for (std::int64_t i = 0; i < config.num_classes; ++i)
    source.class_names.push_back(std::to_string(i));
  source.native_size = config.img_size;
  source.native_channels = config.in_chans;
  source.fingerprint = std::string(32, '0');
  source.train = std::make_shared<RandomImages>(config, images);
  return source;
}

}  // namespace vitrail::app
