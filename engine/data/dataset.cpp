#include "engine/data/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdlib>

#include "engine/data/dataset_kinds.h"
#include "engine/error.h"

namespace vitrail {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFashionMnist = "fashion-mnist";

// Zalando's names, from the data set's README.
std::vector<std::string> fashion_mnist_classes() {
  return {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
          "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
}

// Where data sets that have a name are kept.
fs::path named_data_root() {
  const char* root = std::getenv("VITRAIL_DATASETS");
  return root != nullptr && *root != '\0' ? fs::path(root) : fs::path("/usr/share/datasets");
}

DataSource open_fashion_mnist(const DataOptions& options) {
  const fs::path folder = named_data_root() / kFashionMnist;
  if (!has_idx_files(folder))
    throw DataError(
        fmt::format("no Fashion-MNIST in '{}': install the Debian package dataset-fashion-mnist, or let "
                    "VITRAIL_DATASETS name the folder that holds {}/",
                    folder.string(), kFashionMnist));
  return open_idx(folder, fashion_mnist_classes(), options);
}

DataSource open_path(const std::string& spec, const DataOptions& options) {
  const fs::path folder(spec);
  std::error_code error;
  if (!fs::exists(folder, error))
    throw DataError(fmt::format("no data at '{}': expected a folder, or the name {}", spec, kFashionMnist));
  if (!fs::is_directory(folder, error))
    throw DataError(fmt::format("'{}' is a file: expected a folder of class folders or of IDX files", spec));
  return has_idx_files(folder) ? open_idx(folder, {}, options) : open_folder(folder, options);
}

// Exact sums over samples of 0 to 255.
struct Moments {
  std::uint64_t count = 0;  // pixels
  std::array<std::uint64_t, 4> sum{};
  std::array<std::uint64_t, 4> sum_of_squares{};

  void add(const Image& image) {
    count += static_cast<std::uint64_t>(image.width * image.height);
    std::size_t channel = 0;
    for (const std::uint64_t sample : image.pixels) {
      sum[channel] += sample;
      sum_of_squares[channel] += sample * sample;
      if (++channel == static_cast<std::size_t>(image.channels)) channel = 0;
    }
  }
};

}  // namespace

std::string grouped(std::int64_t number) {
  std::string text = std::to_string(number);
  for (std::ptrdiff_t at = std::ssize(text) - 3; at > 0; at -= 3)
    text.insert(static_cast<std::size_t>(at), 1, ' ');
  return text;
}

DataSource open_data(const std::string& spec, const DataOptions& options) {
  DataSource source = spec == kFashionMnist ? open_fashion_mnist(options) : open_path(spec, options);
  source.spec = spec;
  return source;
}

void measure_mean_std(const Dataset& dataset, std::int64_t channels, std::int64_t limit,
                      std::array<double, 4>& mean, std::array<double, 4>& std) {
  assert(channels >= 1 && channels <= 4 && limit >= 1);
  const std::int64_t images = std::min(dataset.size(), limit);
  Moments moments;
  Image image;
  for (std::int64_t i = 0; i < images; ++i) {
    try {
      dataset.load_into(i * dataset.size() / images, channels, image);
      moments.add(image);
    } catch (const DataError&) {  // the loader replaces and names it
    }
  }
  if (moments.count == 0)
    throw DataError(fmt::format("none of {} images could be read to measure their mean", images));
  const double count = static_cast<double>(moments.count);
  for (std::size_t c = 0; c < static_cast<std::size_t>(channels); ++c) {
    mean[c] = static_cast<double>(moments.sum[c]) / count / 255;
    const double square = static_cast<double>(moments.sum_of_squares[c]) / count / (255.0 * 255.0);
    const double variance = square - mean[c] * mean[c];
    std[c] = variance > 1e-9 ? std::sqrt(variance) : 1;
  }
}

}  // namespace vitrail
