#include <doctest/doctest.h>
#include <zlib.h>

#include <cstdlib>
#include <map>
#include <set>

#include "engine/data/dataset.h"
#include "engine/error.h"
#include "tests/support/data_files.h"
#include "tests/support/temporary_folder.h"

namespace vitrail {
namespace {

using test::Bytes;
namespace fs = std::filesystem;

void append32(Bytes& bytes, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8)
    bytes.push_back(static_cast<std::uint8_t>(value >> shift));
}

Bytes idx(std::initializer_list<std::uint32_t> extents, const Bytes& data) {
  Bytes bytes;
  append32(bytes, 0x0800 + static_cast<std::uint32_t>(extents.size()));
  for (const std::uint32_t extent : extents)
    append32(bytes, extent);
  bytes.insert(bytes.end(), data.begin(), data.end());
  return bytes;
}

constexpr std::uint32_t kTrain = 40, kTest = 7;

// Images of 3 x 3 pixels, the first of which is the image's number; label = number mod 4.
Bytes images(std::uint32_t count) {
  Bytes data;
  for (std::uint32_t i = 0; i < count; ++i)
    for (std::uint32_t k = 0; k < 9; ++k)
      data.push_back(static_cast<std::uint8_t>(i + k * 50));
  return idx({count, 3, 3}, data);
}

Bytes labels(std::uint32_t count, std::uint32_t classes = 4) {
  Bytes data;
  for (std::uint32_t i = 0; i < count; ++i)
    data.push_back(static_cast<std::uint8_t>(i % classes));
  return idx({count}, data);
}

void write_packed(const fs::path& path, const Bytes& bytes) {
  const gzFile file = gzopen(path.c_str(), "wb");
  REQUIRE(file != nullptr);
  CHECK(gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size())) == static_cast<int>(bytes.size()));
  gzclose(file);
}

void write_train(const test::TemporaryFolder& folder) {
  test::write_bytes(folder / "train-images-idx3-ubyte", images(kTrain));
  test::write_bytes(folder / "train-labels-idx1-ubyte", labels(kTrain));
}

void write_test(const test::TemporaryFolder& folder) {
  test::write_bytes(folder / "t10k-images-idx3-ubyte", images(kTest));
  test::write_bytes(folder / "t10k-labels-idx1-ubyte", labels(kTest));
}

DataSource open_idx(const test::TemporaryFolder& folder, const DataOptions& options = {}) {
  return open_data((folder / "").string(), options);
}

TEST_CASE("MNIST's four files") {
  const test::TemporaryFolder folder;
  write_train(folder);
  write_test(folder);
  const DataSource data = open_idx(folder);
  CHECK(data.spec == (folder / "").string());
  CHECK(data.class_names == std::vector<std::string>{"0", "1", "2", "3"});
  CHECK(data.native_size == 3);
  CHECK(data.native_channels == 1);
  CHECK(data.fingerprint.size() == 32);
  CHECK(data.description.find("47 images, 4 classes, IDX files in ") == 0);
  REQUIRE(data.train->size() == kTrain);
  REQUIRE(data.val->size() == kTest);
  CHECK(data.train->label(17) == 1);
  CHECK(data.train->name(17) == "train[17]");
  CHECK(data.val->name(3) == "test[3]");
  const Image image = data.train->load(17, 1);
  CHECK(image.width == 3);
  CHECK(image.height == 3);
  CHECK(image.pixels == Bytes{17, 67, 117, 167, 217, 11, 61, 111, 161});
  const Image colour = data.train->load(17, 3);
  CHECK(colour.channels == 3);
  CHECK(Bytes(colour.pixels.begin(), colour.pixels.begin() + 6) == Bytes{17, 17, 17, 67, 67, 67});
}

TEST_CASE("packed and plain files are the same data, under both spellings") {
  const test::TemporaryFolder plain, packed, dotted;
  write_train(plain);
  write_test(plain);
  for (const auto& [name, bytes] : std::map<std::string, Bytes>{{"train-images-idx3-ubyte", images(kTrain)},
                                                                {"train-labels-idx1-ubyte", labels(kTrain)},
                                                                {"t10k-images-idx3-ubyte", images(kTest)},
                                                                {"t10k-labels-idx1-ubyte", labels(kTest)}}) {
    write_packed(packed / (name + ".gz"), bytes);
    std::string with_dot = name;
    with_dot.replace(name.find("-idx"), 4, ".idx");
    test::write_bytes(dotted / with_dot, bytes);
  }
  const DataSource one = open_idx(plain);
  for (const test::TemporaryFolder* folder : {&packed, &dotted}) {
    const DataSource other = open_idx(*folder);
    CHECK(other.fingerprint == one.fingerprint);
    REQUIRE(other.train->size() == one.train->size());
    for (std::int64_t i = 0; i < one.train->size(); ++i)
      CHECK(other.train->load(i, 1).pixels == one.train->load(i, 1).pixels);
  }
}

