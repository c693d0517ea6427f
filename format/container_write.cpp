#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "format/container.h"
#include "format/layout.h"
#include "format/sections.h"
#include "format/utf8.h"

namespace vitrail::format {
namespace {

struct Placed {
  const TensorRecord* tensor = nullptr;
  std::uint32_t name = 0;  // index into the sorted names
  std::uint64_t offset = 0;
  Hash128 hash;
  std::uint32_t first_chunk = 0;
};

// The file in canonical order, before its offsets are known.
struct Plan {
  std::vector<std::string> names;
  std::vector<Placed> entries;
  std::vector<Hash128> chunks;
  Hash128 content_id;
};

void check_record(const TensorRecord& tensor) {
  const bool named = !tensor.name.empty() && tensor.name.size() <= kMaxName &&
                     is_text(std::as_bytes(std::span(tensor.name)));
  if (!named)
    throw FormatError(fmt::format("tensor '{}': expected a name of 1 to {} bytes", tensor.name, kMaxName));
  const std::optional<std::uint64_t> bytes = tensor_bytes(tensor.type, tensor.shape);
  if (!bytes)
    throw FormatError(
        fmt::format("tensor '{}': its shape or type breaks a limit of the format", tensor.name));
  if (*bytes != tensor.bytes.size()) {
    throw FormatError(fmt::format("tensor '{}': expected {} bytes for its shape, found {}", tensor.name,
                                  *bytes, tensor.bytes.size()));
  }
}

Plan sorted(const ContainerContents& contents) {
  Plan plan;
  for (const TensorRecord& tensor : contents.tensors) {
    check_record(tensor);
    plan.names.push_back(tensor.name);
  }
  std::sort(plan.names.begin(), plan.names.end());
  plan.names.erase(std::unique(plan.names.begin(), plan.names.end()), plan.names.end());
  for (const TensorRecord& tensor : contents.tensors) {
    const auto name = std::lower_bound(plan.names.begin(), plan.names.end(), tensor.name);
    plan.entries.push_back(
        {.tensor = &tensor, .name = static_cast<std::uint32_t>(name - plan.names.begin()), .hash = {}});
  }
  const auto key = [](const Placed& entry) { return std::pair(entry.tensor->role, entry.name); };
  std::sort(plan.entries.begin(), plan.entries.end(),
            [&](const Placed& a, const Placed& b) { return key(a) < key(b); });
  for (std::size_t i = 1; i < plan.entries.size(); ++i) {
    if (key(plan.entries[i - 1]) == key(plan.entries[i])) {
      throw FormatError(fmt::format("tensor '{}' is there twice in one role", plan.entries[i].tensor->name));
    }
  }
  return plan;
}

void hash_tensors(Plan& plan) {
  std::vector<std::byte> identity;
  for (Placed& entry : plan.entries) {
    const Bytes bytes = entry.tensor->bytes;
    entry.first_chunk = static_cast<std::uint32_t>(plan.chunks.size());
    const std::uint64_t count = chunk_count(bytes.size());
    for (std::uint64_t c = 0; c < count; ++c)
      plan.chunks.push_back(hash128(chunk(bytes, c)));
    entry.hash = count == 0 ? hash128(bytes) : hash_of(std::span(plan.chunks).subspan(entry.first_chunk));
    append_identity(identity, *entry.tensor, entry.hash);
  }
  plan.content_id = hash128(identity);
}

void append_hash(std::vector<std::byte>& out, const Hash128& hash) {
  append(out, hash.low);
  append(out, hash.high);
}

Vector directory(const Plan& plan) {
  Vector vector{32, kEntryBytes, std::vector<std::byte>(plan.entries.size() * kEntryBytes)};
  const std::span<std::byte> out = vector.data;
  for (std::size_t i = 0; i < plan.entries.size(); ++i) {
    const Placed& entry = plan.entries[i];
    const TensorRecord& tensor = *entry.tensor;
    const std::uint64_t at = i * kEntryBytes;
    put(out, at, entry.name);
    put(out, at + 4, static_cast<std::uint16_t>(tensor.role));
    put(out, at + 6, static_cast<std::uint8_t>(tensor.type));
    put(out, at + 7, static_cast<std::uint8_t>(tensor.shape.size()));
    put(out, at + 16, entry.offset);
    put(out, at + 24, std::uint64_t{tensor.bytes.size()});
    for (std::size_t axis = 0; axis < tensor.shape.size(); ++axis) {
      put(out, at + 32 + 8 * axis, static_cast<std::uint64_t>(tensor.shape[axis]));
    }
    put(out, at + 96, entry.hash.low);
    put(out, at + 104, entry.hash.high);
    put(out, at + 112, entry.first_chunk);
    put(out, at + 116, static_cast<std::uint32_t>(chunk_count(tensor.bytes.size())));
  }
  return vector;
}

Vector roles(const Plan& plan) {
  Vector vector{32, kRoleBytes, {}};
  for (std::size_t first = 0; first < plan.entries.size();) {
    const Role role = plan.entries[first].tensor->role;
    std::size_t end = first;
    std::vector<Hash128> hashes;
    while (end < plan.entries.size() && plan.entries[end].tensor->role == role)
      hashes.push_back(plan.entries[end++].hash);
    append(vector.data, static_cast<std::uint16_t>(role));
    append(vector.data, std::uint16_t{0});
    append(vector.data, static_cast<std::uint32_t>(first));
    append(vector.data, static_cast<std::uint32_t>(end - first));
    append(vector.data, std::uint32_t{0});
    append(vector.data, plan.entries[first].offset);
    append(vector.data, plan.entries[end - 1].offset + plan.entries[end - 1].tensor->bytes.size());
    append_hash(vector.data, hash_of(hashes));
    first = end;
  }
  return vector;
}

std::vector<std::byte> metadata(const ContainerContents& contents, const Plan& plan) {
  Table root = contents.root;
  Vector chunks{32, kHashBytes, {}};
  for (const Hash128& hash : plan.chunks)
    append_hash(chunks.data, hash);
  root.set(section::kNames, plan.names);
  root.set(section::kTensors, directory(plan));
  root.set(section::kChunkHashes, std::move(chunks));
  root.set(section::kRoles, roles(plan));
  return encode_message(root);
}

// Placement depends on the size of the metadata, which does not depend on placement. Returns the end of the
// data.
std::uint64_t place(Plan& plan, std::uint64_t data_offset) {
  std::uint64_t cursor = data_offset;
  for (Placed& entry : plan.entries) {
    entry.offset = placed(cursor, entry.tensor->bytes.size());
    cursor = entry.offset + entry.tensor->bytes.size();
  }
  return cursor;
}

struct Extent {
  std::uint64_t meta_bytes, data_offset, file_bytes;
};

std::vector<std::byte> prologue(FileKind kind, const Extent& extent, const Hash128& meta,
                                const Hash128& content) {
  std::vector<std::byte> out;
  for (std::uint8_t byte : kMagic)
    append(out, byte);
  append(out, std::uint16_t{1});  // major
  append(out, std::uint16_t{0});  // minor
  append(out, static_cast<std::uint32_t>(kPrologueBytes));
  append(out, extent.file_bytes);
  append(out, kPrologueBytes);  // meta_offset
  append(out, extent.meta_bytes);
  append(out, extent.data_offset);
  append(out, extent.file_bytes - kFooterBytes - extent.data_offset);
  append(out, std::uint64_t{0});  // required_features
  append(out, std::uint64_t{0});  // optional_features
  append(out, static_cast<std::uint32_t>(kind));
  append(out, std::uint32_t{1});  // hash_alg: XXH3-128, seed 0
  append_hash(out, meta);
  append_hash(out, content);
  append(out, std::uint64_t{0});
  append(out, hash64(out));
  return out;
}

std::vector<std::byte> footer(const Extent& extent, const Hash128& meta, const Hash128& content,
                              std::uint64_t prologue_hash) {
  std::vector<std::byte> out;
  for (std::uint8_t byte : kFooterMagic)
    append(out, byte);
  append(out, extent.file_bytes);
  append_hash(out, content);
  append_hash(out, meta);
  append(out, prologue_hash);
  append(out, hash64(out));
  return out;
}

// A text that is no UTF-8 or a limit of the message that is exceeded must be found now: the file would take
// the place of a good one and could not be read again.
void check_metadata(const std::filesystem::path& path, Bytes meta) try {
  (void)decode_message(meta);
} catch (const FormatError& error) {
  throw FormatError::within(path.string() + ": not written", error);
}

// Gaps are written as zeros, not left to the file system.
class Sequential {
 public:
  explicit Sequential(AtomicFile& file) : file_(file) {}
  void put(std::uint64_t offset, Bytes bytes) {
    static constexpr std::byte kZeros[kPage] = {};
    while (at_ < offset) {
      const std::uint64_t gap = std::min<std::uint64_t>(offset - at_, sizeof(kZeros));
      file_.write(at_, Bytes(kZeros, gap));
      at_ += gap;
    }
    file_.write(offset, bytes);
    at_ = offset + bytes.size();
  }

