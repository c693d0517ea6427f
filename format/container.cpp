// Opening: prologue, footer, metadata hash and every structural rule of SPEC.md, "Verifier"; tensors are
// checked on use.

#include "format/container.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "format/layout.h"
#include "format/sections.h"

namespace vitrail::format {
namespace {

template <class T>
void expect(const char* code, const char* what, T expected, T found) {
  if (expected != found)
    throw FormatError(fmt::format("{}: expected {}, found {}", what, expected, found), code);
}

Hash128 get_hash(Bytes bytes, std::uint64_t at) {
  return {get<std::uint64_t>(bytes, at), get<std::uint64_t>(bytes, at + 8)};
}

void expect_hash(const char* code, const std::string& what, const Hash128& expected, const Hash128& found) {
  if (expected != found) {
    throw FormatError(fmt::format("{}: expected hash {}, found {}", what, to_hex(expected), to_hex(found)),
                      code);
  }
}

void expect_zero(const char* code, const char* what, Bytes bytes) {
  const bool zero =
      std::all_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte == std::byte{0}; });
  if (!zero) throw FormatError(fmt::format("{}: expected zero bytes", what), code);
}

struct Head {
  std::uint64_t meta_bytes, data_offset;
  FileKind kind;
  Hash128 meta_hash, content_id;
};

Head check_prologue(Bytes file) {
  if (file.size() < 8 || std::memcmp(file.data(), kMagic, 8) != 0) {
    throw FormatError("this is no .vitrail file: its first bytes are not the format's magic number", "V02");
  }
  if (file.size() < kPage)
    throw FormatError(fmt::format("truncated: {} bytes, expected at least {}", file.size(), kPage), "V01");
  expect("V03", "prologue hash", get<std::uint64_t>(file, 120), hash64(file.first(120)));
  const unsigned major = get<std::uint16_t>(file, 8);
  if (major != 1) throw FormatError(fmt::format("format {} file; this build reads format 1", major), "V04");
  expect<std::uint64_t>("V01", "file size (truncated or extended)", get<std::uint64_t>(file, 16),
                        file.size());
  const std::uint64_t meta_bytes = get<std::uint64_t>(file, 32);
  expect<std::uint64_t>("V05", "prologue_bytes", kPrologueBytes, get<std::uint32_t>(file, 12));
  expect<std::uint64_t>("V05", "meta_offset", kPrologueBytes, get<std::uint64_t>(file, 24));
  if (file.size() % kPage != 0 || meta_bytes % 8 != 0 || meta_bytes > kMaxMetaBytes ||
      meta_bytes > file.size() - kPrologueBytes - kFooterBytes) {
    throw FormatError(fmt::format("metadata of {} bytes do not fit a file of {}", meta_bytes, file.size()),
                      "V05");
  }
  const std::uint64_t data_offset = align(kPrologueBytes + meta_bytes, kPage);
  expect("V05", "data_offset", data_offset, get<std::uint64_t>(file, 40));
  if (data_offset > file.size() - kFooterBytes)
    throw FormatError("the data begins after the file's end", "V05");
  expect("V05", "data_bytes", file.size() - kFooterBytes - data_offset, get<std::uint64_t>(file, 48));
  const std::uint64_t required = get<std::uint64_t>(file, 56);
  if (required != 0)
    throw FormatError(fmt::format("needs features {:#x} that this build lacks", required), "V06");
  const std::uint32_t kind = get<std::uint32_t>(file, 72);
  if (kind < 1 || kind > 5)
    throw FormatError(fmt::format("file kind: expected 1 to 5, found {}", kind), "V05");
  expect<std::uint32_t>("V05", "hash_alg", 1, get<std::uint32_t>(file, 76));
  if (get<std::uint16_t>(file, 10) == 0)
    expect<std::uint64_t>("V05", "reserved", 0, get<std::uint64_t>(file, 112));
  return {meta_bytes, data_offset, FileKind{kind}, get_hash(file, 80), get_hash(file, 96)};
}

