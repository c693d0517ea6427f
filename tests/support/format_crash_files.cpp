#include "tests/support/crash_files.h"

#include <algorithm>
#include <deque>
#include <utility>

namespace vitrail::test {

// Writes finish when they are waited for, the last one first: nobody may count on their order.
class CrashQueue : public format::WriteQueue {
 public:
  CrashQueue(CrashFiles& files, CrashFiles::Handle file, format::WriteMode mode)
      : files_(files), file_(file), mode_(mode) {}

  format::WriteMode mode() const override { return mode_; }

  int submit(std::uint64_t offset, format::Bytes bytes, std::uint64_t tag) override {
    const std::size_t event = files_.add({.kind = CrashFiles::Event::Kind::data,
                                          .file = file_,
                                          .offset = offset,
                                          .bytes = {bytes.begin(), bytes.end()},
                                          .finished = false});
    under_way_.push_back({event, {tag, std::ssize(bytes)}});
    return 0;
  }

  int wait(Done& done) override {
    const auto [event, last] = under_way_.back();
    under_way_.pop_back();
    files_.events_[event].finished = true;
    files_.add({});
    done = last;
    return 0;
  }

 private:
  CrashFiles& files_;
  const CrashFiles::Handle file_;
  const format::WriteMode mode_;
  std::deque<std::pair<std::size_t, Done>> under_way_;
};

std::size_t CrashFiles::add(Event event) {
  events_.push_back(std::move(event));
  return events_.size() - 1;
}

void CrashFiles::place(const Path& path, const ByteVector& bytes) {
  const Handle file = create(path);
  write(file, 0, bytes);
  for (Event& event : events_)
    event.durable = 0;
}

format::FileSystem::Handle CrashFiles::create(const Path& path) {
  if (names_.contains(path)) return -EEXIST;
  names_[path] = files_;
  add({.kind = Event::Kind::name, .file = files_, .name = path});
  return files_++;
}

int CrashFiles::reserve(Handle file, std::uint64_t bytes) {
  add({.kind = Event::Kind::size, .file = file, .offset = bytes});
  return 0;
}

std::int64_t CrashFiles::write(Handle file, std::uint64_t offset, format::Bytes bytes) {
  add({.kind = Event::Kind::data, .file = file, .offset = offset, .bytes = {bytes.begin(), bytes.end()}});
  return std::ssize(bytes);
}

std::unique_ptr<format::WriteQueue> CrashFiles::open_queue(Handle file, format::WriteMode mode, unsigned) {
  return std::make_unique<CrashQueue>(*this, file, mode);
}

// Names are forced with their folder, data and sizes with their file.
void CrashFiles::force(Event::Kind kind, Handle file) {
  const std::size_t now = add({});
  for (Event& event : events_) {
    const bool meant = kind == Event::Kind::name
                           ? event.kind == kind
                           : event.file == file && event.kind != Event::Kind::name && event.finished;
    if (meant && event.durable == kNever) event.durable = now;
  }
}

int CrashFiles::sync(Handle file) {
  if (conditions_.first_sync_fails && !std::exchange(sync_failed_, true)) {
    for (Event& event : events_) {
      if (event.file == file && event.durable == kNever) event.finished = false;
    }
    return -EIO;
  }
  if (conditions_.lie == Lie::sync_after_rename) sync_later_ = file;
  if (conditions_.lie == Lie::none || conditions_.lie == Lie::folder_sync_does_nothing)
    force(Event::Kind::data, file);
  return 0;
}

int CrashFiles::rename(const Path& from, const Path& to) {
  if (!conditions_.can_rename) return -ENOSYS;
  const auto old = names_.find(from);
  if (old == names_.end()) return -ENOENT;
  add({.kind = Event::Kind::name, .file = old->second, .name = to, .gone = from});
  names_[to] = old->second;
  names_.erase(from);
  if (sync_later_ != kNoFile) force(Event::Kind::data, sync_later_);
  return 0;
}

int CrashFiles::sync_folder(const Path&) {
  if (conditions_.lie != Lie::folder_sync_does_nothing) force(Event::Kind::name, kNoFile);
  return 0;
}

int CrashFiles::remove(const Path& path) {
  if (names_.erase(path) == 0) return -ENOENT;
  add({.kind = Event::Kind::name, .gone = path});
  return 0;
}

format::FileSystem::Handle CrashFiles::found(const Path& path, std::size_t moment, double keep,
                                             std::mt19937_64& random) const {
  std::bernoulli_distribution kept(keep);
  Handle file = kNoFile;
  for (std::size_t i = 0; i < moment; ++i) {
    const Event& event = events_[i];
    if (event.kind != Event::Kind::name || (event.name != path && event.gone != path)) continue;
    if (event.durable >= moment && !kept(random)) continue;
    file = event.name == path ? event.file : kNoFile;
  }
  return file;
}

std::optional<ByteVector> CrashFiles::after_crash(const Path& path, std::size_t moment, std::size_t sector,
                                                  double keep, std::mt19937_64& random) const {
  const Handle file = found(path, moment, keep, random);
  if (file == kNoFile) return std::nullopt;
  std::bernoulli_distribution kept(keep);
  ByteVector content;
  const auto grow = [&](std::size_t size) { content.resize(std::max(content.size(), size)); };
  const auto put = [&](const Event& event, std::size_t from, std::size_t size) {
    grow(event.offset + from + size);
    std::copy_n(event.bytes.begin() + static_cast<std::ptrdiff_t>(from), size,
                content.begin() + static_cast<std::ptrdiff_t>(event.offset + from));
  };
  for (std::size_t i = 0; i < moment; ++i) {
    const Event& event = events_[i];
    if (event.file != file) continue;
    const bool durable = event.durable < moment;
    if (event.kind == Event::Kind::size && (durable || kept(random))) grow(event.offset);
    if (event.kind != Event::Kind::data) continue;
    if (durable) put(event, 0, event.bytes.size());
    for (std::size_t at = 0; !durable && at < event.bytes.size(); at += sector) {
      if (kept(random)) put(event, at, std::min(sector, event.bytes.size() - at));
    }
  }
  return content;
}

}  // namespace vitrail::test
