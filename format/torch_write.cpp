// The zip form, as the newest torch.save lays it out.
#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <map>

#include "format/block_writer.h"
#include "format/durable_write.h"
#include "format/pickle_writer.h"
#include "format/retry.h"
#include "format/torch_file.h"
#include "format/zip.h"

namespace vitrail::format {
namespace {

constexpr const char* kRoot = "archive/";
constexpr std::uint64_t kEndRecord = 22;  // of a zip archive: without it, it is none

Bytes bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// Which tensors share their bytes, and the pickle.
class TorchPlan {
 public:
  TorchPlan(const Datum& root, std::span<const TensorRecord> tensors) : tensors_(tensors) {
    for (std::size_t i = 0; i < tensors.size(); ++i)
      by_name_[{tensors[i].role, tensors[i].name}].push_back(i);
    pickle_ = write_pickle(root, [this](std::size_t index) { return tensor(index); });
  }

  // Adds the records in torch's order; `consumed` is told of each tensor whose bytes were read.
  template <class Consumed>
  void write(ZipWriter& zip, Consumed&& consumed) const {
    std::vector<std::byte> crcs;
    append(crcs, zip.add(name("data.pkl"), pickle_));
    zip.add(name(".format_version"), bytes_of("1"));
    zip.add(name(".storage_alignment"), bytes_of(std::to_string(ZipWriter::kAlignment)));
    zip.add(name("byteorder"), bytes_of("little"));
    for (std::size_t i = 0; i < storages_.size(); ++i) {
      append(crcs, zip.add(name(fmt::format("data/{}", i)), storages_[i]->bytes));
      consumed(*storages_[i]);
    }
    zip.add(name("version"), bytes_of("3\n"));
    const std::string id = fmt::format("{:020}{:020}", hash64(pickle_), hash64(crcs));
    zip.add(name(".data/serialization_id"), bytes_of(id));
    zip.finish();
  }

 private:
  static std::string name(std::string_view record) { return kRoot + std::string(record); }

  TensorInStorage tensor(std::size_t index) {
    assert(index < tensors_.size());
    const TensorRecord& record = tensors_[index];
    const TensorRecord& owner = owner_of(record);
    const auto [found, first] = numbers_.try_emplace(key_of(owner), storages_.size());
    if (first) storages_.push_back(&owner);
    return {record.type, record.shape, found->second, owner.bytes.size()};
  }

  const TensorRecord& owner_of(const TensorRecord& record) const {
    if (record.alias_of.empty()) return record;
    const auto found = by_name_.find({record.role, record.alias_of});
    const std::vector<std::size_t> none;
    for (const std::size_t i : found != by_name_.end() ? found->second : none) {
      const TensorRecord& owner = tensors_[i];
      if (&owner != &record && owner.alias_of.empty() && owner.type == record.type &&
          count_of(owner) == count_of(record))
        return owner;
    }
    throw FormatError(fmt::format(
        "tensor '{}': expected '{}', whose bytes it shares, of the same role, type and number of elements",
        record.name, record.alias_of));
  }

  static std::int64_t count_of(const TensorRecord& record) {
    std::int64_t count = 1;
    for (const std::int64_t extent : record.shape)
      count *= extent;
    return count;
  }

  // The same memory seen as the same type is one storage, whatever the names are.
  using Key = std::tuple<const void*, std::size_t, ElementType>;
  static Key key_of(const TensorRecord& record) {
    const std::size_t bytes = record.bytes.size();
    return {bytes > 0 ? static_cast<const void*>(record.bytes.data()) : &record, bytes, record.type};
  }

  std::span<const TensorRecord> tensors_;
  std::map<std::pair<Role, std::string>, std::vector<std::size_t>> by_name_;
  std::map<Key, std::size_t> numbers_;
  std::vector<const TensorRecord*> storages_;  // in the order of the pickle
  std::vector<std::byte> pickle_;
};

// Whole pages go the fast way; the end, with the end record, afterwards through the page cache.
class PagedFile {
 public:
  PagedFile(AtomicFile& file, std::uint64_t bytes, const WriteOptions& options)
      : file_(file),
        body_((bytes - kEndRecord) / kPage * kPage),
        out_(file, 0, bytes, in_little_memory(options)),
        keep_(options.read_back) {}

