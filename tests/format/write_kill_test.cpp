// A process that saves is killed at every call to the file system and in the middle of its writes.
//   VITRAIL_KILLS=10000 build/tests/format_tests -tc='*killed*'     as many random bytes

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <random>

#include "format/container.h"
#include "tests/support/hooked_files.h"
#include "tests/support/two_states.h"

namespace vitrail::format {
namespace {

using test::CallFate;
using test::file_bytes;
using test::FileCall;
using test::HookedFiles;
using test::TemporaryFolder;

constexpr WriteMode kModes[] = {WriteMode::io_uring, WriteMode::threads, WriteMode::buffered};

struct Save {
  const ContainerContents& contents;
  WriteMode mode;
};

// Whether the hook killed the process that saved; it must have succeeded otherwise.
bool killed(const std::filesystem::path& path, const Save& save, const test::FileHook& hook) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    try {
      HookedFiles files(hook);
      write_container(path, save.contents, {.mode = save.mode, .block_bytes = 131072, .files = &files});
      ::_exit(0);
    } catch (...) {
      ::_exit(1);
    }
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return true;
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  return false;
}

// Dies at the n-th call, before or after it is made.
test::FileHook dies_at_call(int n, bool after) {
  return [n, after, calls = 0](FileCall, std::size_t) mutable -> CallFate {
    if (++calls != n) return {};
    if (!after) test::die();
    return {.die = true};
  };
}

// Dies once so many bytes have been written.
test::FileHook dies_at_byte(std::size_t last) {
  return [last, written = std::size_t{0}](FileCall call, std::size_t bytes) mutable -> CallFate {
    if (call != FileCall::write && call != FileCall::submit) return {};
    if (written + bytes < last) {
      written += bytes;
      return {};
    }
    return {.most_bytes = last - written, .die = true};
  };
}

class KilledSaves {
 public:
  // Saves the new state over the old one under `hook`; false when nothing died.
  bool run(WriteMode mode, const test::FileHook& hook) {
    const std::filesystem::path path = folder_ / "x.vitrail";
    test::write_plainly(path, states_.old_bytes);
    const bool died = killed(path, {states_.later.contents, mode}, hook);
    const auto now = file_bytes(path);
    const bool is_new = now == states_.new_bytes;
    CHECK((is_new || now == states_.old_bytes));
    died_ += died ? 1 : 0;
    new_ += died && is_new ? 1 : 0;
    return died;
  }
  // The next save removes what the dead ones left. The system lets go of the last one's ring, and of its lock
  // with it, a moment after its death.
  void clean_up() {
    for (int tries = 0; tries == 0 || (tries < 100 && folder_.listing().size() > 1); ++tries) {
      if (tries > 0) ::usleep(20000);
      write_container(folder_ / "x.vitrail", states_.later.contents);
    }
    CHECK(file_bytes(folder_ / "x.vitrail") == states_.new_bytes);
    CHECK(folder_.listing() == std::vector<std::string>{"x.vitrail"});
  }
  std::size_t bytes() const { return states_.new_bytes.size(); }
  int died() const { return died_; }
  int found_new() const { return new_; }

 private:
  test::TwoStates states_{0.3};
  TemporaryFolder folder_{test::fast_folder()};
  int died_ = 0, new_ = 0;
};

TEST_CASE("a writer killed at any call leaves the old file or the new one") {
  for (const WriteMode mode : kModes) {
    KilledSaves saves;
    for (const bool after : {false, true}) {
      int call = 1;
      while (saves.run(mode, dies_at_call(call, after)))
        ++call;
      CHECK(call > 20);
    }
    CHECK(saves.found_new() > 0);
    CHECK(saves.found_new() < saves.died());
    saves.clean_up();
  }
}

TEST_CASE("a writer killed at any byte leaves the old file") {
  const char* wanted = std::getenv("VITRAIL_KILLS");
  const int kills = wanted != nullptr ? std::atoi(wanted) : 150;
  KilledSaves saves;
  std::mt19937_64 random(4);
  for (int i = 0; i < kills; ++i) {
    const std::size_t byte = random() % saves.bytes();
    CAPTURE(byte);
    CHECK(saves.run(kModes[i % 3], dies_at_byte(byte)));
  }
  CHECK(saves.died() == kills);
  CHECK(saves.found_new() == 0);
  saves.clean_up();
}

}  // namespace
}  // namespace vitrail::format
