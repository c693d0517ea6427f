#pragma once
// Mutants of a container that get past its checksums: what a faulty or hostile writer would write.

#include "tests/support/format_file.h"

namespace vitrail::test {

// xorshift64 (Marsaglia 2003).
class Draws {
 public:
  explicit Draws(std::uint64_t seed) : state_(seed * 2 + 1) {}
  std::uint64_t below(std::uint64_t limit);  // 0 … limit − 1
  std::uint64_t number();                    // often one that stands at the edge of something

 private:
  std::uint64_t state_;
};

// Makes right what follows from the rest: sizes and offsets of the prologue, hashes of tensors and roles, the
// content id, all checksums. Leaves alone what cannot be read for it.
void repair(ByteVector& file);

// One change to a copy of `file`: to its metadata as a tree, to bytes of its metadata, to a number of its
// prologue or directory, or to its data; mostly repaired.
ByteVector mutant(const ByteVector& file, std::uint64_t seed);
ByteVector mutant_block(const ByteVector& metadata, std::uint64_t seed);

// Throws std::logic_error when a reader and a writer do not treat these bytes as they must: whatever is
// accepted can be listed and read, and copied to the same bytes.
void check_promises(const ByteVector& file);
void check_message_promises(const ByteVector& block);

}  // namespace vitrail::test
