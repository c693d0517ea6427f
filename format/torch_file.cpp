#include "format/torch_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstring>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

#include "format/file.h"
#include "format/torch_parts.h"
#include "format/torch_records.h"

namespace vitrail::format {
namespace {

constexpr std::uint64_t kSpareBytes = std::uint64_t{64} << 20;  // for copies, besides the file's size
constexpr unsigned kMostThreads = 8;
constexpr std::size_t kPart = std::size_t{1} << 20;  // copied, then released

std::string_view text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

[[noreturn]] void refuse_start(Bytes bytes) {
  if (bytes.empty()) throw FormatError("an empty file");
  if (bytes.size() > 262 && text(bytes.subspan(257, 5)) == "ustar")
    throw FormatError("the tar form of torch before 0.1.10 is not read: load and save it with a newer torch");
  throw FormatError(
      "expected a file of torch.save (a zip archive, or the form before torch 1.6), found " +
      std::string(bytes[0] == std::byte{0x80} ? "a pickle of another program" : "something else"));
}

}  // namespace

struct TorchFile::Storage {
  MappedFile file;
  std::string name;
  std::optional<ZipReader> zip;
  OwnedBytes owned;
};

TorchFile TorchFile::open(const std::filesystem::path& path, Check check) {
  const auto storage = std::make_shared<Storage>();
  storage->file = MappedFile(path);
  storage->name = path.string();
  return open(storage, storage->file.bytes(), check);
}

TorchFile TorchFile::open(Bytes bytes, std::string name, Check check) {
  const auto storage = std::make_shared<Storage>();
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
  for (std::size_t at = 0; at < to.size(); at += kPart) {
    const Bytes part = tensor.bytes.subspan(at, std::min(kPart, to.size() - at));
    std::memcpy(to.data() + at, part.data(), part.size());
    release(part);
  }
}

void TorchFile::release(Bytes part) const {
  storage_->file.release(part);
}

void TorchFile::check_storages() const {
  if (!storage_->zip) return;
  const ZipReader& zip = *storage_->zip;
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::exception_ptr damage;
  const auto work = [&] {
    for (std::size_t i; (i = next++) < zip.entries().size();) {
      try {
        zip.check(zip.entries()[i], [&](Bytes part) { storage_->file.release(part); });
      } catch (const FormatError& error) {
        const std::lock_guard lock(mutex);
        damage = std::make_exception_ptr(FormatError::within(storage_->name, error));
      }
    }
  };
  {
    std::vector<std::jthread> helpers;
    const unsigned threads = std::clamp(std::thread::hardware_concurrency(), 1U, kMostThreads);
    for (unsigned i = 1; i < threads && i < zip.entries().size(); ++i)
      helpers.emplace_back(work);
    work();
  }
  if (damage) std::rethrow_exception(damage);
}

}  // namespace vitrail::format
