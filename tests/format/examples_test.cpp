// The files of tests/museum and tests/corpus: that they are what their makers make, and what a reader says.

#include <doctest/doctest.h>

#include <fstream>
#include <set>

#include "format/copy.h"
#include "tests/support/format_examples.h"

namespace vitrail::format {
namespace {

using test::ByteVector;
using test::file_bytes;

const std::filesystem::path kTests = VITRAIL_TESTS_FOLDER;

TEST_CASE("every file of the corpus is refused by its rule and no other") {
  for (const test::CorpusFile& file : test::corpus()) {
    CAPTURE(file.name);
    const std::string refused = test::refusal(file.bytes);
    CHECK((refused.empty() ? "ok" : refused) == file.rule());
  }
}

TEST_CASE("the corpus has a file for every rule") {
  std::set<std::string> broken;
  for (const test::CorpusFile& file : test::corpus())
    broken.insert(file.rule());
  for (const RuleText& rule : kRules)
    CHECK_MESSAGE(broken.contains(rule.code), rule.code);
}

TEST_CASE("making the corpus again gives the files in the repository") {
  std::set<std::string> there, made{"expected.txt"};
  for (const auto& entry : std::filesystem::directory_iterator(kTests / "corpus"))
    there.insert(entry.path().filename());
  std::ifstream expected(kTests / "corpus" / "expected.txt");
  for (const test::CorpusFile& file : test::corpus()) {
    CAPTURE(file.name);
    made.insert(file.name);
    std::string name, rule;
    expected >> name >> rule;
    CHECK(name == file.name);
    CHECK(rule == file.rule());
    REQUIRE(there.contains(file.name));
    CHECK(file_bytes(kTests / "corpus" / file.name) == file.bytes);
    CHECK(file.bytes.size() <= 32768);
  }
  CHECK(there == made);
}

TEST_CASE("today's writer writes what stands in the museum") {
  for (const test::MuseumPiece& piece : test::museum()) {
    CAPTURE(piece.name);
    CHECK(file_bytes(kTests / "museum" / piece.name) == piece.bytes);
  }
}

TEST_CASE("a copy of a museum's file is the same file, whatever of it this build understands") {
  const test::TemporaryFolder folder;
  for (const test::MuseumPiece& piece : test::museum()) {
    CAPTURE(piece.name);
    copy_container(kTests / "museum" / piece.name, folder / piece.name);
    CHECK(file_bytes(folder / piece.name) == file_bytes(kTests / "museum" / piece.name));
  }
}

void check_tensors(const Container& file, const ContainerContents& expected) {
  CHECK_NOTHROW(file.verify_all());
  REQUIRE(file.tensors().size() == expected.tensors.size());
  for (const TensorRecord& tensor : expected.tensors) {
    const TensorRecord* found = file.find(tensor.role, tensor.name);
    REQUIRE(found != nullptr);
    CHECK(found->type == tensor.type);
    CHECK(found->shape == tensor.shape);
    CHECK(found->alias_of == tensor.alias_of);
    const Bytes bytes = file.read(*found);
    if (tensor.alias_of.empty())
      CHECK(std::equal(bytes.begin(), bytes.end(), tensor.bytes.begin(), tensor.bytes.end()));
  }
}

TEST_CASE("the museum's files of version 1.0 are read as what was written") {
  check_tensors(Container::open(kTests / "museum/weights-1.0.vitrail"), test::museum_weights());
  check_tensors(Container::open(kTests / "museum/model-1.0.vitrail"), test::museum_model());
  const Container checkpoint = Container::open(kTests / "museum/checkpoint-1.0.vitrail");
  check_tensors(checkpoint, test::museum_checkpoint());
  CHECK(checkpoint.root().table(7, "optimizer").i64(2, "step") == 7);
  CHECK(checkpoint.root().table(13, "input").strings(7, "labels")[1] == "dög");
  CHECK(checkpoint.read(*checkpoint.find(Role::parameter, "tied.weight")).data() ==
        checkpoint.read(*checkpoint.find(Role::parameter, "head.weight")).data());
}

TEST_CASE("a file of version 1.255 is opened, listed, verified and read as far as this build knows it") {
  const Container file = Container::open(kTests / "museum/later-1.255.vitrail");
  CHECK(file.root().text(1, "producer") == "vitrail 9.9");
  CHECK_NOTHROW(file.verify_all());
  REQUIRE(file.tensors().size() == 4);
  CHECK(get<std::uint8_t>(file.read(*file.find(Role::parameter, "head.weight")), 0) == 1);
  const TensorRecord* blocks = file.find(Role{40}, "blocks");
  REQUIRE(blocks != nullptr);
  CHECK(static_cast<int>(blocks->type) == 64);
  CHECK(blocks->shape == std::vector<std::int64_t>{5, 5});
  CHECK(file.byte_size(*blocks) == 17);
  std::string message;
  try {
    (void)file.read(*blocks);
  } catch (const FormatError& error) {
    message = error.what();
  }
  CHECK(message.find("tensor 'blocks' has element type 64") != std::string::npos);
}

TEST_CASE("what a newer file asks of its reader is refused with its writer's name") {
  for (const test::CorpusFile& file : test::corpus()) {
    if (file.rule() != "V06" && file.rule() != "V18") continue;
    const std::string message = test::refusal_message(file.bytes);
    CAPTURE(message);
    CHECK(message.find("written by 'corpus'") != std::string::npos);
    CHECK(message.find("newer build") != std::string::npos);
    const char* what = file.name.find("later") != std::string::npos     ? "feature bit 63"
                       : file.name.find("feature") != std::string::npos ? "feature bit 3"
                       : file.name.find("inside") != std::string::npos  ? "field 1 "
                                                                        : "field 600 ";
    CHECK(message.find(what) != std::string::npos);
  }
}

TEST_CASE("SPEC.md lists every rule with the words of the program") {
  std::ifstream in(kTests.parent_path() / "format/SPEC.md");
  const std::string spec((std::istreambuf_iterator<char>(in)), {});
  for (const RuleText& rule : kRules) {
    const std::string row = "| " + std::string(rule.code) + " | " + rule.text + " |\n";
    CHECK_MESSAGE(spec.find(row) != std::string::npos, row);
  }
}

}  // namespace
}  // namespace vitrail::format
