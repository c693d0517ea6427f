#pragma once
// Whole files as examples: the museum of tests/museum, which every later build must read and write alike, and
// the corpus of tests/corpus, in which each file breaks one rule of the format.

#include "tests/support/format_assembler.h"

namespace vitrail::test {

struct MuseumPiece {
  const char* name;
  ByteVector bytes;
};

// Version 1.0: weights, a model, a checkpoint with tied weights; and "1.255", a synthetic file of a later
// version with everything in it that such a file may add.
std::vector<MuseumPiece> museum();
format::ContainerContents museum_weights();
format::ContainerContents museum_model();
format::ContainerContents museum_checkpoint();

struct CorpusFile {
  std::string name;  // begins with the rule that refuses it, or with "ok"
  ByteVector bytes;
  std::string rule() const { return name.starts_with("ok") ? "ok" : name.substr(0, 3); }
};

std::vector<CorpusFile> corpus();

// Root tables with what SPEC.md, "Sections", asks for.
format::Table model_root();
format::Table checkpoint_root();
ByteVector counted(std::size_t bytes, unsigned first);  // first, first + 1, …

}  // namespace vitrail::test
