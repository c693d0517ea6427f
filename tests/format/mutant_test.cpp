// What the fuzzers do (fuzz.cmake), for a moment, in every build.

#include <doctest/doctest.h>

#include <map>

#include "tests/support/format_examples.h"
#include "tests/support/format_mutator.h"

namespace vitrail::format {
namespace {

using test::ByteVector;

TEST_CASE("repairing a good file changes nothing") {
  for (const test::MuseumPiece& piece : test::museum()) {
    ByteVector file = piece.bytes;
    test::repair(file);
    CHECK(file == piece.bytes);
  }
}

TEST_CASE("every file of the corpus is treated as the format promises") {
  for (const test::CorpusFile& file : test::corpus()) {
    CAPTURE(file.name);
    CHECK_NOTHROW(test::check_promises(file.bytes));
  }
}

TEST_CASE("mutants with right checksums are accepted or refused by many rules, as the format promises") {
  std::map<std::string, int> rules;
  std::uint64_t seed = 1;
  for (const test::MuseumPiece& piece : test::museum()) {
    ByteVector file = piece.bytes;
    for (int round = 0; round < 1500; ++round) {
      const ByteVector mutant = test::mutant(file, ++seed);
      CAPTURE(seed);
      REQUIRE_NOTHROW(test::check_promises(mutant));
      const std::string rule = test::refusal(mutant);
      ++rules[rule];
      if (rule.empty()) file = mutant;  // several changes on top of one another
    }
  }
  CHECK(rules[""] > 500);
  CHECK(rules.size() > 20);
  CHECK(rules["V08"] < 1000);
}

TEST_CASE("mutants of a metadata block that are accepted have one encoding") {
  ByteVector block = encode_message(test::checkpoint_root());
  for (std::uint64_t seed = 1; seed < 3000; ++seed) {
    CAPTURE(seed);
    const ByteVector mutant = test::mutant_block(block, seed);
    REQUIRE_NOTHROW(test::check_message_promises(mutant));
    if (mutant.size() < 4000 && !verify_message(mutant).refusal.refused()) block = mutant;
  }
}

}  // namespace
}  // namespace vitrail::format
