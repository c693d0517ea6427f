// `.pt` files: what stands in them, what is refused, and what is written. What PyTorch itself reads and
// writes is compared in tests/oracles/check_torch_files.py.

#include "format/torch_file.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <malloc.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>

#include "format/zip.h"
#include "tests/support/format_torch_script.h"
#include "tests/support/hooked_files.h"
#include "tests/support/memory.h"

namespace vitrail::format {
namespace {

using test::ByteVector;
using test::file_bytes;
using test::floats;
using test::PickleScript;
using test::TemporaryFolder;

const std::filesystem::path kTests = VITRAIL_TESTS_FOLDER;

std::string refusal_of(Bytes file, TorchFile::Check check = TorchFile::Check::all) {
  try {
    (void)TorchFile::open(file, "file", check);
    return "ok";
  } catch (const FormatError& error) {
    return error.what();
  }
}

std::vector<float> values_of(const TensorRecord& tensor) {
  std::vector<float> values(tensor.bytes.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

TensorRecord record(std::string name, std::vector<std::int64_t> shape, const std::vector<float>& values) {
  return {.name = std::move(name), .shape = std::move(shape), .bytes = std::as_bytes(std::span(values))};
}

TEST_CASE("every file of the corpus is read or refused for its reason") {
  for (const test::TorchCorpusFile& file : test::torch_corpus()) {
    CAPTURE(file.name);
    const std::string found = refusal_of(file.bytes);
    CAPTURE(found);
    CHECK(found.find(file.reason) != std::string::npos);
    CHECK((found == "ok" || found.starts_with("file")));
  }
  CHECK_FALSE(std::filesystem::exists("executed"));
}

TEST_CASE("no hostile file takes more memory than the limits allow" * doctest::skip(test::kSanitized)) {
  constexpr std::int64_t kMost = std::int64_t{320}
                                 << 20;  // of values, of the tree, and of the allocator's rounding
  std::int64_t most = 0;
  for (const test::TorchCorpusFile& file : test::torch_corpus()) {
    ::malloc_trim(0);  // what earlier tests have freed would be taken again, unseen
    const std::int64_t before = test::resident_bytes();
    test::peak_resident_bytes();
    (void)refusal_of(file.bytes);
    const std::int64_t taken = test::peak_resident_bytes() - before;
    CHECK_MESSAGE(taken <= kMost, file.name);
    most = std::max(most, taken);
  }
  CHECK(most > std::int64_t{16} << 20);  // else the measurement sees nothing
}

TEST_CASE("loading takes the memory of the tensors, and at most 16 MiB" * doctest::skip(test::kSanitized)) {
  const TemporaryFolder folder;
  constexpr std::int64_t kFloats = 4 << 20, kTensors = 4;
  std::vector<float> values(kFloats, 1.5F);
  std::vector<std::vector<float>> sources(kTensors, values), copies(kTensors);
  std::vector<TensorRecord> tensors;
  Datum::Dict root;
  for (std::size_t i = 0; i < kTensors; ++i) {
    tensors.push_back(record(std::string(1, static_cast<char>('a' + i)), {kFloats}, sources[i]));
    root.items.push_back({tensors.back().name, Datum::Tensor{i}});
  }
  write_torch(folder / "large.pt", root, tensors);
  ::malloc_trim(0);
  const std::int64_t before = test::resident_bytes();
  test::peak_resident_bytes();
  const TorchFile file = TorchFile::open(folder / "large.pt");
  for (std::size_t i = 0; i < kTensors; ++i) {
    copies[i].resize(kFloats);
    file.copy(file.tensors()[i], std::as_writable_bytes(std::span(copies[i])));
  }
  const std::int64_t taken = test::peak_resident_bytes() - before, bytes = 4 * kFloats * kTensors;
  CHECK(taken >= bytes);
  CHECK(taken <= bytes + (std::int64_t{16} << 20));
  CHECK(copies == sources);
  CHECK(values_of(file.tensors()[0]) == sources[0]);  // it can be read again
}

TEST_CASE("tensors are copied and their storages' CRCs checked in one pass") {
  const TemporaryFolder folder;
  const std::vector<float> large(300'001, 2.5F), small{1, 2, 3};
  std::vector<TensorRecord> tensors{record("large", {300'001}, large), record("small", {3}, small)};
  Datum::Dict root;
  for (std::size_t i = 0; i < tensors.size(); ++i)
    root.items.push_back({tensors[i].name, Datum::Tensor{i}});
  const auto path = folder / "x.pt";
  write_torch(path, root, tensors);
  const auto loaded = [&](const std::filesystem::path& from) {
    const TorchFile file = TorchFile::open(from, TorchFile::Check::structure);
    std::vector<std::vector<float>> values;
    for (int twice = 0; twice < 2; ++twice) {  // into two places each
      for (const TensorRecord& tensor : file.tensors())
        values.emplace_back(tensor.bytes.size() / sizeof(float));
    }
    std::vector<TorchFile::Copy> copies;
    for (std::size_t i = 0; i < values.size(); ++i)
      copies.push_back(
          {&file.tensors()[i % file.tensors().size()], std::as_writable_bytes(std::span(values[i]))});
    file.load(copies);
    for (std::size_t i = 0; i < values.size(); ++i)
      CHECK(values[i] == values_of(file.tensors()[i % file.tensors().size()]));
    return values;
  };
  CHECK(loaded(path) == std::vector{large, small, large, small});
  CHECK(loaded(kTests / "corpus_torch" / "ok-weights.pt")[1] == std::vector<float>{1, 4, 2, 5, 3, 6});
  CHECK(loaded(kTests / "corpus_torch" / "ok-shared-storage.pt").size() == 6);
  CHECK(loaded(kTests / "corpus_torch" / "ok-legacy.pt").size() == 4);

  ByteVector bytes = file_bytes(path);
  const TorchFile whole = TorchFile::open(bytes, "x", TorchFile::Check::structure);
  bytes[static_cast<std::size_t>(whole.tensors()[0].bytes.data() - bytes.data()) + 1'000'000] ^= std::byte{4};
  ByteVector room(4 * 300'001);
  const TorchFile::Copy one{&whole.tensors()[0], room};
  CHECK_THROWS_WITH_AS(whole.load({&one, 1}), doctest::Contains("data/0"), FormatError);
  const TorchFile::Copy other{&whole.tensors()[1], std::span(room).first(12)};
  CHECK_THROWS_AS(whole.load({&other, 1}), FormatError);  // all storages are checked
}

TEST_CASE("making the corpus again gives the files in the repository") {
  std::set<std::string> there, made{"expected.txt"};
  for (const auto& entry : std::filesystem::directory_iterator(kTests / "corpus_torch"))
    there.insert(entry.path().filename());
  std::ifstream expected(kTests / "corpus_torch" / "expected.txt");
  for (const test::TorchCorpusFile& file : test::torch_corpus()) {
    CAPTURE(file.name);
    made.insert(file.name);
    std::string line;
    std::getline(expected, line);
    CHECK(line == file.name + ": " + file.reason);
    REQUIRE(there.contains(file.name));
    CHECK(file_bytes(kTests / "corpus_torch" / file.name) == file.bytes);
  }
  CHECK(there == made);
}

TEST_CASE("tensors are views where the file has them dense, else copies; the shared ones are aliases") {
  const ByteVector bytes = file_bytes(kTests / "corpus_torch" / "ok-weights.pt");
  const TorchFile file = TorchFile::open(bytes, "weights");
  REQUIRE(file.tensors().size() == 2);
  const TensorRecord &a = file.tensors()[0], &b = file.tensors()[1];
  CHECK(a.name == "a");
  CHECK(a.shape == std::vector<std::int64_t>{2});
  CHECK(values_of(a) == std::vector<float>{1, -2});
  CHECK(a.bytes.data() >= bytes.data());
  CHECK(a.bytes.data() < bytes.data() + bytes.size());
  CHECK(b.shape == std::vector<std::int64_t>{3, 2});  // strides 1 and 3
  CHECK(values_of(b) == std::vector<float>{1, 4, 2, 5, 3, 6});
  CHECK(file.root().find("b")->as<Datum::Tensor>()->index == 1);

  const ByteVector shared_bytes = file_bytes(kTests / "corpus_torch" / "ok-shared-storage.pt");
  const TorchFile shared = TorchFile::open(shared_bytes, "shared");
  REQUIRE(shared.tensors().size() == 3);
  CHECK(shared.tensors()[1].alias_of == "a");
  CHECK(shared.tensors()[1].bytes.data() == shared.tensors()[0].bytes.data());
  CHECK(shared.tensors()[2].alias_of.empty());
  CHECK(values_of(shared.tensors()[2]) == std::vector<float>{3, 5});
}

TEST_CASE("the form before torch 1.6 gives the same tensors") {
  const TorchFile file = TorchFile::open(kTests / "corpus_torch" / "ok-legacy.pt");
  REQUIRE(file.tensors().size() == 2);
  CHECK(values_of(file.tensors()[0]) == std::vector<float>{1, -2});
  CHECK(values_of(file.tensors()[1]) == std::vector<float>{1, 4, 2, 5, 3, 6});
  for (const TensorRecord& tensor : file.tensors())
    CHECK(reinterpret_cast<std::uintptr_t>(tensor.bytes.data()) % sizeof(float) == 0);
}

TEST_CASE("plain values come out as what they are") {
  const TorchFile file = TorchFile::open(kTests / "corpus_torch" / "ok-values.pt");
  const Datum& root = file.root();
  CHECK(*root.find("epoch")->as<std::int64_t>() == -3);
  CHECK(*root.find("lr")->as<double>() == 1e-3);
  const Datum::List& betas = *root.find("betas")->as<Datum::List>();
  CHECK(betas.tuple);
  CHECK(*betas.items[1].as<std::int64_t>() == 258);
  CHECK(root.find("nothing")->is_none());
  CHECK(*root.find("yes")->as<bool>());
  CHECK(*root.find("list")->as<Datum::List>()->items[0].as<std::int64_t>() == -1);
  CHECK(*root.find("device")->as<std::string>() == "cuda:1");
  CHECK(*root.find("args")->find("seed")->as<std::int64_t>() == 7);
}

TEST_CASE("with Check::structure damage of a storage is found when it is asked for") {
  const ByteVector bytes = file_bytes(kTests / "corpus_torch" / "storage-damaged.pt");
  const TorchFile file = TorchFile::open(bytes, "damaged", TorchFile::Check::structure);
  CHECK(file.tensors().size() == 2);
  CHECK_THROWS_WITH_AS(file.check_storages(), doctest::Contains("damaged: zip archive: 'archive/data/0'"),
                       FormatError);
  CHECK(refusal_of(file_bytes(kTests / "corpus_torch" / "pickle-damaged.pt"), TorchFile::Check::structure)
            .find("data.pkl") != std::string::npos);
}

TEST_CASE(
    "a file that is cut off anywhere, or has one bit flipped, never crashes; its tensors' bits are all "
    "found") {
  for (const char* name : {"ok-weights.pt", "ok-legacy.pt"}) {
    CAPTURE(name);
    const ByteVector whole = file_bytes(kTests / "corpus_torch" / name);
    for (std::size_t size = 0; size < whole.size(); ++size)
      if (refusal_of(Bytes(whole).first(size)) == "ok")
        FAIL(fmt::format("{} bytes are taken for the whole", size));
    for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
      ByteVector damaged = whole;
      damaged[bit / 8] ^= std::byte{1} << (bit % 8);
      (void)refusal_of(damaged);
    }
  }
  const ByteVector whole = file_bytes(kTests / "corpus_torch" / "ok-weights.pt");
  const ZipReader zip(whole);
  for (const ZipEntry& entry : zip.entries()) {
    for (std::size_t bit = 8 * entry.offset; bit < 8 * (entry.offset + entry.size); ++bit) {
      ByteVector damaged = whole;
      damaged[bit / 8] ^= std::byte{1} << (bit % 8);
      if (refusal_of(damaged) == "ok") FAIL(fmt::format("bit {} of {} is not missed", bit % 8, entry.name));
    }
  }
}

Datum::Dict tree_of(std::size_t tensors) {
  Datum::Dict dict;
  for (std::size_t i = 0; i < tensors; ++i)
    dict.items.push_back({std::string(1, static_cast<char>('a' + i)), Datum::Tensor{i}});
  return dict;
}

TEST_CASE("what is written is read again, with its tied tensors, and the same contents are the same bytes") {
  const TemporaryFolder folder;
  const std::vector<float> one{1, 2, 3, 4, 5, 6}, two{7, 8};
  std::vector<TensorRecord> tensors = {record("a", {2, 3}, one), record("b", {6}, {}), record("c", {2}, two),
                                       record("d", {0, 4}, {}), record("e", {}, {})};
  tensors[1].alias_of = "a";
  tensors[4].bytes = std::as_bytes(std::span(two)).first(4);
  Datum::Dict root = tree_of(5);
  root.items.push_back({"epoch", 3});
  const WriteResult first = write_torch(folder / "first.pt", root, tensors);
  const TorchFile file = TorchFile::open(folder / "first.pt");
  REQUIRE(file.tensors().size() == 5);
  CHECK(values_of(file.tensors()[0]) == one);
  CHECK(file.tensors()[1].bytes.data() == file.tensors()[0].bytes.data());
  CHECK(file.tensors()[1].shape == std::vector<std::int64_t>{6});
  CHECK(values_of(file.tensors()[2]) == two);
  CHECK(file.tensors()[3].shape == std::vector<std::int64_t>{0, 4});
  CHECK(file.tensors()[4].shape.empty());
  CHECK(*file.root().find("epoch")->as<std::int64_t>() == 3);
  CHECK(first.file_bytes == std::filesystem::file_size(folder / "first.pt"));

  const std::vector<float> same = one;
  tensors[0].bytes = std::as_bytes(std::span(same));
  const WriteResult second =
      write_torch(folder / "second.pt", root, tensors, {.mode = WriteMode::buffered, .read_back = true});
  CHECK(file_bytes(folder / "second.pt") == file_bytes(folder / "first.pt"));
  CHECK(second.content_id == first.content_id);
  const std::vector<float> other{1, 2, 3, 4, 5, 7};
  tensors[0].bytes = std::as_bytes(std::span(other));
  CHECK(write_torch(folder / "third.pt", root, tensors).content_id != first.content_id);
}

TEST_CASE("large tensors go through whole pages, and each is reported once it was read") {
  const TemporaryFolder folder;
  for (const std::size_t count : {1000UL, 1024UL, 3UL << 20}) {
    CAPTURE(count);
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i)
      values[i] = static_cast<float>(i);
    const std::vector<TensorRecord> tensors = {record("a", {static_cast<std::int64_t>(count)}, values)};
    std::vector<std::string> consumed;
    const auto on_consumed = [&](const TensorRecord& tensor) { consumed.push_back(tensor.name); };
    write_torch(folder / "file.pt", tree_of(1), tensors, {.read_back = true, .on_consumed = on_consumed});
    CHECK(consumed == std::vector<std::string>{"a"});
    CHECK(values_of(TorchFile::open(folder / "file.pt").tensors()[0]) == values);
  }
}

TEST_CASE("when a call of the file system fails, the old file or the new one stands there, whole") {
  const TemporaryFolder folder(test::fast_folder());
  const std::vector<float> before{1, 2}, after(3000, 3);
  const auto save = [&](const std::vector<float>& values, FileSystem* files) {
    const std::vector<TensorRecord> tensors = {record("a", {std::ssize(values)}, values)};
    write_torch(folder / "a.pt", tree_of(1), tensors, {.files = files});
  };
  int failures = 0;
  for (int failing = 1;; ++failing) {
    CAPTURE(failing);
    save(before, nullptr);
    int calls = 0;
    test::HookedFiles files([&](test::FileCall, std::size_t) -> test::CallFate {
      if (++calls < failing) return {};
      return {.result = -EIO};  // and from then on for good
    });
    bool failed = false;
    try {
      save(after, &files);
    } catch (const FileError&) {
      failed = true;
      ++failures;
    }
    const std::vector<float> found = values_of(TorchFile::open(folder / "a.pt").tensors()[0]);
    CHECK((found == before || found == after));
    if (!failed) CHECK(found == after);
    if (calls < failing) break;
  }
  CHECK(failures > 5);
}

TEST_CASE("what torch does not have is not written") {
  const TemporaryFolder folder;
  std::vector<TensorRecord> tensors = {record("a", {2}, {})};
  tensors[0].type = ElementType::i4;
  CHECK_THROWS_WITH_AS(write_torch(folder / "a.pt", tree_of(1), tensors), doctest::Contains("not written"),
                       FormatError);
  tensors[0].type = ElementType::f32;
  tensors[0].alias_of = "b";
  CHECK_THROWS_WITH_AS(write_torch(folder / "a.pt", tree_of(1), tensors), doctest::Contains("expected 'b'"),
                       FormatError);
  CHECK_FALSE(std::filesystem::exists(folder / "a.pt"));
}

TEST_CASE("a file that is not there, or is no file, is an error of the file system") {
  CHECK_THROWS_AS(TorchFile::open(kTests / "no such file.pt"), FileError);
  CHECK_THROWS_AS(TorchFile::open(kTests), FileError);
}

}  // namespace
}  // namespace vitrail::format
