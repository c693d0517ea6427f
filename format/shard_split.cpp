// A file as a sharded set, and back.

#include <fmt/format.h>

#include <algorithm>
#include <list>
#include <numeric>

#include "format/layout.h"
#include "format/sections.h"
#include "format/shards.h"

namespace vitrail::format {
namespace {

constexpr std::uint64_t kWholeBelow = 65536;  // bytes of tensors that are not cut

std::uint64_t byte_count(const TensorRecord& tensor) {
  return tensor_bytes(tensor.type, tensor.shape).value();
}

// Elements of the first axis that cannot be parted: two where they share a byte.
std::int64_t unit_of(const TensorRecord& tensor) {
  return *bits_of(tensor.type) < 8 && tensor.shape.size() == 1 ? 2 : 1;
}

class Division {
 public:
  explicit Division(std::uint32_t shards) : load_(shards) {}

  void add(std::size_t index, const TensorRecord& tensor, std::vector<PlannedSlice>& slices) {
    const std::uint64_t bytes = byte_count(tensor);
    if (bytes < kWholeBelow) {
      slices.push_back({index, least(1)[0], whole(tensor.shape)});
      load_[slices.back().shard] += bytes;
      return;
    }
    const std::int64_t unit = unit_of(tensor), rows = tensor.shape[0] / unit;
    const std::vector<std::uint32_t> takers =
        least(static_cast<std::size_t>(std::min<std::int64_t>(rows, size())));
    const auto parts = static_cast<std::int64_t>(takers.size());
    std::int64_t start = 0;
    for (std::int64_t part = 0; part < parts; ++part) {
      Box box = whole(tensor.shape);
      box.start[0] = start;
      box.extents[0] = (rows / parts + (part < rows % parts ? 1 : 0)) * unit;
      start += box.extents[0];
      const std::uint32_t shard = takers[static_cast<std::size_t>(part)];
      load_[shard] += tensor_bytes(tensor.type, box.extents).value();
      slices.push_back({index, shard, std::move(box)});
    }
  }

 private:
  std::int64_t size() const { return static_cast<std::int64_t>(load_.size()); }

  // The `count` shards with the least bytes, in their own order.
  std::vector<std::uint32_t> least(std::size_t count) const {
    std::vector<std::uint32_t> order(load_.size());
    std::iota(order.begin(), order.end(), 0U);
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return load_[a] < load_[b]; });
    order.resize(count);
    std::sort(order.begin(), order.end());
    return order;
  }

  std::vector<std::uint64_t> load_;  // bytes
};

// A row of root field 16.
void append_slice(Vector& rows, std::uint32_t tensor, std::uint32_t shard,
                  std::span<const std::int64_t> extents, std::span<const std::int64_t> start) {
  append(rows.data, tensor);
  append(rows.data, shard);
  for (const auto& numbers : {extents, start}) {
    for (std::size_t axis = 0; axis < kMaxRank; ++axis)
      append(rows.data, static_cast<std::uint64_t>(axis < numbers.size() ? numbers[axis] : 0));
  }
  append(rows.data, std::uint64_t{0});
}

void append_hash(Vector& rows, const Hash128& hash) {
  append(rows.data, hash.low);
  append(rows.data, hash.high);
}

Vector set_tensors(const std::vector<TensorRecord>& tensors) {
  Vector rows{kElemStruct, kSetTensorBytes, {}};
  for (const TensorRecord& tensor : tensors) {
    append(rows.data, static_cast<std::uint16_t>(tensor.role));
    append(rows.data, static_cast<std::uint8_t>(tensor.type));
    append(rows.data, static_cast<std::uint8_t>(tensor.shape.size()));
    std::uint32_t owner = SetTensorView::kNoOwner;
    if (!tensor.alias_of.empty()) {
      const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const TensorRecord& other) {
        return other.role == tensor.role && other.name == tensor.alias_of;
      });
      owner = static_cast<std::uint32_t>(found - tensors.begin());
    }
    append(rows.data, owner);
    for (std::size_t axis = 0; axis < kMaxRank; ++axis)
      append(rows.data, static_cast<std::uint64_t>(axis < tensor.shape.size() ? tensor.shape[axis] : 0));
  }
  return rows;
}