  void put(Bytes bytes) {
    const std::size_t part = std::min<std::uint64_t>(bytes.size(), body_ - std::min(body_, at_));
    if (part > 0) put_body(bytes.first(part));
    end_.insert(end_.end(), bytes.begin() + static_cast<std::ptrdiff_t>(part), bytes.end());
    at_ += bytes.size();
  }

  void finish(AtomicFile::Place place) {
    out_.flush_pages();
    out_.drain();
    if (place == AtomicFile::Place::direct) file_.sync();
    if (out_.mode() != WriteMode::buffered) {
      const int reason = file_.files().set_buffered(file_.handle());
      if (reason < 0) file_.fail("write through the page cache", reason);
    }
    file_.write(body_, end_);
    file_.sync();
    for (const Part& part : parts_)
      out_.expect(part.offset, part.bytes, part.hash);
    if (keep_) expect_end();
  }

  WriteMode mode() const { return out_.mode(); }
  // Of all that was put, in its parts, which depend on the contents alone.
  Hash128 hash() {
    content_.add(end_);
    return content_.take();
  }

 private:
  struct Part {
    std::uint64_t offset, bytes;
    Hash128 hash;
  };

  void put_body(Bytes bytes) {
    const Hash128 hash = out_.put(bytes);
    content_.add(std::as_bytes(std::span(&hash, 1)));
    if (keep_) parts_.push_back({at_, bytes.size(), hash});
  }

  void expect_end() {
    std::vector<std::byte> found(end_.size());
    for (std::size_t done = 0; done < found.size();) {
      const std::int64_t result = uninterrupted(
          [&] { return file_.files().read(file_.handle(), body_ + done, std::span(found).subspan(done)); });
      if (result <= 0) file_.fail("read back what was written", result < 0 ? result : -EIO);
      done += static_cast<std::size_t>(result);
    }
    if (found == end_) return;
    throw SyncError(
        fmt::format("{}: not what was written: its end reads back differently", file_.path().string()));
  }

  AtomicFile& file_;
  const std::uint64_t body_;
  BlockWriter out_;
  const bool keep_;
  std::uint64_t at_ = 0;
  std::vector<std::byte> end_;
  std::vector<Part> parts_;
  Hasher128 content_;
};

WriteMode write_once(const std::filesystem::path& path, const TorchPlan& plan, const WriteOptions& options,
                     AtomicFile::Place place, WriteResult& result) {
  ZipWriter counter;
  plan.write(counter, [](const TensorRecord&) {});
  FileSystem& files = options.files != nullptr ? *options.files : real_file_system();
  AtomicFile file(path, counter.bytes(), Durability::durable, files, place);
  PagedFile out(file, counter.bytes(), options);
  ZipWriter zip([&](Bytes bytes) { out.put(bytes); });
  plan.write(zip, [&](const TensorRecord& tensor) {
    if (options.on_consumed) options.on_consumed(tensor);
  });
  assert(zip.bytes() == counter.bytes());
  out.finish(place);
  file.commit();
  result.file_bytes = counter.bytes();
  result.content_id = to_hex(out.hash());
  return out.mode();
}

}  // namespace

WriteResult write_torch(const std::filesystem::path& path, const Datum& root,
                        std::span<const TensorRecord> tensors, const WriteOptions& options) try {
  const TorchPlan plan(root, tensors);
  WriteResult written;
  WriteResult result = write_durably(
      options, [&](AtomicFile::Place place) { return write_once(path, plan, options, place, written); });
  result.file_bytes = written.file_bytes;
  result.content_id = written.content_id;
  return result;
} catch (const FormatError& error) {
  throw FormatError::within(path.string() + ": not written", error);
}

}  // namespace vitrail::format
