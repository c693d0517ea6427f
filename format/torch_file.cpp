#include "format/torch_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
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
  MappedFile file(path);
  TorchFile torch = open(file.bytes(), path.string(), check);
  std::const_pointer_cast<Storage>(torch.storage_)->file = std::move(file);
  return torch;
}

TorchFile TorchFile::open(Bytes bytes, std::string name, Check check) try {
  const auto storage = std::make_shared<Storage>();
  storage->name = name;
  TorchParts parts;
  if (is_torch_legacy(bytes)) {
    parts = read_torch_legacy(bytes, name);
  } else if (text(bytes).starts_with("PK")) {
    parts = read_torch_zip(storage->zip.emplace(bytes), name);
  } else {
    refuse_start(bytes);
  }
  TorchFile torch;
  torch.storage_ = storage;
  if (check == Check::all) torch.check_storages();
  torch.tensors_ = torch_records(parts, bytes.size() + kSpareBytes, storage->owned);
  torch.root_ = std::move(parts.pickle.root);
  return torch;
} catch (const FormatError& error) {
  throw FormatError::within(name, error);
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
        zip.check(zip.entries()[i]);
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
