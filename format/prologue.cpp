#include "format/prologue.h"

#include <cstring>

namespace vitrail::format {
namespace {

constexpr std::uint64_t kFileBytesAt = 16, kMetaHashAt = 80, kContentIdAt = 96, kReservedAt = 112,
                        kHashAt = 120;
constexpr std::uint64_t kFooterHashAt = 56;

Hash128 get_hash(Bytes bytes, std::uint64_t at) {
  return {get<std::uint64_t>(bytes, at), get<std::uint64_t>(bytes, at + 8)};
}

void append_hash(std::vector<std::byte>& out, const Hash128& hash) {
  append(out, hash.low);
  append(out, hash.high);
}

Refusal differs(Rule rule, const char* what, std::uint64_t expected, std::uint64_t found) {
  return expected == found ? Refusal{} : refuse(rule, what, expected, found);
}

// Magic, hash, major version and size: whether the rest means anything.
Refusal check_identity(Bytes head, std::uint64_t file_bytes) {
  if (head.size() < sizeof(kMagic) || std::memcmp(head.data(), kMagic, sizeof(kMagic)) != 0)
    return refuse(Rule::V02, "this is no .vitrail file: its first bytes are not the format's magic number");
  if (file_bytes < kPage) return refuse(Rule::V01, "truncated file: bytes (at least)", kPage, file_bytes);
  const std::uint64_t stored = get<std::uint64_t>(head, kHashAt), computed = hash64(head.first(kHashAt));
  if (stored != computed) return refuse(Rule::V03, "prologue hash", stored, computed);
  const std::uint64_t major = get<std::uint16_t>(head, 8);
  if (major != kMajor) return refuse(Rule::V04, "format", kMajor, major);
  return differs(Rule::V01, "file size (truncated or extended)", get<std::uint64_t>(head, kFileBytesAt),
                 file_bytes);
}

// The equalities between the sizes and offsets.
Refusal check_extents(Bytes head, const Prologue& p) {
  if (p.file_bytes % kPage != 0) return refuse(Rule::V05, "file size: expected a multiple of 4096");
  if (p.meta_bytes % 8 != 0 || p.meta_bytes > kMaxMetaBytes ||
      p.meta_bytes > p.file_bytes - kPrologueBytes - kFooterBytes) {
    return refuse(Rule::V05, "metadata whose size does not fit the file (bytes at most)",
                  std::min(kMaxMetaBytes, p.file_bytes - kPrologueBytes - kFooterBytes), p.meta_bytes);
  }
  const std::uint64_t data_offset = align(kPrologueBytes + p.meta_bytes, kPage);
  if (data_offset != p.data_offset) return refuse(Rule::V05, "data_offset", data_offset, p.data_offset);
  if (data_offset > p.file_bytes - kFooterBytes)
    return refuse(Rule::V05, "the data begin after the file's end");
  return differs(Rule::V05, "data_bytes", p.file_bytes - kFooterBytes - data_offset,
                 get<std::uint64_t>(head, 48));
}

}  // namespace

const char* name_of(FileKind kind) {
  constexpr const char* kNames[] = {"weights", "model", "checkpoint", "shard", "shard index"};
  return kNames[static_cast<std::uint32_t>(kind) - 1];
}

Refusal check_prologue(Bytes head, std::uint64_t file_bytes, Prologue& out) {
  Refusal refusal = check_identity(head, file_bytes);
  if (refusal.refused()) return refusal;
  refusal = differs(Rule::V05, "prologue_bytes", kPrologueBytes, get<std::uint32_t>(head, 12));
  if (refusal.refused()) return refusal;
  refusal = differs(Rule::V05, "meta_offset", kPrologueBytes, get<std::uint64_t>(head, 24));
  if (refusal.refused()) return refusal;
  const std::uint32_t kind = get<std::uint32_t>(head, 72);
  out = {.minor = get<std::uint16_t>(head, 10),
         .kind = FileKind{kind},
         .file_bytes = file_bytes,
         .meta_bytes = get<std::uint64_t>(head, 32),
         .data_offset = get<std::uint64_t>(head, 40),
         .required_features = get<std::uint64_t>(head, 56),
         .optional_features = get<std::uint64_t>(head, 64),
         .reserved = get<std::uint64_t>(head, kReservedAt),
         .meta_hash = get_hash(head, kMetaHashAt),
         .content_id = get_hash(head, kContentIdAt)};
  refusal = check_extents(head, out);
  if (refusal.refused()) return refusal;
  if (kind < 1 || kind > 5) return refuse(Rule::V05, "file kind (1 to 5)", 1, kind);
  refusal = differs(Rule::V05, "hash_alg", 1, get<std::uint32_t>(head, 76));
  if (refusal.refused()) return refusal;
  if (!out.newer() && out.reserved != 0)
    return refuse(Rule::V05, "reserved word of the prologue", 0, out.reserved);
  const std::uint64_t unknown = out.required_features & ~kKnownFeatures;
  return differs(Rule::V06, "required features", 0, unknown);
}

Refusal check_footer(Bytes head, Bytes footer) {
  if (std::memcmp(footer.data(), kFooterMagic, sizeof(kFooterMagic)) != 0)
    return refuse(Rule::V07, "the footer is missing: the file was not written to its end");
  const std::uint64_t stored = get<std::uint64_t>(footer, kFooterHashAt),
                      computed = hash64(footer.first(kFooterHashAt));
  if (stored != computed) return refuse(Rule::V07, "footer hash", stored, computed);
  Refusal refusal = differs(Rule::V07, "file size in the footer", get<std::uint64_t>(head, kFileBytesAt),
                            get<std::uint64_t>(footer, 8));
  if (refusal.refused()) return refusal;
  const Hash128 content = get_hash(head, kContentIdAt), meta = get_hash(head, kMetaHashAt);
  if (get_hash(footer, 16) != content)
    return refuse(Rule::V07, "content id in the footer", content, get_hash(footer, 16));
  if (get_hash(footer, 32) != meta)
    return refuse(Rule::V07, "metadata hash in the footer", meta, get_hash(footer, 32));
  return differs(Rule::V07, "prologue hash in the footer", get<std::uint64_t>(head, kHashAt),
                 get<std::uint64_t>(footer, 48));
}

std::vector<std::byte> encode_prologue(const Prologue& p) {
  std::vector<std::byte> out;
  for (std::uint8_t byte : kMagic)
    append(out, byte);
  append(out, kMajor);
  append(out, p.minor);
  append(out, static_cast<std::uint32_t>(kPrologueBytes));
  append(out, p.file_bytes);
  append(out, kPrologueBytes);  // meta_offset
  append(out, p.meta_bytes);
  append(out, p.data_offset);
  append(out, p.file_bytes - kFooterBytes - p.data_offset);
  append(out, p.required_features);
  append(out, p.optional_features);
  append(out, static_cast<std::uint32_t>(p.kind));
  append(out, std::uint32_t{1});  // hash_alg: XXH3, seed 0
  append_hash(out, p.meta_hash);
  append_hash(out, p.content_id);
  append(out, p.reserved);
  append(out, hash64(out));
  return out;
}

std::vector<std::byte> encode_footer(Bytes prologue) {
  std::vector<std::byte> out;
  for (std::uint8_t byte : kFooterMagic)
    append(out, byte);
  append(out, get<std::uint64_t>(prologue, kFileBytesAt));
  append_hash(out, get_hash(prologue, kContentIdAt));
  append_hash(out, get_hash(prologue, kMetaHashAt));
  append(out, get<std::uint64_t>(prologue, kHashAt));
  append(out, hash64(out));
  return out;
}

}  // namespace vitrail::format