void check_footer(Bytes file) {
  const Bytes footer = file.last(kFooterBytes);
  if (std::memcmp(footer.data(), kFooterMagic, 8) != 0) {
    throw FormatError("the footer is missing: the file was not written to its end", "V07");
  }
  expect("V07", "footer hash", get<std::uint64_t>(footer, 56), hash64(footer.first(56)));
  expect("V07", "file size in the footer", get<std::uint64_t>(file, 16), get<std::uint64_t>(footer, 8));
  expect_hash("V07", "content id in the footer", get_hash(file, 96), get_hash(footer, 16));
  expect_hash("V07", "metadata hash in the footer", get_hash(file, 80), get_hash(footer, 32));
  expect("V07", "prologue hash in the footer", get<std::uint64_t>(file, 120), get<std::uint64_t>(footer, 48));
}

const Vector& structs(const Table& root, section::Id id, const char* name, std::uint64_t stride) {
  const Vector& vector = root.vector(id, name);
  if (vector.elem_type != 32 || vector.stride != stride) {
    throw FormatError(fmt::format("{}: expected structs of {} bytes, found {}", name, stride, vector.stride),
                      "V20");
  }
  return vector;
}

void check_names(const std::vector<std::string>& names) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty() || names[i].size() > kMaxName || (i > 0 && !(names[i - 1] < names[i]))) {
      throw FormatError("names of tensors: expected 1 to 1024 bytes each, in ascending order", "V21");
    }
  }
}

struct Entry {
  std::uint32_t name;
  TensorRecord tensor;
  Hash128 hash;
  std::uint64_t offset;
  std::uint32_t first_chunk, chunks;
};

Entry read_entry(Bytes entry, const std::vector<std::string>& names, Bytes file) {
  Entry result{get<std::uint32_t>(entry, 0),
               {},
               get_hash(entry, 96),
               get<std::uint64_t>(entry, 16),
               get<std::uint32_t>(entry, 112),
               get<std::uint32_t>(entry, 116)};
  if (result.name >= names.size()) throw FormatError("a tensor's name index is out of range", "V21");
  TensorRecord& tensor = result.tensor;
  tensor.name = names[result.name];
  tensor.role = Role{get<std::uint16_t>(entry, 4)};
  tensor.type = ElementType{get<std::uint8_t>(entry, 6)};
  const std::size_t rank = get<std::uint8_t>(entry, 7);
  const std::string where = fmt::format("tensor '{}'", tensor.name);
  if (get<std::uint32_t>(entry, 8) != 0 || get<std::uint32_t>(entry, 12) != 0) {
    throw FormatError(where + ": aliases and slices are not supported by this build", "V28");
  }
  if (rank > kMaxRank) throw FormatError(fmt::format("{}: rank {}", where, rank), "V23");
  for (std::size_t axis = 0; axis < kMaxRank; ++axis) {
    const std::uint64_t extent = get<std::uint64_t>(entry, 32 + 8 * axis);
    if (extent > kMaxExtent || (axis >= rank && extent != 0))
      throw FormatError(where + ": illegal extent", "V23");
    if (axis < rank) tensor.shape.push_back(static_cast<std::int64_t>(extent));
  }
  const std::optional<std::uint64_t> bytes = tensor_bytes(tensor.type, tensor.shape);
  if (!bytes) throw FormatError(where + ": its shape or element type is unknown or too large", "V23");
  expect<std::uint64_t>("V24", (where + ": bytes").c_str(), *bytes, get<std::uint64_t>(entry, 24));
  if (!inside(result.offset, *bytes, file.size() - kFooterBytes))
    throw FormatError(where + ": outside the file", "V25");
  expect<std::uint64_t>("V05", "reserved word of a directory entry", 0, get<std::uint64_t>(entry, 120));
  tensor.bytes = file.subspan(result.offset, *bytes);
  return result;
}

