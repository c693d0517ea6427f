// Every bit of a checkpoint flipped, every shorter and longer file: found, and said where.

#include <doctest/doctest.h>

#include <map>

#include "tests/support/format_examples.h"

namespace vitrail::format {
namespace {

using test::ByteVector;

// What a reader must say of damage at one byte: a rule, and the tensor where there is one.
struct Place {
  std::string rule, tensor;
  friend bool operator==(const Place&, const Place&) = default;
};

std::vector<Place> places(const ByteVector& file) {
  const Container whole = Container::open(file, "whole");
  const Prologue& prologue = whole.view().prologue;
  std::vector<Place> places(file.size(), {"V41", ""});
  const auto mark = [&](std::uint64_t begin, std::uint64_t end, const Place& place) {
    for (std::uint64_t i = begin; i < end; ++i)
      places[i] = place;
  };
  mark(0, 8, {"V02", ""});
  mark(8, kPrologueBytes, {"V03", ""});
  mark(kPrologueBytes, kPrologueBytes + prologue.meta_bytes, {"V08", ""});
  mark(kPrologueBytes + prologue.meta_bytes, prologue.data_offset, {"V09", ""});
  mark(file.size() - kFooterBytes, file.size(), {"V07", ""});
  for (const TensorRecord& tensor : whole.tensors()) {
    if (!tensor.alias_of.empty()) continue;
    const std::string name = std::to_string(static_cast<int>(tensor.role)) + tensor.name;
    mark(whole.offset(tensor), whole.offset(tensor) + whole.byte_size(tensor), {"V40", name});
  }
  return places;
}

Place found_in(const ByteVector& file) {
  try {
    const std::vector<Damage> damage = Container::open(file, "damaged").find_damage(1);
    // A flipped bool is wrong in its tensor's hash, and mostly by itself.
    const bool with_bool =
        damage.size() == 2 && damage[1].rule == Rule::V42 && damage[1].tensor == damage[0].tensor;
    if (damage.size() != 1 && !with_bool) return {"", std::to_string(damage.size()) + " places"};
    const bool tensor = damage[0].rule == Rule::V40;
    return {code_of(damage[0].rule),
            tensor ? std::to_string(static_cast<int>(damage[0].role)) + damage[0].tensor : ""};
  } catch (const FormatError& error) {
    return {error.code(), ""};
  }
}

TEST_CASE("every flipped bit of a checkpoint is found once, in the right place and tensor") {
  for (const test::MuseumPiece& piece : test::museum()) {
    const std::string name = piece.name;
    if (!name.starts_with("checkpoint") && !name.starts_with("later")) continue;
    ByteVector file = piece.bytes;
    const std::vector<Place> expected = places(file);
    std::size_t missed = 0;
    for (std::size_t bit = 0; bit < 8 * file.size(); ++bit) {
      const std::byte mask{static_cast<unsigned char>(1U << bit % 8)};
      file[bit / 8] ^= mask;
      if (found_in(file) != expected[bit / 8]) ++missed;
      file[bit / 8] ^= mask;
    }
    CAPTURE(name);
    CHECK(missed == 0);
  }
}

TEST_CASE("every shorter file, and every file that is up to two pages longer, is refused when it is opened") {
  const ByteVector whole = test::museum()[2].bytes;
  std::size_t missed = 0;
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
    const std::string rule =
        found_in({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(bytes)}).rule;
    if (rule != (bytes < 8 ? "V02" : "V01")) ++missed;
  }
  for (std::byte fill : {std::byte{0}, std::byte{0xFF}}) {
    ByteVector longer = whole;
    for (std::size_t more = 1; more <= 8192; ++more) {
      longer.push_back(fill);
      if (found_in(longer).rule != "V01") ++missed;
    }
  }
  CHECK(missed == 0);
}

}  // namespace
}  // namespace vitrail::format
