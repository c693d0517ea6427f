// The power fails at any moment of a save, and the disk keeps what it likes of what was not forced to it.

#include <doctest/doctest.h>

#include <numeric>

#include "format/container.h"
#include "format/file.h"
#include "tests/support/crash_files.h"
#include "tests/support/two_states.h"

namespace vitrail::format {
namespace {

using test::ByteVector;
using test::CrashConditions;
using test::CrashFiles;
using test::Lie;
using test::TemporaryFolder;

const std::filesystem::path kPath = "run/x.vitrail";

// Seven small tensors in `version`: 28 KiB, a page a write.
class Version {
 public:
  explicit Version(unsigned version) {
    contents.root.set(1, std::string(100 * version, 'v'));
    for (const std::size_t size : {1, 5000, 4096, 0, 9000, 63, 2000}) {
      values_.emplace_back(size);
      for (std::size_t i = 0; i < size; ++i)
        values_.back()[i] = static_cast<std::byte>(i * 31 + i / 7 + version);
    }
    for (std::size_t i = 0; i < values_.size(); ++i) {
      contents.tensors.push_back({.name = "t" + std::to_string(i),
                                  .type = ElementType::u8,
                                  .shape = {static_cast<std::int64_t>(values_[i].size())},
                                  .bytes = values_[i]});
    }
    const TemporaryFolder folder;
    write_container(folder / "x", contents);
    bytes = test::file_bytes(folder / "x");
  }

  ContainerContents contents;
  ByteVector bytes;

 private:
  std::vector<ByteVector> values_;
};

struct Count {
  int states = 0, earlier = 0, later = 0, neither = 0;
};

// One way in which the disk may have been left.
struct Chance {
  std::size_t sector;
  double keep;
};
constexpr Chance kChances[] = {{512, 0},    {512, 0.02}, {512, 0.5},  {512, 0.98},
                               {4096, 0.2}, {4096, 0.5}, {4096, 0.9}, {4096, 1}};

// Counts what is found at every moment in [from, to], `tries` times.
void crash(const CrashFiles& files, std::size_t from, std::size_t to, int tries, const ByteVector& earlier,
           const ByteVector& later, std::mt19937_64& random, Count& count) {
  for (std::size_t moment = from; moment <= to; ++moment) {
    for (int i = 0; i < tries; ++i) {
      const Chance chance = kChances[static_cast<std::size_t>(i) % std::size(kChances)];
      const std::optional<ByteVector> found =
          files.after_crash(kPath, moment, chance.sector, chance.keep, random);
      ++count.states;
      if (found == earlier) {
        ++count.earlier;
      } else if (found == later) {
        ++count.later;
      } else {
        ++count.neither;
      }
    }
  }
}

// Two saves, one after the other, over a file that is there. Once a save has returned, only its state counts.
Count crash_two_saves(const CrashConditions& conditions, int tries) {
  const Version versions[] = {Version(1), Version(2), Version(3)};
  CrashFiles files(conditions);
  files.place(kPath, versions[0].bytes);
  std::mt19937_64 random(5);
  Count count;
  for (int i = 1; i <= 2; ++i) {
    const std::size_t begin = files.moments();
    write_container(kPath, versions[i].contents, {.block_bytes = 4096, .files = &files});
    const std::size_t end = files.moments();
    crash(files, begin, end - 1, tries, versions[i - 1].bytes, versions[i].bytes, random, count);
    crash(files, end, end, tries, versions[i].bytes, versions[i].bytes, random, count);
  }
  return count;
}

TEST_CASE("power that fails at any moment leaves the old file or the new one") {
  const Count count = crash_two_saves({}, 3000);
  MESSAGE(count.states << " states: " << count.earlier << " old, " << count.later << " new");
  CHECK(count.states >= 100000);
  CHECK(count.neither == 0);
  CHECK(count.earlier > 1000);
  CHECK(count.later > 1000);
}

TEST_CASE("and so it does when an fsync fails before") {
  const Count count = crash_two_saves({.first_sync_fails = true}, 100);
  CHECK(count.states > 5000);
  CHECK(count.neither == 0);
}

TEST_CASE("a disk or a commit that does not keep the order is found out") {
  CHECK(crash_two_saves({.lie = Lie::sync_does_nothing}, 100).neither > 100);
  CHECK(crash_two_saves({.lie = Lie::sync_after_rename}, 100).neither > 10);
  CHECK(crash_two_saves({.lie = Lie::folder_sync_does_nothing}, 100).neither > 10);
}

TEST_CASE("small files that are replaced survive it too") {
  const ByteVector earlier(700, std::byte{'o'}), later(9000, std::byte{'n'});
  CrashFiles files;
  files.place(kPath, earlier);
  const std::size_t begin = files.moments();
  replace_file(kPath, std::string(later.size(), 'n'), Durability::durable, files);
  std::mt19937_64 random(6);
  Count count;
  crash(files, begin, files.moments() - 1, 500, earlier, later, random, count);
  crash(files, files.moments(), files.moments(), 500, later, later, random, count);
  CHECK(count.neither == 0);
  CHECK(count.later > 100);
}

TEST_CASE("large tensors survive it too") {
  const test::TwoStates states(0.3);
  CrashFiles files;
  files.place(kPath, states.old_bytes);
  const std::size_t begin = files.moments();
  write_container(kPath, states.later.contents, {.block_bytes = 32768, .files = &files});
  std::mt19937_64 random(7);
  Count count;
  crash(files, begin, files.moments() - 1, 16, states.old_bytes, states.new_bytes, random, count);
  crash(files, files.moments(), files.moments(), 16, states.new_bytes, states.new_bytes, random, count);
  CHECK(count.neither == 0);
}

TEST_CASE("a file that could not be renamed into place is whole, or refused, or not there") {
  const Version version(2);
  CrashFiles files({.can_rename = false});
  CHECK(write_container(kPath, version.contents, {.block_bytes = 4096, .files = &files}).rewritten);
  std::mt19937_64 random(8);
  int whole = 0, refused = 0, absent = 0;
  for (std::size_t moment = 0; moment <= files.moments(); ++moment) {
    for (const Chance& chance : kChances) {
      const auto found = files.after_crash(kPath, moment, chance.sector, chance.keep, random);
      if (!found) {
        ++absent;
      } else if (*found == version.bytes) {
        ++whole;
      } else {
        CHECK(test::refusal(*found) != "");
        ++refused;
      }
    }
  }
  CHECK(std::min({whole, refused, absent}) > 10);
}

}  // namespace
}  // namespace vitrail::format