// The role table must say what the directory implies.
void check_roles(const Vector& roles, const std::vector<Entry>& entries) {
  std::uint64_t at = 0;
  for (std::size_t first = 0; first < entries.size();) {
    std::size_t end = first;
    std::vector<Hash128> hashes;
    while (end < entries.size() && entries[end].tensor.role == entries[first].tensor.role)
      hashes.push_back(entries[end++].hash);
    if (!inside(at, kRoleBytes, roles.data.size()))
      throw FormatError("a role is missing in the role table", "V29");
    const Entry& last = entries[end - 1];
    const bool equal =
        get<std::uint32_t>(roles.data, at) == static_cast<std::uint32_t>(entries[first].tensor.role) &&
        get<std::uint32_t>(roles.data, at + 4) == first &&
        get<std::uint32_t>(roles.data, at + 8) == end - first &&
        get<std::uint32_t>(roles.data, at + 12) == 0 &&
        get<std::uint64_t>(roles.data, at + 16) == entries[first].offset &&
        get<std::uint64_t>(roles.data, at + 24) == last.offset + last.tensor.bytes.size();
    if (!equal) throw FormatError("the role table does not equal the directory", "V29");
    expect_hash("V29", "role hash", hash_of(hashes), get_hash(roles.data, at + 32));
    at += kRoleBytes;
    first = end;
  }
  expect<std::uint64_t>("V29", "bytes of the role table", at, roles.data.size());
}

std::vector<Entry> read_directory(const Table& root, Bytes file, std::uint64_t data_offset,
                                  const Hash128& content_id) {
  const std::vector<std::string>& names = root.strings(section::kNames, "names");
  check_names(names);
  const Vector& directory = structs(root, section::kTensors, "tensors", kEntryBytes);
  const Vector& chunks = structs(root, section::kChunkHashes, "chunk hashes", kHashBytes);
  if (directory.data.size() / kEntryBytes > kMaxTensors) throw FormatError("too many tensors", "V20");
  std::vector<Entry> entries;
  std::vector<bool> used(names.size());
  std::vector<std::byte> identity;
  std::uint64_t cursor = data_offset, chunk = 0;
  for (std::uint64_t at = 0; at < directory.data.size(); at += kEntryBytes) {
    Entry entry = read_entry(Bytes(directory.data).subspan(at, kEntryBytes), names, file);
    const auto key = [](const Entry& e) { return std::pair(e.tensor.role, e.name); };
    if (!entries.empty() && !(key(entries.back()) < key(entry))) {
      throw FormatError("the directory is not in ascending order of role and name", "V22");
    }
    expect("V25", ("place of tensor '" + entry.tensor.name + "'").c_str(),
           placed(cursor, entry.tensor.bytes.size()), entry.offset);
    expect<std::uint64_t>("V27", "chunks of a tensor", chunk_count(entry.tensor.bytes.size()), entry.chunks);
    expect<std::uint64_t>("V27", "first chunk of a tensor", chunk, entry.first_chunk);
    cursor = entry.offset + entry.tensor.bytes.size();
    chunk += entry.chunks;
    used[entry.name] = true;
    append_identity(identity, entry.tensor, entry.hash);
    entries.push_back(std::move(entry));
  }
  if (std::find(used.begin(), used.end(), false) != used.end())
    throw FormatError("a name without a tensor", "V21");
  expect<std::uint64_t>("V27", "chunk hashes", chunk, chunks.data.size() / kHashBytes);
  expect<std::uint64_t>("V26", "end of the data", align(cursor + kFooterBytes, kPage), file.size());
  expect_hash("V30", "content id", content_id, hash128(identity));
  check_roles(structs(root, section::kRoles, "roles", kRoleBytes), entries);
  return entries;
}

void check_sections(FileKind kind, const Table& root) {
  (void)root.text(section::kProducer, "producer");
  if (kind == FileKind::shard || kind == FileKind::shard_index) {
    throw FormatError("sharded sets are not supported by this build", "V31");
  }
  const auto require = [&](section::Id id, const char* name) {
    if (!root.has(id))
      throw FormatError(fmt::format("a {} without its section '{}'", name_of(kind), name), "V33");
  };
  if (kind == FileKind::weights) return;
  require(section::kModel, "model");
  require(section::kInput, "input");
  if (kind == FileKind::model) return;
  require(section::kOptimizer, "optimizer");
  require(section::kSchedule, "schedule");
  require(section::kRng, "rng");
  require(section::kDataOrder, "data order");
}

}  // namespace

const char* name_of(FileKind kind) {
  constexpr const char* kNames[] = {"weights", "model", "checkpoint", "shard", "shard index"};
  return kNames[static_cast<std::uint32_t>(kind) - 1];
}

Container Container::open(const std::filesystem::path& path) {
  Container container;
  container.file_ = MappedFile(path);
  container.bytes_ = container.file_.bytes();
  container.name_ = path.string();
  container.parse();
  return container;
}

