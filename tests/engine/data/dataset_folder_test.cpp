#include <doctest/doctest.h>

#include <map>
#include <set>

#include "engine/data/dataset.h"
#include "engine/error.h"
#include "tests/support/data_files.h"
#include "tests/support/temporary_folder.h"

namespace vitrail {
namespace {

using test::Bytes;
using Folder = test::TemporaryFolder;
namespace fs = std::filesystem;

void add(const Folder& folder, const std::string& name, const char* source = "rgb.png") {
  test::write_bytes(folder / name, test::read_bytes(test::fixture(source)));
}

DataSource open(const Folder& folder, const DataOptions& options = {}) {
  return open_data((folder / "").string(), options);
}

// The names of images by class, the folder itself left out.
std::map<std::int64_t, std::vector<std::string>> names_by_class(const Dataset& data, const Folder& folder) {
  std::map<std::int64_t, std::vector<std::string>> names;
  for (std::int64_t i = 0; i < data.size(); ++i)
    names[data.label(i)].push_back(fs::path(data.name(i)).lexically_relative(folder / "").generic_string());
  return names;
}

TEST_CASE("train and val folders; classes are sorted, endings in any case, other files ignored") {
  const Folder folder;
  for (const char* name : {"train/zebra/b.PNG", "train/zebra/a.jpeg", "train/ant/1.png",
                           "train/ant/more/2.JPG", "val/zebra/c.png"})
    add(folder, name, std::string(name).find(".j") != std::string::npos ? "rgb444.jpg" : "rgb.png");
  test::write_bytes(folder / "train/zebra/notes.txt", Bytes{'x'});
  test::write_bytes(folder / "train/readme.md", Bytes{'x'});
  test::write_bytes(folder / "train/ant/.hidden.png", Bytes{'x'});
  const DataSource data = open(folder);
  CHECK(data.class_names == std::vector<std::string>{"ant", "zebra"});
  CHECK(names_by_class(*data.train, folder) ==
        std::map<std::int64_t, std::vector<std::string>>{{0, {"train/ant/1.png", "train/ant/more/2.JPG"}},
                                                         {1, {"train/zebra/a.jpeg", "train/zebra/b.PNG"}}});
  CHECK(names_by_class(*data.val, folder) ==
        std::map<std::int64_t, std::vector<std::string>>{{1, {"val/zebra/c.png"}}});
  CHECK(data.description.find("5 images, 2 classes, folders in ") == 0);
  CHECK(data.description.find("validation in val/; 2 other files ignored") != std::string::npos);
  CHECK(data.train->load(0, 3).width == 11);
}

TEST_CASE("val has other names too") {
  for (const char* name : {"valid", "validation", "test"}) {
    const Folder folder;
    for (const char* file : {"train/a/1.png", "train/b/1.png"})
      add(folder, file);
    add(folder, std::string(name) + "/a/2.png");
    CHECK(open(folder).val->size() == 1);
  }
}

void add_classes(const Folder& folder, const std::string& before) {
  for (int i = 0; i < 20; ++i)
    add(folder, before + "a/" + std::to_string(i) + ".png");
  for (int i = 0; i < 10; ++i)
    add(folder, before + "b/" + std::to_string(i) + ".png");
  add(folder, before + "c/0.png");
  add(folder, before + "c/1.png");
  add(folder, before + "d/0.png");
}

TEST_CASE("without val some of each class are set aside, by the seed") {
  for (const std::string before : {"", "train/"}) {
    const Folder folder;
    add_classes(folder, before);
    const auto val_names = [&](std::uint64_t seed) {
      return names_by_class(*open(folder, {.val_fraction = 0.3, .seed = seed}).val, folder);
    };
    const auto names = val_names(1);
    CHECK(names.at(0).size() == 6);
    CHECK(names.at(1).size() == 3);
    CHECK(names.at(2).size() == 1);
    CHECK_FALSE(names.contains(3));  // its only image stays for training
    CHECK(val_names(1) == names);
    CHECK(val_names(2) != names);
    const DataSource data = open(folder, {.val_fraction = 0.3, .seed = 1});
    std::set<std::string> all;
    for (const auto& part : {data.train, data.val})
      for (std::int64_t i = 0; i < part->size(); ++i)
        all.insert(part->name(i));
    CHECK(all.size() == 33);
    CHECK(data.train->size() == 23);
  }
}

TEST_CASE("a class that only val has is refused by name") {
  const Folder folder;
  for (const char* name : {"train/a/1.png", "train/b/1.png", "val/a/2.png", "val/cat/2.png"})
    add(folder, name);
  CHECK_THROWS_WITH_AS(open(folder), doctest::Contains("val/cat"), DataError);
}

TEST_CASE("folders without images are refused by name") {
  const Folder empty_class, one_class, nothing, empty_val, stray;
  add(empty_class, "a/1.png");
  fs::create_directories(empty_class / "b");
  CHECK_THROWS_WITH_AS(open(empty_class), doctest::Contains("/b' holds no PNG or JPEG"), DataError);
  add(one_class, "a/1.png");
  CHECK_THROWS_WITH_AS(open(one_class), doctest::Contains("only the folder 'a'"), DataError);
  CHECK_THROWS_WITH_AS(open(nothing), doctest::Contains("no folders"), DataError);
  for (const char* name : {"train/a/1.png", "train/b/1.png"})
    add(empty_val, name);
  fs::create_directories(empty_val / "val");
  CHECK_THROWS_WITH_AS(open(empty_val), doctest::Contains("val' holds no"), DataError);
  add(stray, "1.png");
  CHECK_THROWS_WITH_AS(open(stray), doctest::Contains("1 other files"), DataError);
  CHECK_THROWS_WITH_AS(open_data((stray / "1.png").string(), {}), doctest::Contains("is a file"), DataError);
  CHECK_THROWS_WITH_AS(open_data((stray / "none").string(), {}), doctest::Contains("fashion-mnist"),
                       DataError);
}

TEST_CASE("no class with two images, and impossible shares") {
  const Folder folder;
  add(folder, "a/1.png");
  add(folder, "b/1.png");
  CHECK_THROWS_WITH_AS(open(folder), doctest::Contains("set aside"), DataError);
  CHECK_THROWS_AS(open(folder, {.val_fraction = 0}), ConfigError);
  CHECK_THROWS_AS(open(folder, {.val_fraction = 1}), ConfigError);
}

TEST_CASE("native size and channels come from the headers") {
  const Folder grey, square;
  for (const char* name : {"a/1.png", "a/2.png", "b/1.png"})
    add(grey, name, "grey.png");
  CHECK(open(grey).native_channels == 1);
  CHECK(open(grey).native_size == 0);  // 11 x 7 is no square
  add(grey, "b/2.jpg", "rgb420.jpg");
  CHECK(open(grey).native_channels == 3);
  for (const char* name : {"a/1.png", "a/2.png", "b/1.png"}) {
    Bytes bytes = test::read_bytes(test::fixture("rgb.png"));
    bytes[23] = 11;  // the height: only headers are looked at
    test::write_bytes(square / name, bytes);
  }
  CHECK(open(square).native_size == 11);
  CHECK(open(square).native_channels == 3);
  add(square, "b/2.png");
  CHECK(open(square).native_size == 0);
}

TEST_CASE("the fingerprint follows names and sizes") {
  const Folder folder, same;
  for (const Folder* one : {&folder, &same})
    for (const char* name : {"a/1.png", "a/2.png", "b/1.png"})
      add(*one, name);
  const std::string first = open(folder).fingerprint;
  CHECK(open(same).fingerprint == first);
  fs::rename(same / "a/2.png", same / "a/3.png");
  CHECK(open(same).fingerprint != first);
  add(folder, "b/1.png", "grey.png");
  CHECK(open(folder).fingerprint != first);
}

}  // namespace
}  // namespace vitrail
