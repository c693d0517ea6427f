#include "format/torch_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "format/source.h"
#include "format/stream_copy.h"
#include "format/torch_parts.h"
#include "format/torch_records.h"

namespace vitrail::format {
namespace {

constexpr std::uint64_t kSpareBytes = std::uint64_t{64} << 20;  // for copies, besides the file's size
constexpr unsigned kMostSummingThreads = 8;
constexpr std::size_t kCachedRecord = std::size_t{256} << 10;  // summed, then copied while it is in the cache
constexpr std::size_t kPart = std::size_t{1} << 20;            // then released

[[noreturn]] void refuse_start(Bytes bytes) {
  if (bytes.empty()) throw FormatError("an empty file");
  if (bytes.size() > 262 && text(bytes.subspan(257, 5)) == "ustar")
    throw FormatError("the tar form of torch before 0.1.10 is not read: load and save it with a newer torch");
  throw FormatError(
      "expected a file of torch.save (a zip archive, or the form before torch 1.6), found " +
      std::string(bytes[0] == std::byte{0x80} ? "a pickle of another program" : "something else"));
}

// do_one(i) for every i below `count`, which throws nothing that is not caught.
template <class DoOne>
void in_threads(std::size_t count, const DoOne& do_one) {
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i; (i = next++) < count;)
      do_one(i);
  };
  std::vector<std::jthread> helpers;
  const unsigned threads = std::clamp(std::thread::hardware_concurrency(), 1U, kMostSummingThreads);
  for (unsigned i = 1; i < threads && i < count; ++i)
    helpers.emplace_back(work);
  work();
}

}  // namespace

struct TorchFile::Storage {
  Source file;
  std::string name;
  std::optional<ZipReader> zip;
  OwnedBytes owned;

  // `to`: nothing, or room for all of it. Returns the CRC when `sum` asks for it.
  std::uint32_t pass(Bytes bytes, std::span<std::byte> to, bool sum) const {
    std::uint32_t crc = 0;
    for (std::size_t at = 0, released = 0; at < bytes.size(); at += kCachedRecord) {
      const Bytes part = bytes.subspan(at, std::min(kCachedRecord, bytes.size() - at));
      if (sum) crc = crc32(part, crc);
      if (!to.empty()) stream_copy(to.subspan(at, part.size()), part);
      const std::size_t done = at + part.size();
      if (done - released < kPart && done < bytes.size()) continue;
      file.release(bytes.subspan(released, done - released));
      released = done;
    }
    return crc;
  }

  void check(const ZipEntry& entry, std::span<std::byte> to) const {
    const Bytes bytes = zip->stored(entry);
    const std::uint32_t crc = pass(bytes, to, entry.crc != 0);
    ZipReader::check(entry, crc);
  }
};

TorchFile TorchFile::open(const std::filesystem::path& path, Check check) {
  const auto storage = std::make_shared<Storage>();
  storage->file = Source(path, Access::map);
  storage->name = path.string();
  return open(storage, storage->file.bytes(), check);
}

TorchFile TorchFile::open(Bytes bytes, std::string name, Check check) {
  const auto storage = std::make_shared<Storage>();
  storage->file = Source(bytes);
  storage->name = std::move(name);
  return open(storage, bytes, check);
}

TorchFile TorchFile::open(std::shared_ptr<Storage> storage, Bytes bytes, Check check) try {
  TorchParts parts;
  if (is_torch_legacy(bytes)) {
    parts = read_torch_legacy(bytes, storage->name);
  } else if (text(bytes).starts_with("PK")) {
    parts = read_torch_zip(storage->zip.emplace(bytes), storage->name);
  } else {
    refuse_start(bytes);
  }
  TorchFile torch;
  torch.storage_ = storage;
  storage->file.release(bytes);  // looking at the headers has mapped what stands around them
  if (check == Check::all) torch.check_storages();
  torch.tensors_ = torch_records(parts, bytes.size() + kSpareBytes, storage->owned);
  torch.root_ = std::move(parts.pickle.root);
  return torch;
} catch (const FormatError& error) {
  throw FormatError::within(storage->name, error);
}

void TorchFile::copy(const TensorRecord& tensor, std::span<std::byte> to) const {
  assert(to.size() == tensor.bytes.size());
  storage_->pass(tensor.bytes, to, false);
}

void TorchFile::release(Bytes part) const {
  storage_->file.release(part);
}

void TorchFile::check_storages() const {
  load({});
}

void TorchFile::load(std::span<const Copy> copies) const {
  std::map<const std::byte*, const Copy*> first_copy;  // by the bytes' place
  std::vector<const Copy*> plain;                      // tensors that are no whole record, or were before
  for (const Copy& copy : copies) {
    assert(copy.to.size() == copy.tensor->bytes.size());
    if (!first_copy.try_emplace(copy.tensor->bytes.data(), &copy).second) plain.push_back(&copy);
  }
  const std::span<const ZipEntry> entries =
      storage_->zip ? storage_->zip->entries() : std::span<const ZipEntry>();
  std::vector<std::span<std::byte>> targets(entries.size());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].deflated) continue;
    const Bytes bytes = storage_->zip->stored(entries[i]);
    const auto found = first_copy.find(bytes.data());
    if (found == first_copy.end() || found->second->to.size() != bytes.size()) continue;
    targets[i] = found->second->to;
    first_copy.erase(found);
  }
  for (const auto& [place, copy] : first_copy)
    plain.push_back(copy);

  std::mutex mutex;
  std::exception_ptr damage;
  in_threads(entries.size() + plain.size(), [&](std::size_t i) {
    try {
      if (i < entries.size())
        storage_->check(entries[i], targets[i]);
      else
        copy(*plain[i - entries.size()]->tensor, plain[i - entries.size()]->to);
    } catch (const FormatError& error) {
      const std::lock_guard lock(mutex);
      damage = std::make_exception_ptr(FormatError::within(storage_->name, error));
    }
  });
  if (damage) std::rethrow_exception(damage);
}

}  // namespace vitrail::format