class Splitter {
 public:
  Splitter(const Container& source, const std::filesystem::path& name, std::uint32_t shards)
      : source_(source), name_(name), shards_(shards), slices_(divide(source.tensors(), shards)) {}

  SplitResult run() {
    const std::filesystem::path index = name_.string() + ".index.vitrail";
    if (std::filesystem::exists(index)) {
      throw FileError(
          fmt::format("{} is there already: an interrupted split would leave neither that set nor the new "
                      "one; use another name, or delete it",
                      index.string()));
    }
    for (std::uint32_t shard = 0; shard < shards_; ++shard)
      write_shard(shard);
    write_index(index);
    result_.index = index;
    return std::move(result_);
  }

 private:
  void write_shard(std::uint32_t shard) {
    ContainerContents contents{FileKind::shard, {}, {}};
    Vector rows{kElemStruct, kSliceBytes, {}};
    for (const PlannedSlice& slice : slices_) {
      if (slice.shard != shard) continue;
      const TensorRecord& tensor = source_.tensors()[slice.tensor];
      append_slice(rows, static_cast<std::uint32_t>(contents.tensors.size()), shard, tensor.shape,
                   slice.box.start);
      contents.tensors.push_back(
          {tensor.name, tensor.role, tensor.type, slice.box.extents, bytes_of(tensor, slice.box)});
    }
    Table set;
    set.set(section::shard_set::kShards, std::uint64_t{shards_});
    set.set(section::shard_set::kShard, std::uint64_t{shard});
    contents.root.set(section::kProducer, source_.root().text(section::kProducer, "producer"));
    contents.root.set(section::kSlices, std::move(rows));
    contents.root.set(section::kShardSet, std::move(set));
    const std::filesystem::path path =
        fmt::format("{}.r{:05}-of-{:05}.vitrail", name_.string(), shard, shards_);
    write_container(path, contents);
    const Container written = Container::open(path);
    files_.push_back(path.filename().string());
    sizes_.push_back(written.file_bytes());
    append_hash(hashes_, written.view().prologue.meta_hash);
    result_.shards.push_back(path);
    result_.bytes += written.file_bytes();
  }

  // Rows of the first axis are one run of bytes.
  Bytes bytes_of(const TensorRecord& tensor, const Box& box) const {
    const Bytes all = source_.read(tensor);
    if (box.extents.empty() || box.extents[0] == tensor.shape[0]) return all;
    const std::int64_t unit = unit_of(tensor);
    const std::uint64_t unit_bytes = all.size() / static_cast<std::uint64_t>(tensor.shape[0] / unit);
    return all.subspan(static_cast<std::uint64_t>(box.start[0] / unit) * unit_bytes,
                       static_cast<std::uint64_t>(box.extents[0] / unit) * unit_bytes);
  }

  void write_index(const std::filesystem::path& path) {
    Vector rows{kElemStruct, kSliceBytes, {}}, content{kElemStruct, kHashBytes, {}};
    for (const PlannedSlice& slice : slices_)
      append_slice(rows, static_cast<std::uint32_t>(slice.tensor), slice.shard, slice.box.extents,
                   slice.box.start);
    append_hash(content, source_.view().prologue.content_id);
    std::vector<std::string> names;
    for (const TensorRecord& tensor : source_.tensors())
      names.push_back(tensor.name);
    Table set;
    set.set(section::shard_set::kShards, std::uint64_t{shards_});
    set.set(section::shard_set::kKind, static_cast<std::uint64_t>(source_.kind()));
    set.set(section::shard_set::kFiles, std::move(files_));
    set.set(section::shard_set::kFileBytes, sizes_);
    set.set(section::shard_set::kMetaHashes, std::move(hashes_));
    set.set(section::shard_set::kNames, std::move(names));
    set.set(section::shard_set::kTensors, set_tensors(source_.tensors()));
    set.set(section::shard_set::kContentId, std::move(content));
    ContainerContents contents{FileKind::shard_index, source_.root(), {}};
    contents.root.set(section::kSlices, std::move(rows));
    contents.root.set(section::kShardSet, std::move(set));
    result_.bytes += write_container(path, contents).file_bytes;
  }

