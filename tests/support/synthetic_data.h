#pragma once
// A small labelled data set made of numbers: each class has its own pattern, with noise by index.

#include <memory>

#include "engine/data/dataset.h"
#include "kernels/random.h"

namespace vitrail::test {

class SyntheticDataset : public Dataset {
 public:
  SyntheticDataset(std::int64_t size, std::int64_t classes, std::int64_t pixels)
      : size_(size), classes_(classes), pixels_(pixels) {}

  std::int64_t size() const override { return size_; }
  std::int64_t label(std::int64_t index) const override { return index % classes_; }
  std::string name(std::int64_t index) const override { return "synthetic[" + std::to_string(index) + "]"; }

  Image load(std::int64_t index, std::int64_t channels) const override {
    Image image{pixels_, pixels_, channels, {}};
    for (std::int64_t i = 0; i < pixels_ * pixels_ * channels; ++i) {
      const std::uint32_t noise = random4({1, Purpose::init, 9}, static_cast<std::uint32_t>(index),
                                          static_cast<std::uint32_t>(i))[0] %
                                  60;
      const bool bright = (i / (channels * (label(index) + 1))) % 2 == 0;
      image.pixels.push_back(static_cast<std::uint8_t>((bright ? 160 : 30) + noise));
    }
    return image;
  }

 private:
  std::int64_t size_, classes_, pixels_;
};

inline DataSource synthetic_data(std::int64_t train, std::int64_t val, std::int64_t classes,
                                 std::int64_t pixels) {
  DataSource data;
  data.spec = "synthetic";
  data.fingerprint = "0123456789abcdef0123456789abcdef";
  for (std::int64_t c = 0; c < classes; ++c)
    data.class_names.push_back("class " + std::to_string(c));
  data.native_size = pixels;
  data.train = std::make_shared<SyntheticDataset>(train, classes, pixels);
  if (val > 0) data.val = std::make_shared<SyntheticDataset>(val, classes, pixels);
  return data;
}

}  // namespace vitrail::test
