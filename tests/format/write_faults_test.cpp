// Every call to the file system fails, one after the other: once, and from then on for good.

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "format/container.h"
#include "format/file.h"
#include "format/safetensors.h"
#include "tests/support/hooked_files.h"
#include "tests/support/two_states.h"

namespace vitrail::format {
namespace {

using test::CallFate;
using test::file_bytes;
using test::FileCall;
using test::HookedFiles;
using test::TemporaryFolder;

constexpr int kShort = 0;  // half of what was to be written

struct Fault {
  int call;  // the first is 1
  int reason;
  bool for_good;
};

// What a fault did on its way.
struct Trace {
  int calls = 0;
  bool removal_failed = false;
  bool renamed = false;
};

HookedFiles failing(const Fault& fault, Trace& trace) {
  return HookedFiles([&trace, fault](FileCall call, std::size_t bytes) -> CallFate {
    ++trace.calls;
    const bool hit = fault.for_good ? trace.calls >= fault.call : trace.calls == fault.call;
    if (call == FileCall::rename && (!hit || fault.reason == kShort)) trace.renamed = true;
    if (!hit) return {};
    if (fault.reason == kShort) return {.most_bytes = std::max<std::size_t>(1, bytes / 2)};
    if (call == FileCall::open_queue && fault.reason == EINTR) return {};  // no call that a signal interrupts
    if (call == FileCall::remove) trace.removal_failed = true;
    return {.result = -fault.reason};
  });
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    ++count;
  return count;
}

// Runs `save` over the old file with each fault in turn, until there are no more calls to fail.
template <class Save>
int save_with_every_fault(const test::ByteVector& before, const test::ByteVector& after, int reason,
                          bool for_good, Save&& save) {
  int errors = 0;
  for (int call = 1;; ++call) {
    const TemporaryFolder folder(test::fast_folder());
    test::write_plainly(folder / "x.vitrail", before);
    Trace trace;
    HookedFiles files = failing({call, reason, for_good}, trace);
    const std::size_t descriptors = open_descriptors();
    bool saved = true;
    try {
      save(folder / "x.vitrail", files);
    } catch (const FileError& error) {
      saved = false;
      ++errors;
      CHECK(std::string(error.what()).find((folder / "x.vitrail").string()) == 0);
    }
    CAPTURE(call);
    CAPTURE(reason);
    CAPTURE(for_good);
    const auto now = file_bytes(folder / "x.vitrail");
    // After the rename only the folder's fsync and close can fail: the new file is there, and reported.
    CHECK(now == (saved || trace.renamed ? after : before));
    CHECK(open_descriptors() == descriptors);
    if (!trace.removal_failed) CHECK(folder.listing() == std::vector<std::string>{"x.vitrail"});
    if (trace.calls < call) {
      CHECK(saved);
      return errors;
    }
  }
}

TEST_CASE("a call that fails leaves the old file or the new one, nothing beside it, and no descriptor open") {
  const test::TwoStates states(0.3);
  for (const WriteMode mode : {WriteMode::io_uring, WriteMode::threads, WriteMode::buffered}) {
    const auto save = [&](const std::filesystem::path& path, FileSystem& files) {
      write_container(path, states.later.contents,
                      {.mode = mode, .block_bytes = 131072, .read_back = true, .files = &files});
    };
    for (const int reason : {ENOSPC, EIO, EINTR, kShort}) {
      for (const bool for_good : {false, true}) {
        if (mode == WriteMode::threads && (for_good || reason != EIO)) continue;  // much like io_uring
        CAPTURE(name_of(mode));
        const int errors = save_with_every_fault(states.old_bytes, states.new_bytes, reason, for_good, save);
        if (reason == kShort) CHECK(errors == 0);
        if (reason == EINTR && !for_good) CHECK(errors == 0);
        if (reason == EIO && for_good) CHECK(errors > 20);
      }
    }
  }
}

TEST_CASE("a small file that is replaced is as safe") {
  const test::ByteVector before(10, std::byte{1});
  const std::string after(5000, 'n');
  test::ByteVector after_bytes(after.size(), std::byte{'n'});
  for (const Durability durability : {Durability::durable, Durability::fast}) {
    for (const int reason : {ENOSPC, EIO, EINTR, kShort}) {
      for (const bool for_good : {false, true}) {
        save_with_every_fault(before, after_bytes, reason, for_good,
                              [&](const std::filesystem::path& path, FileSystem& files) {
                                replace_file(path, after, durability, files);
                              });
      }
    }
  }
}

TEST_CASE("a safetensors file is as safe, whose end is no whole page") {
  const test::ByteVector before(10, std::byte{1});
  std::vector<std::byte> bytes(300'001);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(i * 31 % 251);
  const std::vector<TensorRecord> tensors{
      {.name = "x", .type = ElementType::u8, .shape = {std::ssize(bytes)}, .bytes = bytes}};
  const TemporaryFolder whole;
  write_safetensors(whole / "x", tensors, {});
  const test::ByteVector after = file_bytes(whole / "x");
  for (const int reason : {ENOSPC, EIO, EINTR, kShort}) {
    for (const bool for_good : {false, true}) {
      const int errors = save_with_every_fault(
          before, after, reason, for_good, [&](const std::filesystem::path& path, FileSystem& files) {
            write_safetensors(path, tensors, {}, {.block_bytes = 131072, .read_back = true, .files = &files});
          });
      if (reason == kShort) CHECK(errors == 0);
      if (reason == EIO && for_good) CHECK(errors > 10);
    }
  }
}

// The n-th call of one kind fails with `reason`.
HookedFiles failing(FileCall kind, int reason, int times, int& calls) {
  return HookedFiles([=, &calls](FileCall call, std::size_t) -> CallFate {
    if (call != kind || ++calls > times) return {};
    return {.result = -reason};
  });
}

TEST_CASE("a failed fsync is not tried again: the file is written anew, once") {
  const test::TwoStates states(0.3);
  const TemporaryFolder folder;
  for (const int reason : {EIO, EINTR, ENOSPC}) {
    int syncs = 0;
    HookedFiles once = failing(FileCall::sync, reason, 1, syncs);
    const WriteResult result = write_container(folder / "x.vitrail", states.later.contents, {.files = &once});
    CHECK(result.rewritten);
    CHECK(syncs == 2);
    CHECK(file_bytes(folder / "x.vitrail") == states.new_bytes);
  }
  int syncs = 0;
  HookedFiles twice = failing(FileCall::sync, EIO, 2, syncs);
  const WriteOptions options{.files = &twice};
  CHECK_THROWS_WITH_AS(
      write_container(folder / "x.vitrail", states.earlier, options),
      ((folder / "x.vitrail").string() + ": cannot force it to the disk: Input/output error").c_str(),
      FileError);
  CHECK(syncs == 2);
  CHECK(folder.listing() == std::vector<std::string>{"x.vitrail"});
  CHECK(file_bytes(folder / "x.vitrail") == states.new_bytes);
}

TEST_CASE("what may have changed since it was consumed is not written again") {
  const test::TwoStates states(0.3);
  const TemporaryFolder folder;
  int syncs = 0;
  HookedFiles once = failing(FileCall::sync, EIO, 1, syncs);
  const WriteOptions options{.on_consumed = [](const TensorRecord&) {}, .files = &once};
  CHECK_THROWS_AS(write_container(folder / "x.vitrail", states.later.contents, options), FileError);
  CHECK(syncs == 1);
  CHECK(folder.listing().empty());
}

TEST_CASE("what reads back differently is written anew") {
  const test::TwoStates states(0.3);
  const TemporaryFolder folder;
  // The third write is cut short, and the disk says that all of it was written.
  int submits = 0;
  HookedFiles files([&](FileCall call, std::size_t) -> CallFate {
    if (call == FileCall::submit && ++submits == 3) return {.most_bytes = 512, .claim_all = true};
    return {};
  });
  const WriteResult result = write_container(folder / "x.vitrail", states.later.contents,
                                             {.block_bytes = 32768, .read_back = true, .files = &files});
  CHECK(result.rewritten);
  CHECK(file_bytes(folder / "x.vitrail") == states.new_bytes);
}

TEST_CASE("where files cannot be renamed, a free name is written to and a taken one refused") {
  const test::TwoStates states(0.3);
  const TemporaryFolder folder;
  int renames = 0;
  HookedFiles files = failing(FileCall::rename, ENOSYS, 1000, renames);
  const WriteOptions options{.files = &files};
  CHECK(write_container(folder / "x.vitrail", states.later.contents, options).rewritten);
  CHECK(file_bytes(folder / "x.vitrail") == states.new_bytes);
  std::string message;
  try {
    write_container(folder / "x.vitrail", states.earlier, options);
  } catch (const FileError& error) {
    message = error.what();
  }
  CHECK(message.find("choose a name that is free") != std::string::npos);
  CHECK(file_bytes(folder / "x.vitrail") == states.new_bytes);
  CHECK(folder.listing() == std::vector<std::string>{"x.vitrail"});
}

TEST_CASE("a mode that the system refuses gives way to the next") {
  const test::TwoStates states(0.3);
  const TemporaryFolder folder;
  for (const auto& [refused, used] : {std::pair(1, WriteMode::threads), std::pair(2, WriteMode::buffered)}) {
    int opened = 0;
    HookedFiles files = failing(FileCall::open_queue, EPERM, refused, opened);
    CHECK(write_container(folder / "x.vitrail", states.later.contents,
                          {.mode = WriteMode::io_uring, .files = &files})
              .mode == used);
    CHECK(file_bytes(folder / "x.vitrail") == states.new_bytes);
  }
  // Direct writes that are refused only when they come.
  int completions = 0;
  HookedFiles files = failing(FileCall::completion, EINVAL, 1, completions);
  CHECK(write_container(folder / "x.vitrail", states.later.contents, {.files = &files}).mode ==
        WriteMode::buffered);
  CHECK(file_bytes(folder / "x.vitrail") == states.new_bytes);
}

}  // namespace
}  // namespace vitrail::format