 private:
  AtomicFile& file_;
  std::uint64_t at_ = 0;
};

}  // namespace

WriteResult write_container(const std::filesystem::path& path, const ContainerContents& contents) {
  const auto start = std::chrono::steady_clock::now();
  Plan plan = sorted(contents);
  hash_tensors(plan);
  Extent extent{};
  extent.meta_bytes = metadata(contents, plan).size();
  extent.data_offset = align(kPrologueBytes + extent.meta_bytes, kPage);
  extent.file_bytes = align(place(plan, extent.data_offset) + kFooterBytes, kPage);
  const std::vector<std::byte> meta = metadata(contents, plan);
  if (meta.size() > kMaxMetaBytes) throw FormatError("metadata: more than 256 MiB");
  check_metadata(path, meta);
  const Hash128 meta_hash = hash128(meta);
  const std::vector<std::byte> head = prologue(contents.kind, extent, meta_hash, plan.content_id);

  AtomicFile file(path, extent.file_bytes);
  Sequential out(file);
  out.put(0, head);
  out.put(kPrologueBytes, meta);
  for (const Placed& entry : plan.entries)
    out.put(entry.offset, entry.tensor->bytes);
  out.put(extent.file_bytes - kFooterBytes,
          footer(extent, meta_hash, plan.content_id, get<std::uint64_t>(head, kPrologueBytes - 8)));
  file.commit();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  return {extent.file_bytes, to_hex(plan.content_id), elapsed.count()};
}

}  // namespace vitrail::format
