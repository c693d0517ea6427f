// Writes the files of tests/museum, tests/corpus and tests/corpus_torch again: make_examples TESTS_FOLDER

#include <cstdio>
#include <fstream>

#include "tests/support/format_examples.h"
#include "tests/support/format_torch_script.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_examples TESTS_FOLDER\n");
    return 2;
  }
  const std::filesystem::path tests = argv[1];
  std::filesystem::create_directories(tests / "museum");
  std::filesystem::create_directories(tests / "corpus");
  for (const vitrail::test::MuseumPiece& piece : vitrail::test::museum())
    vitrail::test::write_plainly(tests / "museum" / piece.name, piece.bytes);
  std::ofstream expected(tests / "corpus" / "expected.txt");
  for (const vitrail::test::CorpusFile& file : vitrail::test::corpus()) {
    vitrail::test::write_plainly(tests / "corpus" / file.name, file.bytes);
    expected << file.name << ' ' << file.rule() << '\n';
  }
  std::filesystem::create_directories(tests / "corpus_torch");
  std::ofstream reasons(tests / "corpus_torch" / "expected.txt");
  for (const vitrail::test::TorchCorpusFile& file : vitrail::test::torch_corpus()) {
    vitrail::test::write_plainly(tests / "corpus_torch" / file.name, file.bytes);
    reasons << file.name << ": " << file.reason << '\n';
  }
}
