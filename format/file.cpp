#include "format/file.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "format/retry.h"

namespace vitrail::format {
namespace {

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

constexpr std::string_view kMark = ".tmp-";

// Beside the file, hidden, and never the same twice on one machine.
std::filesystem::path temporary_name(const std::filesystem::path& path) {
  const auto ticks = std::chrono::steady_clock::now().time_since_epoch().count();
  return folder_of(path) / fmt::format(".{}{}{:x}-{:x}", path.filename().string(), kMark, ::getpid(), ticks);
}

// Whether `name` is such a name, of `path` or, for containers, of any container beside it: a run that died
// leaves a name that no later save uses again.
bool is_temporary(std::string_view name, const std::filesystem::path& path) {
  const std::size_t mark = name.rfind(kMark);
  if (name.empty() || name.front() != '.' || mark == std::string_view::npos || mark == 0) return false;
  const std::string_view of = name.substr(1, mark - 1), nonce = name.substr(mark + kMark.size());
  if (nonce.empty() || nonce.find_first_not_of("0123456789abcdef-") != std::string_view::npos) return false;
  return of == path.filename().string() || (path.extension() == ".vitrail" && of.ends_with(".vitrail"));
}

void remove_abandoned(FileSystem& files, const std::filesystem::path& path) {
  const std::filesystem::path folder = folder_of(path);
  for (const std::string& name : files.list(folder)) {
    if (is_temporary(name, path)) (void)files.remove_abandoned(folder / name);
  }
}

const char* advice(std::int64_t reason) {
  switch (reason) {
    case -ENOENT:
      return " (does the folder exist?)";
    case -EEXIST:
      return " (its file system cannot rename; choose a name that is free)";
    case -EACCES:
    case -EPERM:
    case -EROFS:
      return " (may its folder be written to?)";
    default:
      return "";
  }
}

bool cannot_rename(int reason) {
  return reason == -ENOSYS || reason == -EPERM || reason == -EOPNOTSUPP;
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path path, std::uint64_t bytes, Durability durability,
                       FileSystem& files, Place place)
    : files_(files), path_(std::move(path)), durability_(durability), place_(place) {
  remove_abandoned(files_, path_);
  const int mode = files_.mode_of(path_);
  if (mode >= 0 && S_ISDIR(mode)) throw FileError(path_.string() + ": expected a file, found a folder");
  create();
  try {
    // The mode of the file that is replaced, else what the umask leaves of 0666 (creating it did that). Not
    // every file system has modes.
    if (mode >= 0) (void)files_.set_mode(handle_, mode);
    prepare(bytes);
  } catch (...) {
    discard();
    throw;
  }
}

// A file that another process takes for left behind, in the moment before it is locked, is given up for a new
// one.
void AtomicFile::create() {
  for (int tries = 0;; ++tries) {
    temporary_ = place_ == Place::direct ? path_ : temporary_name(path_);
    handle_ = uninterrupted([&] { return files_.create(temporary_); });
    if (handle_ < 0) {
      const std::int64_t reason = std::exchange(handle_, -1);
      throw FileError(fmt::format("{}: cannot create a file in {}: {}{}", path_.string(),
                                  folder_of(path_).string(), std::strerror(static_cast<int>(-reason)),
                                  advice(reason)));
    }
    const int locked = uninterrupted([&] { return files_.lock(handle_); });
    const bool taken = locked == -ESTALE || locked == -EWOULDBLOCK;
    if (!taken) return;  // not every file system has locks
    discard();
    if (tries == 10) fail("lock the new file", locked);
  }
}

void AtomicFile::prepare(std::uint64_t bytes) {
  if (bytes == 0) return;
  const std::int64_t available = uninterrupted([&] { return files_.free_bytes(folder_of(path_)); });
  if (available < 0) fail("look for free space", available);
  if (static_cast<std::uint64_t>(available) < bytes) {
    throw FileError(fmt::format("{}: disk full: {} bytes are needed and {} are free ({} missing)",
                                path_.string(), bytes, available,
                                bytes - static_cast<std::uint64_t>(available)));
  }
  const int reserved = uninterrupted([&] { return files_.reserve(handle_, bytes); });
  if (reserved < 0) fail(fmt::format("reserve {} bytes", bytes).c_str(), reserved);
}

AtomicFile::~AtomicFile() {
  discard();
}

void AtomicFile::discard() {
  if (handle_ < 0) return;
  (void)files_.remove(temporary_);
  (void)files_.close(std::exchange(handle_, -1));
}

void AtomicFile::fail(const char* operation, std::int64_t result) const {
  throw FileError(
      fmt::format("{}: cannot {}: {}", path_.string(), operation, std::strerror(static_cast<int>(-result))));
}

void AtomicFile::write(std::uint64_t offset, Bytes bytes) {
  while (!bytes.empty()) {
    const Bytes piece = bytes.first(std::min<std::size_t>(bytes.size(), std::size_t{8} << 20));
    const std::int64_t written = uninterrupted([&] { return files_.write(handle_, offset, piece); });
    if (written <= 0) fail("write", written < 0 ? written : -EIO);
    offset += static_cast<std::uint64_t>(written);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  synced_ = false;
}

void AtomicFile::sync() {
  const int reason = files_.sync(handle_);  // never twice, not even after an interruption
  if (reason < 0) {
    throw SyncError(
        fmt::format("{}: cannot force it to the disk: {}", path_.string(), std::strerror(-reason)));
  }
  synced_ = true;
}

void AtomicFile::commit() {
  if (durability_ == Durability::durable && !synced_) sync();
  if (place_ == Place::beside) {
    const int renamed = uninterrupted([&] { return files_.rename(temporary_, path_); });
    if (cannot_rename(renamed))
      throw RenameError(path_.string() + ": its file system cannot rename: " + std::strerror(-renamed));
    if (renamed < 0) fail("rename into place", renamed);
  }
  const int closed = files_.close(std::exchange(handle_, -1));  // unlocks: the name is the right one by now
  if (durability_ == Durability::fast) return;
  const int kept = uninterrupted([&] { return files_.sync_folder(folder_of(path_)); });
  if (kept < 0) fail("force its folder to the disk (the file is in place)", kept);
  if (closed < 0 && closed != -EINTR) fail("close", closed);
}

void replace_file(const std::filesystem::path& path, std::string_view content, Durability durability,
                  FileSystem& files) {
  const Bytes bytes = std::as_bytes(std::span(content.data(), content.size()));
  const auto replace = [&] {
    AtomicFile file(path, bytes.size(), durability, files);
    file.write(0, bytes);
    file.commit();
  };
  try {
    replace();
  } catch (const SyncError&) {
    replace();
  }
}

}  // namespace vitrail::format
