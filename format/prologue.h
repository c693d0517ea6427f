#pragma once
// The first 128 bytes of a file and the last 64 (SPEC.md, "File map"): encoding, and rules V01 to V07.

#include "format/file_kind.h"
#include "format/layout.h"
#include "format/refusal.h"

namespace vitrail::format {

inline constexpr std::uint16_t kMajor = 1, kMinor = 0;
inline constexpr std::uint64_t kKnownFeatures = 0;  // bits of required_features

struct Prologue {
  std::uint16_t minor = kMinor;
  FileKind kind = FileKind::weights;
  std::uint64_t file_bytes = 0, meta_bytes = 0, data_offset = 0;
  std::uint64_t required_features = 0, optional_features = 0, reserved = 0;
  Hash128 meta_hash, content_id;

  // Written by a later version than this build's: what it reserved for later may be in use.
  bool newer() const { return minor > kMinor; }
};

// `head`: the first bytes of a file of `file_bytes`, at least kPrologueBytes of them where it has as many.
// What refuses is stated; `out` is complete when nothing does.
Refusal check_prologue(Bytes head, std::uint64_t file_bytes, Prologue& out);
// `footer`: the last kFooterBytes.
Refusal check_footer(Bytes head, Bytes footer);

std::vector<std::byte> encode_prologue(const Prologue& prologue);
std::vector<std::byte> encode_footer(Bytes prologue);  // repeats what the encoded prologue says

}  // namespace vitrail::format