  const Container& source_;
  const std::filesystem::path name_;
  const std::uint32_t shards_;
  const std::vector<PlannedSlice> slices_;
  std::vector<std::string> files_;
  std::vector<std::uint64_t> sizes_;
  Vector hashes_{kElemStruct, kHashBytes, {}};
  SplitResult result_;
};

Hash128 hash_of_tensor(Bytes bytes) {
  std::vector<Hash128> chunks;
  for (std::uint64_t i = 0; i < chunk_count(bytes.size()); ++i)
    chunks.push_back(hash128(chunk(bytes, i)));
  return chunks.empty() ? hash128(bytes) : hash_of(chunks);
}

// Shards that verify are what their writers hashed; that together they are what was split, only this shows.
void check_content(const ShardSet& set, std::span<const TensorRecord> tensors) {
  if (!set.content_id()) return;
  std::vector<std::byte> identity;
  for (const TensorRecord& tensor : tensors)
    append_identity(identity, tensor, hash_of_tensor(tensor.bytes));
  const Hash128 found = hash128(identity);
  if (found != *set.content_id()) {
    throw FormatError(fmt::format("content id of the whole set: expected {}, found {}",
                                  to_hex(*set.content_id()), to_hex(found)),
                      "V30");
  }
}

}  // namespace

std::vector<PlannedSlice> divide(std::span<const TensorRecord> tensors, std::uint32_t shards) {
  std::vector<PlannedSlice> slices;
  Division division(shards);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].alias_of.empty()) division.add(i, tensors[i], slices);
  }
  return slices;
}

SplitResult split_container(const std::filesystem::path& file, const std::filesystem::path& name,
                            std::uint32_t shards) {
  if (shards == 0 || shards > kMaxShards)
    throw FormatError(fmt::format("number of shards: expected 1 to {}, found {}", kMaxShards, shards));
  const Container source = Container::open(file);
  if (source.kind() == FileKind::shard || source.kind() == FileKind::shard_index) {
    throw FormatError(
        fmt::format("{}: expected weights, a model or a checkpoint, found a {}, which belongs to a set "
                    "already",
                    file.string(), name_of(source.kind())));
  }
  if (source.view().prologue.newer()) {
    throw FormatError(
        fmt::format("{}: written in format 1.{}, of which this build would lose what it does not know; "
                    "use a newer one",
                    file.string(), source.view().prologue.minor));
  }
  return Splitter(source, name, shards).run();
}

WriteResult consolidate(const std::filesystem::path& index, const std::filesystem::path& file) {
  const ShardSet set = ShardSet::open(index);
  ContainerContents contents{set.kind(), set.root(), set.tensors()};
  std::list<std::vector<std::byte>> gathered;
  for (std::size_t i = 0; i < contents.tensors.size(); ++i) {
    const TensorRecord& tensor = set.tensors()[i];
    std::optional<Bytes> bytes = set.in_one_shard(tensor);
    if (!bytes) {
      gathered.emplace_back(byte_count(tensor));
      set.read(tensor, whole(tensor.shape), gathered.back());
      bytes = gathered.back();
    }
    contents.tensors[i].bytes = *bytes;
  }
  check_content(set, contents.tensors);
  return write_container(file, contents);
}

}  // namespace vitrail::format