Container Container::open(Bytes bytes, std::string name) {
  Container container;
  container.bytes_ = bytes;
  container.name_ = std::move(name);
  container.parse();
  return container;
}

void Container::parse() try {
  const Head head = check_prologue(bytes_);
  check_footer(bytes_);
  const Bytes meta = bytes_.subspan(kPrologueBytes, head.meta_bytes);
  expect_hash("V08", "metadata", head.meta_hash, hash128(meta));
  const std::uint64_t meta_end = kPrologueBytes + head.meta_bytes;
  expect_zero("V09", "bytes after the metadata", bytes_.subspan(meta_end, head.data_offset - meta_end));
  root_ = decode_message(meta);
  kind_ = head.kind;
  content_id_ = head.content_id;
  data_offset_ = head.data_offset;
  for (Entry& entry : read_directory(root_, bytes_, head.data_offset, head.content_id)) {
    leaves_.push_back({entry.hash, entry.offset, entry.first_chunk, entry.chunks});
    tensors_.push_back(std::move(entry.tensor));
  }
  const std::vector<std::byte>& hashes = root_.vector(section::kChunkHashes, "chunk hashes").data;
  for (std::uint64_t at = 0; at < hashes.size(); at += kHashBytes)
    chunks_.push_back(get_hash(hashes, at));
  check_sections(kind_, root_);
} catch (const FormatError& error) {
  if (name_.empty()) throw;
  throw FormatError::within(name_, error);
}

const TensorRecord* Container::find(Role role, std::string_view name) const {
  const auto found = std::lower_bound(tensors_.begin(), tensors_.end(), std::pair(role, name),
                                      [](const TensorRecord& tensor, const auto& key) {
                                        return std::pair(tensor.role, std::string_view(tensor.name)) < key;
                                      });
  const bool hit = found != tensors_.end() && found->role == role && found->name == name;
  return hit ? &*found : nullptr;
}

std::span<const Hash128> Container::chunk_hashes(const TensorRecord& tensor) const {
  return std::span(chunks_).subspan(leaves(tensor).first_chunk, leaves(tensor).chunk_count);
}

Bytes Container::read(const TensorRecord& tensor) const {
  const Leaves& leaves = this->leaves(tensor);
  const std::string where =
      fmt::format("{}: tensor '{}' (role {}) is damaged", name_, tensor.name, static_cast<int>(tensor.role));
  if (leaves.chunk_count == 0) {
    expect_hash("V40", where, leaves.hash, hash128(tensor.bytes));
    return tensor.bytes;
  }
  const std::span<const Hash128> hashes = chunk_hashes(tensor);
  expect_hash("V40", where + " in its list of chunks", leaves.hash, hash_of(hashes));
  for (std::uint64_t c = 0; c < hashes.size(); ++c) {
    const Bytes part = chunk(tensor.bytes, c);
    const std::uint64_t bits = static_cast<std::uint64_t>(bits_of(tensor.type).value_or(8));
    const std::uint64_t first = c * kChunkBytes * 8 / bits;
    expect_hash("V40",
                fmt::format("{} in chunk {} (elements {} to {})", where, c, first,
                            first + part.size() * 8 / bits - 1),
                hashes[c], hash128(part));
  }
  return tensor.bytes;
}

void Container::verify_all() const try {
  std::uint64_t cursor = data_offset_;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    expect_zero("V41", "padding between tensors", bytes_.subspan(cursor, leaves_[i].offset - cursor));
    const Bytes bytes = read(tensors_[i]);
    const auto is_bool = [](std::byte byte) { return byte <= std::byte{1}; };
    if (tensors_[i].type == ElementType::boolean && !std::all_of(bytes.begin(), bytes.end(), is_bool)) {
      throw FormatError(fmt::format("tensor '{}': expected bools of 0 or 1", tensors_[i].name), "V42");
    }
    cursor = leaves_[i].offset + bytes.size();
  }
  expect_zero("V41", "padding after the tensors",
              bytes_.subspan(cursor, bytes_.size() - kFooterBytes - cursor));
} catch (const FormatError& error) {
  throw FormatError::within(name_, error);
}

}  // namespace vitrail::format
