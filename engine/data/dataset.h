#pragma once
// Labelled images, by number. IDX files (MNIST, Fashion-MNIST) or a folder of class folders.

#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/data/image.h"

namespace vitrail {

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual std::int64_t size() const = 0;
  virtual std::int64_t label(std::int64_t index) const = 0;
  virtual std::string name(std::int64_t index) const = 0;  // file or "train[17]", for messages
  // May be called from many threads. Throws DataError when the image is broken.
  virtual Image load(std::int64_t index, std::int64_t channels) const = 0;
  // The same, into memory that is used again and again.
  virtual void load_into(std::int64_t index, std::int64_t channels, Image& image) const {
    image = load(index, channels);
  }
};

struct DataOptions {
  double val_fraction = 0.1;  // of each class, when there is no val/ (or test files): chosen by `seed`
  std::uint64_t seed = 0;
};

struct DataSource {
  std::string spec;         // as given: "fashion-mnist" or a folder
  std::string description;  // one line: "70 000 images, 10 classes, IDX files in …"
  std::vector<std::string> class_names;
  std::int64_t native_size = 0;      // pixels when all images are squares of one size, else 0
  std::int64_t native_channels = 3;  // 1 when all are grey
  std::string fingerprint;           // 32 hex digits over names and sizes (IDX: over the bytes)
  std::shared_ptr<const Dataset> train;
  std::shared_ptr<const Dataset> val;
};

// "fashion-mnist" (the Debian package's files), a folder with IDX files (plain or .gz), or a folder of class
// folders, with or without train/ and val/ (or test/). Throws DataError saying what was looked for and found,
// also when val/ holds a class that train/ lacks.
DataSource open_data(const std::string& spec, const DataOptions& options);

// Mean and standard deviation by channel of the training images, samples scaled to [0, 1]; over at most
// `limit` of them, evenly spaced; broken images are left out, and a channel without any variation has 1 as
// its standard deviation. Only the first `channels` entries are written. Throws DataError when no image can
// be read.
void measure_mean_std(const Dataset& dataset, std::int64_t channels, std::int64_t limit,
                      std::array<double, 4>& mean, std::array<double, 4>& std);

}  // namespace vitrail
