#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "format/container.h"
#include "format/file.h"
#include "format/hash.h"
#include "tests/support/format_file.h"
#include "tests/support/uneven_tensors.h"

namespace vitrail::format {
namespace {

using test::file_bytes;
using test::TemporaryFolder;
using test::UnevenTensors;

constexpr WriteMode kModes[] = {WriteMode::automatic, WriteMode::io_uring, WriteMode::threads,
                                WriteMode::buffered};

TEST_CASE("every write mode makes the same bytes, and the same in every build") {
  const TemporaryFolder folder;
  const UnevenTensors tensors;
  std::set<std::string> files;
  for (const WriteMode mode : kModes) {
    for (const bool read_back : {false, true}) {
      const WriteResult result =
          write_container(folder / "x.vitrail", tensors.contents, {.mode = mode, .read_back = read_back});
      CHECK(!result.rewritten);
      CHECK(result.mode >= mode);  // or a later one, where the system refuses it
      if (mode == WriteMode::automatic) MESSAGE("automatic: " << std::string(name_of(result.mode)));
      CHECK_NOTHROW(Container::open(folder / "x.vitrail").verify_all());
      files.insert(to_hex(hash128(file_bytes(folder / "x.vitrail"))));
    }
  }
  REQUIRE(files.size() == 1);
  CHECK(*files.begin() == "864f6b8cc82d8889007fced20bb7bd60");
}

TEST_CASE("a tensor may be changed as soon as it is consumed, whatever the mode") {
  const TemporaryFolder folder;
  const UnevenTensors still;
  write_container(folder / "still.vitrail", still.contents);
  for (const WriteMode mode : kModes) {
    UnevenTensors changing;
    std::multiset<std::string> consumed;
    WriteOptions options{.mode = mode};
    options.on_consumed = [&](const TensorRecord& tensor) {
      consumed.insert(tensor.name);
      const auto index = static_cast<std::size_t>(&tensor - changing.contents.tensors.data());
      std::ranges::fill(changing.memory(index), std::byte{0xEE});
    };
    write_container(folder / "x.vitrail", changing.contents, options);
    std::multiset<std::string> all;
    for (const TensorRecord& tensor : still.contents.tensors)
      all.insert(tensor.name);
    CHECK(consumed == all);
    CHECK(file_bytes(folder / "x.vitrail") == file_bytes(folder / "still.vitrail"));
  }
}

TEST_CASE("temporary files that nobody writes any more are removed, others are not") {
  const TemporaryFolder folder;
  replace_file(folder / ".old.vitrail.tmp-1f-2", "left behind");  // by a save of another step
  replace_file(folder / ".x.vitrail.tmp-1f-3", "left behind");
  replace_file(folder / ".x.vitrail.tmp-live", "another name");
  replace_file(folder / ".notes.txt.tmp-1f-4", "of another kind of file");
  replace_file(folder / ".x.vitrail.tmp-1f-5", "being written");
  const int live = ::open((folder / ".x.vitrail.tmp-1f-5").c_str(), O_RDWR | O_CLOEXEC);
  REQUIRE(::flock(live, LOCK_EX) == 0);
  {
    const AtomicFile file(folder / "x.vitrail", 1), same_process(folder / "y.vitrail", 1);
    CHECK(folder.listing().size() == 5);
  }
  ::close(live);
  auto names = folder.listing();
  std::ranges::sort(names);
  CHECK(names ==
        std::vector<std::string>{".notes.txt.tmp-1f-4", ".x.vitrail.tmp-1f-5", ".x.vitrail.tmp-live"});
}

}  // namespace
}  // namespace vitrail::format
