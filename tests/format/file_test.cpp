#include "format/file.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include "format/container.h"
#include "tests/support/format_file.h"

namespace vitrail::format {
namespace {

using test::ByteVector;
using test::file_bytes;
using test::TemporaryFolder;

Bytes text_bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string file_text(const std::filesystem::path& path) {
  const ByteVector bytes = file_bytes(path);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Files of this process may not grow beyond `bytes`: writes fail with EFBIG.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    old_handler_ = ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, old_handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit old_{};
  void (*old_handler_)(int) = SIG_DFL;
};

// The message of the FileError that `call` throws; nothing when it throws none.
std::optional<std::string> file_error(auto&& call) {
  try {
    call();
  } catch (const FileError& error) {
    return error.what();
  }
  return std::nullopt;
}

bool contains(const std::optional<std::string>& message, const std::string& part) {
  return message && message->find(part) != std::string::npos;
}

TEST_CASE("a committed file is there with all its bytes, and nothing beside it") {
  const TemporaryFolder folder;
  for (const Durability durability : {Durability::durable, Durability::fast}) {
    replace_file(folder / "status.json", "first", durability);
    CHECK(file_text(folder / "status.json") == "first");
    replace_file(folder / "status.json", "2", durability);
    CHECK(file_text(folder / "status.json") == "2");
    replace_file(folder / "status.json", "", durability);
    CHECK(file_text(folder / "status.json").empty());
    CHECK(folder.listing() == std::vector<std::string>{"status.json"});
  }
}

TEST_CASE("writes may come in any order and end up at their offsets") {
  const TemporaryFolder folder;
  AtomicFile file(folder / "x", 6);
  file.write(3, text_bytes("def"));
  file.write(0, text_bytes("abc"));
  CHECK(folder.listing().size() == 1);  // only the temporary one
  CHECK(folder.listing().front().starts_with(".x.tmp-"));
  file.commit();
  CHECK(file_text(folder / "x") == "abcdef");
}

TEST_CASE("without commit the old file stands and the temporary one goes") {
  const TemporaryFolder folder;
  replace_file(folder / "x", "old");
  {
    AtomicFile one(folder / "x", 3), two(folder / "x", 3);  // two writers do not meet
    one.write(0, text_bytes("one"));
    two.write(0, text_bytes("two"));
    CHECK(folder.listing().size() == 3);
  }
  CHECK(file_text(folder / "x") == "old");
  CHECK(folder.listing() == std::vector<std::string>{"x"});
}

TEST_CASE("a write that fails leaves the old file and no other") {
  const TemporaryFolder folder;
  replace_file(folder / "x.vitrail", "old");
  std::optional<std::string> reserving, container, fast;
  {
    const FileSizeLimit limit(4096);
    reserving = file_error([&] { replace_file(folder / "x.vitrail", std::string(10000, 'n')); });
    container = file_error([&] { write_container(folder / "x.vitrail", test::tiny_contents()); });
    fast = file_error([&] { replace_file(folder / "x.vitrail", std::string(10000, 'n'), Durability::fast); });
  }
  CHECK(contains(fast, "File too large"));
  CHECK(contains(reserving, (folder / "x.vitrail").string()));
  CHECK(contains(reserving, "File too large"));
  CHECK(contains(container, "File too large"));
  CHECK(file_text(folder / "x.vitrail") == "old");
  CHECK(folder.listing() == std::vector<std::string>{"x.vitrail"});
}

TEST_CASE("a disk without room is found before the first byte, with both figures") {
  const TemporaryFolder folder;
  replace_file(folder / "x", "old");
  const auto message = file_error([&] { AtomicFile(folder / "x", std::uint64_t{1} << 60); });
  CHECK(contains(message, "1152921504606846976 bytes are needed"));
  CHECK(contains(message, " are free"));
  CHECK(file_text(folder / "x") == "old");
  CHECK(folder.listing() == std::vector<std::string>{"x"});
}

TEST_CASE("a target that cannot be is refused by name, and nothing is left") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "taken");
  const auto over_folder = file_error([&] { replace_file(folder / "taken", "x"); });
  CHECK(contains(over_folder, "taken"));
  CHECK(contains(file_error([&] { replace_file(folder / "taken", "x", Durability::fast); }), "taken"));
  CHECK(folder.listing() == std::vector<std::string>{"taken"});
  CHECK(contains(file_error([&] { replace_file(folder / "none/x", "x"); }), "No such file or directory"));
  CHECK(contains(file_error([&] { replace_file("/dev/null/x", "x"); }), "/dev/null"));
}

TEST_CASE("the mode of the file that is replaced stays, a new one follows the umask") {
  const TemporaryFolder folder;
  const auto mode = [&](const std::string& name) {
    struct stat status {};
    ::stat((folder / name).c_str(), &status);
    return status.st_mode & 07777;
  };
  const mode_t old_mask = ::umask(027);
  replace_file(folder / "new", "x");
  ::umask(old_mask);
  CHECK(mode("new") == 0640);
  ::chmod((folder / "new").c_str(), 0604);
  replace_file(folder / "new", "y");
  CHECK(mode("new") == 0604);
}

TEST_CASE("a map keeps the old bytes when the file is replaced, and moves") {
  const TemporaryFolder folder;
  replace_file(folder / "x", "old");
  MappedFile map(folder / "x");
  replace_file(folder / "x", "new!");
  CHECK(std::string(reinterpret_cast<const char*>(map.bytes().data()), map.bytes().size()) == "old");
  MappedFile moved(std::move(map));
  CHECK(moved.bytes().size() == 3);
  moved = MappedFile(folder / "x");
  CHECK(moved.bytes().size() == 4);
}

TEST_CASE("what cannot be mapped is refused by name") {
  const TemporaryFolder folder;
  replace_file(folder / "empty", "");
  CHECK(MappedFile(folder / "empty").bytes().empty());
  CHECK(contains(file_error([&] { MappedFile map(folder / "none"); }), "none: cannot open: No such file"));
  CHECK(contains(file_error([&] { MappedFile map(folder.path()); }), "expected a file, found a folder"));
  CHECK(contains(file_error([&] { MappedFile map("/dev/null"); }), "/dev/null"));
  if (::geteuid() == 0) return;  // root may read everything
  ::chmod((folder / "empty").c_str(), 0);
  CHECK(contains(file_error([&] { MappedFile map(folder / "empty"); }), "Permission denied"));
}

// Writes two files in turn under one name until it is killed.
[[noreturn]] void write_forever(const std::filesystem::path& path) {
  ContainerContents contents = test::tiny_contents();
  for (std::uint64_t round = 0;; ++round) {
    contents.root.set(1, round % 2 == 0 ? std::string("even") : std::string(5000, 'o'));
    try {
      write_container(path, contents);
    } catch (...) {
      ::_exit(1);
    }
  }
}

TEST_CASE("a writer killed at any moment leaves a whole file") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "x.vitrail";
  write_container(path, test::tiny_contents());
  for (int round = 0; round < 30; ++round) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) write_forever(path);
    ::usleep(static_cast<useconds_t>(500 + 397 * round % 7000));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(WIFSIGNALED(status));
    CHECK_NOTHROW(Container::open(path).verify_all());
  }
}

}  // namespace
}  // namespace vitrail::format
