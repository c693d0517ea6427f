// Prologue and metadata of a damaged file: as they are, with one bit put right, or from the footer.

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "format/salvage.h"

namespace vitrail::format {
namespace {

// Trying every bit of larger metadata would take minutes.
constexpr std::uint64_t kMaxBitSearch = std::uint64_t{256} << 10;

using Block = std::vector<std::byte>;

Block read_up_to(const Source& source, std::uint64_t offset, std::uint64_t bytes) {
  Block block(offset >= source.size() ? 0 : std::min(bytes, source.size() - offset));
  source.read(offset, block);
  return block;
}

void flip(Block& block, std::uint64_t bit) {
  block[bit / 8] ^= std::byte{1} << (bit % 8);
}

// The rules for the prologue, whatever size the file has by now.
bool holds(const Block& prologue, Prologue& out) {
  return prologue.size() == kPrologueBytes &&
         !check_prologue(prologue, get<std::uint64_t>(prologue, 16), out).refused();
}

bool repair_one_bit(Block& prologue, Prologue& out) {
  if (prologue.size() != kPrologueBytes) return false;
  for (std::uint64_t bit = 0; bit < 8 * kPrologueBytes; ++bit) {
    flip(prologue, bit);
    if (holds(prologue, out)) return true;
    flip(prologue, bit);
  }
  return false;
}

// How many bytes of metadata have this hash: they begin at a known place, and end at a multiple of 8.
std::optional<std::uint64_t> find_metadata_size(const Source& source, const Hash128& hash,
                                                std::uint64_t limit) {
  constexpr std::uint64_t kSearched = 64 << 10;
  Hasher128 hasher;
  for (std::uint64_t begin = 0; begin < limit; begin += kSearched) {
    const Block block = read_up_to(source, kPrologueBytes + begin, std::min(kSearched, limit - begin));
    for (std::uint64_t at = 0; at + 8 <= block.size(); at += 8) {
      hasher.add(Bytes(block).subspan(at, 8));
      if (Hasher128(hasher).take() == hash) return begin + at + 8;
    }
  }
  return std::nullopt;
}

// The footer repeats all of the prologue that does not follow from the rest.
std::optional<Prologue> prologue_from_footer(const Source& source, std::vector<std::string>& notes) {
  if (source.size() < kPrologueBytes + kFooterBytes) return std::nullopt;
  const Block footer = read_up_to(source, source.size() - kFooterBytes, kFooterBytes);
  if (std::memcmp(footer.data(), kFooterMagic, sizeof(kFooterMagic)) != 0 ||
      get<std::uint64_t>(footer, 56) != hash64(Bytes(footer).first(56))) {
    return std::nullopt;
  }
  Prologue prologue;
  prologue.file_bytes = get<std::uint64_t>(footer, 8);
  prologue.content_id = hash_at(footer, 16);
  prologue.meta_hash = hash_at(footer, 32);
  const std::uint64_t limit = std::min(kMaxMetaBytes, source.size() - kPrologueBytes - kFooterBytes);
  const std::optional<std::uint64_t> meta_bytes = find_metadata_size(source, prologue.meta_hash, limit);
  if (!meta_bytes) return std::nullopt;
  prologue.meta_bytes = *meta_bytes;
  prologue.data_offset = align(kPrologueBytes + *meta_bytes, kPage);
  if (prologue.file_bytes < prologue.data_offset + kFooterBytes) return std::nullopt;
  notes.emplace_back("the prologue is damaged; it was restored from the footer");
  for (std::uint32_t kind = 1; kind <= 5; ++kind) {
    prologue.kind = FileKind{kind};
    if (get<std::uint64_t>(encode_prologue(prologue), 120) == get<std::uint64_t>(footer, 48)) return prologue;
  }
  // Written by a later version: what it adds is ignored, as far as the rules of a later minor allow.
  prologue.kind = FileKind::weights;
  prologue.minor = 255;
  notes.emplace_back("what kind of file it was could not be told");
  return prologue;
}

Prologue find_prologue(const Source& source, std::vector<std::string>& notes) {
  Block block = read_up_to(source, 0, kPrologueBytes);
  Prologue prologue;
  if (holds(block, prologue)) {
    const Block footer = read_up_to(source, prologue.file_bytes - kFooterBytes, kFooterBytes);
    if (source.size() < prologue.file_bytes) {
      notes.push_back(
          fmt::format("the file is cut off: {} of {} bytes are there", source.size(), prologue.file_bytes));
    } else if (source.size() > prologue.file_bytes) {
      notes.push_back(fmt::format("{} bytes too many stand at its end", source.size() - prologue.file_bytes));
    }
    if (footer.size() == kFooterBytes && check_footer(block, footer).refused())
      notes.emplace_back("the footer is damaged");
    return prologue;
  }
  if (repair_one_bit(block, prologue)) {
    notes.emplace_back("one bit of the prologue was flipped, and was put right");
    return prologue;
  }
  if (const std::optional<Prologue> restored = prologue_from_footer(source, notes)) return *restored;
  Prologue ignored;
  const Refusal refusal = check_prologue(block, source.size(), ignored);
  throw FormatError(fmt::format("nothing can be rescued: neither prologue nor footer can be relied on ({})",
                                to_error(refusal).what()));
}

// The one bit whose flipping gives the hash. What stands before it is hashed once.
bool repair_one_bit(Block& meta, const Hash128& hash) {
  constexpr std::uint64_t kStep = 1024;
  Hasher128 before;
  for (std::uint64_t begin = 0; begin < meta.size(); begin += kStep) {
    const std::uint64_t end = std::min<std::uint64_t>(begin + kStep, meta.size());
    for (std::uint64_t bit = 8 * begin; bit < 8 * end; ++bit) {
      flip(meta, bit);
      Hasher128 hasher = before;
      hasher.add(Bytes(meta).subspan(begin));
      if (hasher.take() == hash) return true;
      flip(meta, bit);
    }
    before.add(Bytes(meta).subspan(begin, end - begin));
  }
  return false;
}

SalvagedHead sealed(const Prologue& prologue, const Block& meta) {
  SalvagedHead result;
  result.file_bytes = prologue.file_bytes;
  result.head = encode_prologue(prologue);
  result.head.insert(result.head.end(), meta.begin(), meta.end());
  result.footer = encode_footer(result.head);
  result.head.resize(prologue.data_offset);
  return result;
}

// A directory that the content id vouches for can be used, whatever else in the metadata is damaged.
SalvagedHead damaged_metadata(Prologue prologue, const Block& meta) {
  prologue.meta_hash = hash128(meta);
  SalvagedHead result = sealed(prologue, meta);
  const Refusal refusal = verify_file(result.head, result.footer, result.file_bytes).refusal;
  if (refusal.refused()) {
    throw FormatError(fmt::format(
        "nothing can be rescued: the metadata are damaged, and with them the list of tensors ({})",
        to_error(refusal).what()));
  }
  result.notes.emplace_back("the metadata are damaged; the list of tensors is not, by its content id");
  return result;
}

}  // namespace

SalvagedHead salvage_head(const Source& source) {
  std::vector<std::string> notes;
  const Prologue prologue = find_prologue(source, notes);
  Block meta = read_up_to(source, kPrologueBytes, prologue.meta_bytes);
  if (meta.size() < prologue.meta_bytes) {
    throw FormatError(
        fmt::format("nothing can be rescued: the metadata are cut off ({} of {} bytes are there)",
                    meta.size(), prologue.meta_bytes));
  }
  SalvagedHead result;
  bool whole = hash128(meta) == prologue.meta_hash;
  if (!whole && meta.size() <= kMaxBitSearch && repair_one_bit(meta, prologue.meta_hash)) {
    whole = true;
    notes.emplace_back("one bit of the metadata was flipped, and was put right");
  }
  result = whole ? sealed(prologue, meta) : damaged_metadata(prologue, meta);
  result.metadata_whole = whole;
  result.notes.insert(result.notes.begin(), notes.begin(), notes.end());
  return result;
}

}  // namespace vitrail::format
