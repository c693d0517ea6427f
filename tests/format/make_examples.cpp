// Writes the files of tests/museum and tests/corpus again: make_examples TESTS_FOLDER

#include <cstdio>
#include <fstream>

#include "tests/support/format_examples.h"

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
}
