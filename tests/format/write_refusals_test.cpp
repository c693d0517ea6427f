// Places that cannot be written to: each says what is wrong and what to do.

#include <doctest/doctest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "format/container.h"
#include "tests/support/format_file.h"
#include "tests/support/uneven_tensors.h"

namespace vitrail::format {
namespace {

using test::file_bytes;
using test::TemporaryFolder;

std::string write_error(const std::filesystem::path& path, const ContainerContents& contents) {
  try {
    write_container(path, contents);
    return "";
  } catch (const FileError& error) {
    return error.what();
  }
}

// What `call` returns in a process of its own, which may give up rights and see other mounts.
std::string in_child(const std::function<std::string()>& call) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const std::string text = call();
    const bool sent = ::write(ends[1], text.data(), text.size()) == std::ssize(text);
    ::_exit(sent ? 0 : 1);
  }
  ::close(ends[1]);
  std::string text;
  char buffer[512];
  for (ssize_t size; (size = ::read(ends[0], buffer, sizeof(buffer))) > 0;)
    text.append(buffer, static_cast<std::size_t>(size));
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  return text;
}

bool mount_small_disk(const std::filesystem::path& folder) {
  const int user = ::geteuid() == 0 ? 0 : CLONE_NEWUSER;
  return ::unshare(user | CLONE_NEWNS) == 0 &&
         ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=256k") == 0;
}

TEST_CASE("a disk that is too small says how much is missing, and the file on it stays") {
  const TemporaryFolder folder;
  const test::UnevenTensors large(0.03);
  const std::string outcome = in_child([&]() -> std::string {
    if (!mount_small_disk(folder.path())) return "no mount";
    write_container(folder / "x.vitrail", test::tiny_contents());
    const std::string error = write_error(folder / "x.vitrail", large.contents);
    if (file_bytes(folder / "x.vitrail") != test::tiny_file()) return "the old file is gone";
    if (folder.listing().size() != 1) return "a temporary file was left";
    return error;
  });
  if (outcome == "no mount") {
    MESSAGE("skipped: this system lets nobody mount a small disk");
    return;
  }
  CHECK(outcome.find("x.vitrail: disk full: ") != std::string::npos);
  CHECK(outcome.find(" bytes are needed and ") != std::string::npos);
  CHECK(outcome.find(" missing)") != std::string::npos);
}

TEST_CASE("a folder without write permission is named") {
  const TemporaryFolder folder;
  write_container(folder / "x.vitrail", test::tiny_contents());
  std::filesystem::permissions(folder.path(), std::filesystem::perms(0555));
  const std::string error = in_child([&]() -> std::string {
    if (::geteuid() == 0 && ::setuid(65534) != 0) return "cannot give up root";
    return write_error(folder / "x.vitrail", test::tiny_contents());
  });
  std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
  CHECK(error == (folder / "x.vitrail").string() + ": cannot create a file in " + folder.path().string() +
                     ": Permission denied (may its folder be written to?)");
}

TEST_CASE("a missing folder and a folder in the file's place are named before anything is written") {
  const TemporaryFolder folder;
  const std::string missing = write_error(folder / "none/x.vitrail", test::tiny_contents());
  CHECK(missing.find(": No such file or directory (does the folder exist?)") != std::string::npos);
  std::filesystem::create_directory(folder / "x.vitrail");
  CHECK(write_error(folder / "x.vitrail", test::tiny_contents()) ==
        (folder / "x.vitrail").string() + ": expected a file, found a folder");
  CHECK(folder.listing() == std::vector<std::string>{"x.vitrail"});
}

}  // namespace
}  // namespace vitrail::format
