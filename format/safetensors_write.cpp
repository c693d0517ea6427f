#include <fmt/format.h>

#include <algorithm>
#include <deque>

#include "format/block_writer.h"
#include "format/durable_write.h"
#include "format/json.h"
#include "format/safetensors.h"
#include "format/safetensors_header.h"
#include "format/safetensors_plan.h"

namespace vitrail::format {
namespace {

namespace fs = std::filesystem;

void read_back(const SafetensorsPlan& plan, BlockWriter& out) {
  for (std::size_t i = 0; i < plan.pieces().size(); ++i) {
    const Piece& piece = plan.pieces()[i];
    if (!piece.bytes.empty()) out.expect(piece.offset, piece.bytes.size(), plan.hash(i));
  }
  for (std::uint64_t at = 0; at < plan.head().size(); at += kChunkBytes) {
    const Bytes part = plan.head().subspan(at, std::min(kChunkBytes, plan.head().size() - at));
    out.expect(at, part.size(), hash128(part));
  }
}

WriteMode write_once(const fs::path& path, SafetensorsPlan& plan, const WriteOptions& options,
                     AtomicFile::Place place) {
  FileSystem& files = options.files != nullptr ? *options.files : real_file_system();
  AtomicFile file(path, plan.file_bytes(), Durability::durable, files, place);
  BlockWriter out(file, 0, plan.file_bytes(), in_little_memory(options));
  out.zeros(plan.head_bytes());
  for (std::size_t i = 0; i < plan.pieces().size(); ++i) {
    const Piece& piece = plan.pieces()[i];
    plan.set_hash(i, out.put(piece.bytes));
    if (piece.completes != nullptr && options.on_consumed) options.on_consumed(*piece.completes);
  }
  out.flush_pages();
  out.drain();
  out.put_rest();
  plan.seal();
  // Without its header it is no file. Under a temporary name nobody looks at it before it is complete; else
  // the header must not come to the disk before the rest.
  if (place == AtomicFile::Place::direct) file.sync();
  file.write(0, plan.head());
  file.sync();
  if (options.read_back) read_back(plan, out);
  file.commit();
  return out.mode();
}

WriteResult write_plan(const fs::path& path, SafetensorsPlan& plan, const WriteOptions& options) {
  WriteResult result =
      write_durably(options, [&](AtomicFile::Place place) { return write_once(path, plan, options, place); });
  result.file_bytes = plan.file_bytes();
  result.content_id = plan.content_id();
  return result;
}

// A tensor and those that are tied to it, which stand in one file.
struct Group {
  std::vector<TensorRecord> tensors;
  std::uint64_t bytes = 0;
};

std::vector<Group> groups_of(std::vector<TensorRecord> records) {
  for (TensorRecord& record : records)
    record.role = Role::parameter;
  std::map<std::size_t, Group> groups;
  for (const TiedTensor& tied : tie_tensors(records)) {
    Group& group = groups[tied.owner];
    group.tensors.push_back(*tied.tensor);
    group.bytes = tied.bytes.size();
  }
  std::vector<Group> list;
  for (auto& [owner, group] : groups)
    list.push_back(std::move(group));
  return list;
}

std::vector<std::vector<TensorRecord>> shards_of(std::span<const TensorRecord> tensors, std::uint64_t most) {
  std::vector<std::vector<TensorRecord>> shards;
  std::uint64_t filled = 0;
  for (const Group& group : groups_of({tensors.begin(), tensors.end()})) {
    if (shards.empty() || filled + group.bytes > most) {
      shards.emplace_back();
      filled = 0;
    }
    shards.back().insert(shards.back().end(), group.tensors.begin(), group.tensors.end());
    filled += group.bytes;
  }
  return shards;
}

// What writes the shards of a set one by one, and then its index.
class SetWriter {
 public:
  SetWriter(fs::path index, const WriteOptions& options) : index_(std::move(index)), options_(options) {
    constexpr std::string_view kEnd = ".safetensors.index.json";
    const std::string name = index_.filename().string();
    if (!name.ends_with(kEnd) || name.size() == kEnd.size()) {
      throw FormatError(fmt::format("expected a name that ends in '{}'", kEnd));
    }
    if (fs::exists(index_)) {
      throw FormatError(
          "there is a set of this name already, and a set cannot be replaced in one step: choose "
          "another name, or delete the old one");
    }
    stem_ = name.substr(0, name.size() - kEnd.size());
  }

