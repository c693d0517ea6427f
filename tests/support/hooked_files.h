#pragma once
// A file system that asks, before each call, what is to become of it: for tests in which calls fail or the
// process dies at one of them.

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>

#include "format/file_system.h"

namespace vitrail::test {

enum class FileCall {
  create,
  lock,
  remove_abandoned,
  mode_of,
  set_mode,
  free_bytes,
  reserve,
  write,
  read,
  open_queue,
  submit,
  wait,
  completion,
  set_buffered,
  sync,
  close,
  rename,
  sync_folder,
  remove,
  list
};

struct CallFate {
  std::optional<int> result = {};              // in place of the call, -errno
  std::optional<std::size_t> most_bytes = {};  // of a write that get written
  bool claim_all = false;                      // of which the caller is told nothing
  bool die = false;                            // once the call is done
};

using FileHook = std::function<CallFate(FileCall call, std::size_t bytes)>;

[[noreturn]] inline void die() {
  ::kill(::getpid(), SIGKILL);
  for (;;)
    ::pause();
}

class HookedQueue : public format::WriteQueue {
 public:
  HookedQueue(std::unique_ptr<WriteQueue> base, const FileHook& hook) : base_(std::move(base)), hook_(hook) {}

  format::WriteMode mode() const override { return base_->mode(); }

  int submit(std::uint64_t offset, format::Bytes bytes, std::uint64_t tag) override {
    const CallFate fate = hook_(FileCall::submit, bytes.size());
    if (fate.result) return *fate.result;
    const std::size_t size = std::min(bytes.size(), fate.most_bytes.value_or(bytes.size()));
    const int result = base_->submit(offset, bytes.first(size), tag);
    if (fate.claim_all) claimed_[tag] = std::ssize(bytes);
    if (!fate.die) return result;
    Done done{.tag = tag + 1};
    while (done.tag != tag && base_->wait(done) == 0) {
    }
    die();
  }

  int wait(Done& done) override {
    const CallFate fate = hook_(FileCall::wait, 0);
    if (fate.result) return *fate.result;
    const int result = base_->wait(done);
    if (fate.die) die();
    const CallFate completion = hook_(FileCall::completion, 0);
    if (completion.result) done.result = *completion.result;
    if (const auto claimed = claimed_.extract(done.tag)) done.result = claimed.mapped();
    if (completion.die) die();
    return result;
  }

 private:
  std::unique_ptr<WriteQueue> base_;
  const FileHook& hook_;
  std::map<std::uint64_t, std::int64_t> claimed_;  // by tag
};

class HookedFiles : public format::FileSystem {
 public:
  explicit HookedFiles(FileHook hook, FileSystem& base = format::real_file_system())
      : hook_(std::move(hook)), base_(base) {}

  Handle create(const Path& path) override {
    return run(FileCall::create, [&] { return base_.create(path); });
  }
  int lock(Handle file) override {
    return run(FileCall::lock, [&] { return base_.lock(file); });
  }
  int remove_abandoned(const Path& path) override {
    return run(FileCall::remove_abandoned, [&] { return base_.remove_abandoned(path); });
  }
  int mode_of(const Path& path) override {
    return run(FileCall::mode_of, [&] { return base_.mode_of(path); });
  }
  int set_mode(Handle file, int mode) override {
    return run(FileCall::set_mode, [&] { return base_.set_mode(file, mode); });
  }
  std::int64_t free_bytes(const Path& folder) override {
    return run(FileCall::free_bytes, [&] { return base_.free_bytes(folder); });
  }
  int reserve(Handle file, std::uint64_t bytes) override {
    return run(FileCall::reserve, [&] { return base_.reserve(file, bytes); });
  }
  std::int64_t write(Handle file, std::uint64_t offset, format::Bytes bytes) override {
    const CallFate fate = hook_(FileCall::write, bytes.size());
    if (fate.result) return *fate.result;
    const std::size_t size = std::min(bytes.size(), fate.most_bytes.value_or(bytes.size()));
    const std::int64_t result = base_.write(file, offset, bytes.first(size));
    if (fate.die) die();
    return result;
  }
  std::int64_t read(Handle file, std::uint64_t offset, std::span<std::byte> bytes) override {
    return run(FileCall::read, [&] { return base_.read(file, offset, bytes); });
  }
  std::unique_ptr<format::WriteQueue> open_queue(Handle file, format::WriteMode mode,
                                                 unsigned depth) override {
    if (run(FileCall::open_queue, [] { return 0; }) < 0) return nullptr;
    auto queue = base_.open_queue(file, mode, depth);
    if (queue == nullptr) return nullptr;
    return std::make_unique<HookedQueue>(std::move(queue), hook_);
  }
  int set_buffered(Handle file) override {
    return run(FileCall::set_buffered, [&] { return base_.set_buffered(file); });
  }
  int sync(Handle file) override {
    return run(FileCall::sync, [&] { return base_.sync(file); });
  }
  // Closes even where it says that it failed, as Linux does.
  int close(Handle file) override {
    const CallFate fate = hook_(FileCall::close, 0);
    const int result = base_.close(file);
    if (fate.die) die();
    return fate.result.value_or(result);
  }
  int rename(const Path& from, const Path& to) override {
    return run(FileCall::rename, [&] { return base_.rename(from, to); });
  }
  int sync_folder(const Path& folder) override {
    return run(FileCall::sync_folder, [&] { return base_.sync_folder(folder); });
  }
  int remove(const Path& path) override {
    return run(FileCall::remove, [&] { return base_.remove(path); });
  }
  std::vector<std::string> list(const Path& folder) override {
    if (run(FileCall::list, [] { return 0; }) < 0) return {};
    return base_.list(folder);
  }

 private:
  template <class Call>
  auto run(FileCall call, Call&& make) -> decltype(make()) {
    const CallFate fate = hook_(call, 0);
    if (fate.result) return *fate.result;
    const auto result = make();
    if (fate.die) die();
    return result;
  }

  FileHook hook_;
  FileSystem& base_;
};

}  // namespace vitrail::test