TEST_CASE("without test files images are set aside, some of each class") {
  const test::TemporaryFolder folder;
  write_train(folder);
  const DataSource data = open_idx(folder, {.val_fraction = 0.2, .seed = 3});
  CHECK(data.train->size() == 32);
  CHECK(data.val->size() == 8);
  std::map<std::int64_t, int> of_class;
  std::set<std::string> names;
  for (std::int64_t i = 0; i < data.val->size(); ++i) {
    ++of_class[data.val->label(i)];
    names.insert(data.val->name(i));
  }
  CHECK(of_class == std::map<std::int64_t, int>{{0, 2}, {1, 2}, {2, 2}, {3, 2}});
  for (std::int64_t i = 0; i < data.train->size(); ++i) {
    CHECK(data.train->label(i) == data.train->load(i, 1).pixels[0] % 4);
    names.insert(data.train->name(i));
  }
  CHECK(names.size() == kTrain);
  CHECK(open_idx(folder, {.val_fraction = 0.2, .seed = 3}).val->name(0) == data.val->name(0));
}

// Whether the folder is refused with these bytes in place of one of its files, by a message with `part`.
void check_refused(const std::string& name, const Bytes& bytes, const char* part) {
  const test::TemporaryFolder folder;
  write_train(folder);
  write_test(folder);
  test::write_bytes(folder / name, bytes);
  CAPTURE(std::string(part));
  CHECK_THROWS_WITH_AS(open_idx(folder), doctest::Contains(part), DataError);
  fs::remove(folder / name);
  write_packed(folder / (name + ".gz"), bytes);
  CHECK_THROWS_WITH_AS(open_idx(folder), doctest::Contains(part), DataError);
}

TEST_CASE("malformed files are refused, each way") {
  const char* const kImages = "train-images-idx3-ubyte";
  const char* const kLabels = "train-labels-idx1-ubyte";
  check_refused(kImages, {}, "expected a header of 16 bytes, found 0");
  check_refused(kImages, Bytes(15, 0), "expected a header of 16 bytes, found 15");
  check_refused(kImages, labels(kTrain), "expected the magic number 00000803, found 00000801");
  check_refused(kLabels, images(kTrain), "expected the magic number 00000801, found 00000803");
  Bytes floats = images(kTrain);
  floats[2] = 0x0D;
  check_refused(kImages, floats, "found 00000D03");
  check_refused(kImages, idx({0, 3, 3}, {}), "holds nothing");
  check_refused(kImages, idx({1, 0, 3}, {}), "expected 1 to 16384 a side");
  check_refused(kImages, idx({1, 3, 16385}, {}), "expected 1 to 16384 a side");
  check_refused(kImages, idx({0xFFFFFFFF, 16384, 16384}, {1}), "");
  check_refused(kLabels, labels(kTrain - 1), "40 images");
  check_refused("t10k-labels-idx1-ubyte", labels(kTest, 5), "up to 4, but there are only 4 classes");
  check_refused("t10k-images-idx3-ubyte", idx({kTest, 1, 1}, Bytes(kTest, 0)), "test images 1 x 1");
  Bytes longer = images(kTrain), shorter = images(kTrain);
  longer.push_back(0);
  shorter.pop_back();
  check_refused(kImages, longer, "376 bytes");
  check_refused(kImages, shorter, "found 375");
}

TEST_CASE("images without labels are refused") {
  const test::TemporaryFolder folder;
  write_train(folder);
  fs::remove(folder / "train-labels-idx1-ubyte");
  CHECK_THROWS_WITH_AS(open_idx(folder), doctest::Contains("no labels beside it"), DataError);
}

// An environment variable for as long as the object lives.
class Variable {
 public:
  explicit Variable(const std::string& value) { ::setenv("VITRAIL_DATASETS", value.c_str(), 1); }
  ~Variable() { ::unsetenv("VITRAIL_DATASETS"); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
};

TEST_CASE("fashion-mnist is found by its name, and has names") {
  const test::TemporaryFolder folder;
  const Variable variable((folder / "").string());
  CHECK_THROWS_WITH_AS(open_data("fashion-mnist", {}), doctest::Contains("dataset-fashion-mnist"), DataError);
  test::write_bytes(folder / "fashion-mnist" / "train-images-idx3-ubyte", images(kTrain));
  test::write_bytes(folder / "fashion-mnist" / "train-labels-idx1-ubyte", labels(kTrain));
  const DataSource data = open_data("fashion-mnist", {});
  CHECK(data.spec == "fashion-mnist");
  REQUIRE(data.class_names.size() == 10);
  CHECK(data.class_names[0] == "T-shirt/top");
  CHECK(data.class_names[9] == "Ankle boot");
}

TEST_CASE("the Debian package's files" *
          doctest::skip(!fs::exists("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz"))) {
  const DataSource data = open_data("fashion-mnist", {});
  CHECK(data.train->size() == 60000);
  CHECK(data.val->size() == 10000);
  CHECK(data.native_size == 28);
  std::array<double, 4> mean{}, std{};
  measure_mean_std(*data.train, 1, 60000, mean, std);
  CHECK(mean[0] == doctest::Approx(0.2860).epsilon(0.001));  // as published in many places
  CHECK(std[0] == doctest::Approx(0.3530).epsilon(0.001));
}

}  // namespace
}  // namespace vitrail