  void write(std::span<const TensorRecord> tensors, const std::map<std::string, std::string>& metadata,
             std::uint64_t most) {
    for (const TensorRecord& tensor : tensors)
      originals_[tensor.name] = &tensor;
    const auto shards = shards_of(tensors, most);
    if (shards.empty()) throw FormatError("expected at least one tensor for a set");
    std::deque<SafetensorsPlan> plans;  // all are checked before anything is written
    for (const auto& shard : shards)
      plans.emplace_back(shard, metadata);
    WriteOptions options = options_;
    if (options_.on_consumed) {
      options.on_consumed = [this](const TensorRecord& copy) {
        options_.on_consumed(*originals_.at(copy.name));
      };
    }
    for (std::size_t i = 0; i < shards.size(); ++i) {
      const std::string file = fmt::format("{}-{:05}-of-{:05}.safetensors", stem_, i + 1, shards.size());
      add(file, plans[i], write_plan(index_.parent_path() / file, plans[i], options));
    }
  }

  WriteResult finish() {
    result_.content_id = content_id_of(identities_);
    Datum::Dict metadata{
        {{"total_size", static_cast<std::int64_t>(data_bytes_)}, {kContentIdKey, result_.content_id}}};
    std::sort(weight_map_.items.begin(), weight_map_.items.end(),
              [](const Datum::Item& a, const Datum::Item& b) {
                return *a.key.as<std::string>() < *b.key.as<std::string>();
              });
    const Datum::Dict root{{{"metadata", std::move(metadata)}, {"weight_map", std::move(weight_map_)}}};
    const std::string text = to_json(root, 2) + "\n";
    replace_file(index_, text, Durability::durable,
                 options_.files != nullptr ? *options_.files : real_file_system());
    result_.file_bytes += text.size();
    return result_;
  }

 private:
  void add(const std::string& file, const SafetensorsPlan& plan, const WriteResult& written) {
    identities_.insert(plan.identities().begin(), plan.identities().end());
    data_bytes_ += plan.file_bytes() - plan.head_bytes();
    for (const std::string& name : plan.owners())
      weight_map_.items.push_back({name, file});
    result_.file_bytes += written.file_bytes;
    result_.seconds += written.seconds;
    result_.mode = written.mode;
    result_.rewritten = result_.rewritten || written.rewritten;
  }

  const fs::path index_;
  const WriteOptions& options_;
  std::string stem_;
  std::map<std::string, const TensorRecord*> originals_;
  std::map<std::string, std::vector<std::byte>> identities_;
  Datum::Dict weight_map_;
  std::uint64_t data_bytes_ = 0;
  WriteResult result_;
};

}  // namespace

WriteResult write_safetensors(const fs::path& path, std::span<const TensorRecord> tensors,
                              const std::map<std::string, std::string>& metadata,
                              const WriteOptions& options) try {
  SafetensorsPlan plan(tensors, metadata);
  return write_plan(path, plan, options);
} catch (const FormatError& error) {
  throw FormatError::within(path.string() + ": not written", error);
}

WriteResult write_safetensors_set(const fs::path& index, std::span<const TensorRecord> tensors,
                                  const std::map<std::string, std::string>& metadata,
                                  std::uint64_t max_shard_bytes, const WriteOptions& options) try {
  SetWriter writer(index, options);
  writer.write(tensors, metadata, max_shard_bytes);
  return writer.finish();
} catch (const FormatError& error) {
  throw FormatError::within(index.string() + ": not written", error);
}

}  // namespace vitrail::format
