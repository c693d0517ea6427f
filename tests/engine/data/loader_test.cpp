#include "engine/data/loader.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <thread>

#include "engine/error.h"

namespace vitrail {
namespace {

// Image i is one pixel of the value i, and has label 1000 + i.
class Numbers : public Dataset {
 public:
  explicit Numbers(std::int64_t size, std::set<std::int64_t> broken = {})
      : size_(size), broken_(std::move(broken)) {}
  std::int64_t size() const override { return size_; }
  std::int64_t label(std::int64_t index) const override { return 1000 + index; }
  std::string name(std::int64_t index) const override { return "image-" + std::to_string(index); }
  Image load(std::int64_t index, std::int64_t channels) const override {
    if (broken_.contains(index)) throw DataError("it is broken");
    return {.width = 1, .height = 1, .channels = channels, .pixels = {static_cast<std::uint8_t>(index)}};
  }

 private:
  std::int64_t size_;
  std::set<std::int64_t> broken_;
};

// A sample is 255·value, so that pixel 17 becomes 17.
InputConfig one_pixel() {
  InputConfig input{.size = 1, .channels = 1, .crop_pct = 1};
  input.mean.fill(0);
  input.std.fill(1.0 / 255);
  return input;
}

std::vector<std::int64_t> values_of(const Batch& batch) {
  std::vector<std::int64_t> values;
  for (const float value : batch.images)
    values.push_back(static_cast<std::int64_t>(value + 0.5f));
  return values;
}

struct Seen {
  std::int64_t epoch, position;
  std::vector<float> images;
  std::vector<std::int64_t> labels;
  friend bool operator==(const Seen&, const Seen&) = default;
};

Seen next_of(Loader& loader) {
  const Batch& batch = loader.next();
  return {batch.epoch, batch.position, batch.images, batch.labels};
}

std::vector<Seen> read(Loader& loader, int batches) {
  std::vector<Seen> seen;
  for (int i = 0; i < batches; ++i)
    seen.push_back(next_of(loader));
  return seen;
}

// Images of noise by their number, larger than one pixel, so that augmentation shows.
class Noise : public Numbers {
 public:
  using Numbers::Numbers;
  Image load(std::int64_t index, std::int64_t channels) const override {
    Numbers::load(index, 1);
    Image image{.width = 6, .height = 5, .channels = channels, .pixels = {}};
    for (std::int64_t i = 0; i < 30 * channels; ++i)
      image.pixels.push_back(static_cast<std::uint8_t>((index * 31 + i * 17) % 256));
    return image;
  }
};

const InputConfig kSmall{.size = 4};
const AugmentConfig kAugment{.crop_min = 0.4, .shift = 1, .erase = 0.5};

TEST_CASE("evaluation reads in order, all of it, with a smaller last batch") {
  Loader loader(std::make_shared<Numbers>(10), one_pixel(), {}, {.batch = 4, .threads = 2, .train = false});
  CHECK(loader.batches_per_epoch() == 3);
  for (std::int64_t epoch = 0; epoch < 2; ++epoch) {
    CHECK(values_of(loader.next()) == std::vector<std::int64_t>{0, 1, 2, 3});
    CHECK(values_of(loader.next()) == std::vector<std::int64_t>{4, 5, 6, 7});
    const Batch& last = loader.next();
    CHECK(values_of(last) == std::vector<std::int64_t>{8, 9});
    CHECK(last.labels == std::vector<std::int64_t>{1008, 1009});
    CHECK(last.epoch == epoch);
    CHECK(last.position == 8);
  }
}

TEST_CASE("training reads a permutation, another each epoch, in whole batches") {
  Loader loader(std::make_shared<Numbers>(10), one_pixel(), {}, {.batch = 3, .seed = 5});
  CHECK(loader.batches_per_epoch() == 3);
  std::vector<std::vector<std::int64_t>> orders;
  for (std::int64_t epoch = 0; epoch < 4; ++epoch) {
    std::vector<std::int64_t> values;
    for (std::int64_t b = 0; b < 3; ++b) {
      const Batch& batch = loader.next();
      CHECK(batch.epoch == epoch);
      CHECK(batch.position == 3 * b);
      for (std::size_t i = 0; i < 3; ++i) {
        values.push_back(values_of(batch)[i]);
        CHECK(batch.labels[i] == 1000 + values.back());
      }
    }
    std::vector<std::int64_t> order = shuffled(10, 5, epoch);
    order.resize(9);
    CHECK(values == order);
    orders.push_back(values);
  }
  CHECK(std::set(orders.begin(), orders.end()).size() == 4);
}

TEST_CASE("batches are the same for any number of threads and batches ahead, broken images too") {
  const auto data = std::make_shared<Noise>(100, std::set<std::int64_t>{3, 40, 41, 99});
  const auto batches = [&](int threads, int ahead, std::vector<std::string>& broken) {
    Loader loader(data, kSmall, kAugment, {.batch = 33, .threads = threads, .ahead = ahead, .seed = 9});
    std::vector<Seen> seen = read(loader, 10);
    broken = loader.broken();
    return seen;
  };
  std::vector<std::string> broken;
  const std::vector<Seen> first = batches(1, 1, broken);
  for (const int threads : {1, 2, 5})
    for (const int ahead : {1, 4, 9}) {
      std::vector<std::string> also_broken;
      CHECK(batches(threads, ahead, also_broken) == first);
      CHECK(also_broken == broken);
    }
}

TEST_CASE("to seek gives what reading on gives, at any time") {
  const auto data = std::make_shared<Noise>(50, std::set<std::int64_t>{7});
  for (const bool train : {true, false}) {
    const LoaderOptions options{.batch = 8, .threads = 3, .ahead = 2, .train = train, .seed = 4};
    Loader straight(data, kSmall, kAugment, options);
    const std::vector<Seen> all = read(straight, 30);
    Loader loader(data, kSmall, kAugment, options);
    const std::int64_t per_epoch = loader.batches_per_epoch();
    for (const std::int64_t at : {0, 17, 3, 28, 4, 5, 5, 12, 0}) {
      loader.seek(at / per_epoch, at % per_epoch);
      for (std::int64_t i = at; i < std::min<std::int64_t>(at + 3, 30); ++i)
        CHECK(next_of(loader) == all[static_cast<std::size_t>(i)]);
    }
    for (int i = 0; i < 200; ++i)  // and while threads are at work
      loader.seek(i % 3, i % per_epoch);
    loader.seek(1, 0);
    CHECK(next_of(loader) == all[static_cast<std::size_t>(per_epoch)]);
  }
}

TEST_CASE("broken images are replaced by others, and named once") {
  Loader loader(std::make_shared<Numbers>(20, std::set<std::int64_t>{4, 11}), one_pixel(), {},
                {.batch = 20, .threads = 2, .train = false});
  std::set<std::vector<std::int64_t>> orders;
  for (int epoch = 0; epoch < 5; ++epoch) {
    const Batch& batch = loader.next();
    const std::vector<std::int64_t> values = values_of(batch);
    REQUIRE(values.size() == 20);
    for (std::size_t i = 0; i < 20; ++i) {
      CHECK(values[i] != 4);
      CHECK(values[i] != 11);
      if (i != 4 && i != 11) CHECK(values[i] == static_cast<std::int64_t>(i));
      CHECK(batch.labels[i] == 1000 + values[i]);  // the label goes with the picture
    }
    orders.insert(values);
  }
  CHECK(orders.size() > 1);  // another replacement in another epoch
  CHECK(loader.broken() == std::vector<std::string>{"image-4: it is broken", "image-11: it is broken"});
}

TEST_CASE("when all replacements are broken too, next() says so, again and again, until the next seek") {
  std::set<std::int64_t> broken;
  for (std::int64_t i = 0; i < 64; ++i)
    if (i >= 8) broken.insert(i);
  // Of 8 good images in 64, sixteen draws miss all with a probability of an eighth: some batch must fail.
  Loader loader(std::make_shared<Numbers>(64, broken), one_pixel(), {},
                {.batch = 64, .threads = 3, .train = false});
  CHECK_THROWS_WITH_AS(loader.next(), doctest::Contains("it is broken; and the 16 images"), DataError);
  CHECK_THROWS_AS(loader.next(), DataError);
  loader.seek(0, 0);
  CHECK_THROWS_AS(loader.next(), DataError);
}

// Throws what no one expects.
class Failing : public Numbers {
 public:
  using Numbers::Numbers;
  Image load(std::int64_t index, std::int64_t channels) const override {
    if (index == 6) throw std::runtime_error("out of order");
    return Numbers::load(index, channels);
  }
};

TEST_CASE("other exceptions of the threads come out of next() in their place") {
  Loader loader(std::make_shared<Failing>(8), one_pixel(), {}, {.batch = 4, .threads = 2, .train = false});
  CHECK_NOTHROW(loader.next());
  CHECK_THROWS_WITH_AS(loader.next(), "out of order", std::runtime_error);
  loader.seek(5, 0);
  CHECK(values_of(loader.next()) == std::vector<std::int64_t>{0, 1, 2, 3});
}

TEST_CASE("options that cannot be worked with are refused") {
  const auto data = std::make_shared<Numbers>(10);
  const auto make = [&](const LoaderOptions& options, const AugmentConfig& augment = {}) {
    const Loader loader(data, one_pixel(), augment, options);
  };
  CHECK_THROWS_WITH_AS(make({.batch = 11}), doctest::Contains("more than the 10 training images"),
                       ConfigError);
  CHECK_NOTHROW(make({.batch = 11, .train = false}));
  CHECK_THROWS_AS(make({.batch = 0}), ConfigError);
  CHECK_THROWS_AS(make({.batch = 2, .threads = 0}), ConfigError);
  CHECK_THROWS_AS(make({.batch = 2, .ahead = 0}), ConfigError);
  const LoaderOptions options{.batch = 2};
  CHECK_THROWS_AS(make(options, {.crop_min = 0}), ConfigError);
  CHECK_THROWS_AS(make(options, {.crop_min = 1.5}), ConfigError);
  CHECK_THROWS_AS(make(options, {.crop_ratio = 0.5}), ConfigError);
  CHECK_THROWS_AS(make(options, {.shift = -1}), ConfigError);
  CHECK_THROWS_AS(make(options, {.flip = 2}), ConfigError);
  CHECK_THROWS_AS(make(options, {.erase = -0.1}), ConfigError);
  CHECK_THROWS_AS(Loader(std::make_shared<Numbers>(0), one_pixel(), {}, {.train = false}), DataError);
}

// Slow, and counts.
class Slow : public Numbers {
 public:
  using Numbers::Numbers;
  Image load(std::int64_t index, std::int64_t channels) const override {
    ++loaded;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    return Numbers::load(index, channels);
  }
  mutable std::atomic<int> loaded = 0;
};

TEST_CASE("batches are prepared ahead, no more than asked for, and waiting is measured") {
  const auto data = std::make_shared<Slow>(64);
  Loader loader(data, one_pixel(), {}, {.batch = 8, .threads = 2, .ahead = 3, .train = false});
  loader.next();
  CHECK(loader.seconds_waited() > 0);
  for (int i = 0; i < 1000 && data->loaded < 32; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  CHECK(data->loaded == 32);  // the batch in hand and three ahead
  const double waited = loader.seconds_waited();
  for (int i = 0; i < 3; ++i)
    loader.next();
  CHECK(loader.seconds_waited() == waited);  // they were ready
}

TEST_CASE("to seek while threads are in the middle of batches leaves nothing of these behind") {
  const auto data = std::make_shared<Slow>(30);
  InputConfig input = one_pixel();
  input.size = 64;  // so large that threads take four images a time, 8 ms, and a batch three times
  Loader loader(data, input, {}, {.batch = 10, .threads = 2, .ahead = 2, .train = false});
  for (std::int64_t i = 0; i < 24; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(i % 12));
    loader.seek(0, i % 3);
    const Batch& batch = loader.next();
    CHECK(batch.position == i % 3 * 10);
    const std::vector<std::int64_t> values = values_of(batch);
    REQUIRE(values.size() == 10 * 64 * 64);
    for (std::size_t k = 0; k < values.size(); ++k)
      REQUIRE(values[k] == batch.position + static_cast<std::int64_t>(k / (64 * 64)));
  }
}

TEST_CASE("a loader can go at any time") {
  const auto data = std::make_shared<Slow>(64);
  for (int i = 0; i < 10; ++i) {
    Loader loader(data, one_pixel(), {}, {.batch = 8, .threads = 3});
    if (i % 2 == 0) loader.next();
  }
}

}  // namespace
}  // namespace vitrail
