#include "engine/app/console.h"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <thread>

#include "tests/support/app_program.h"
#include "tests/support/temporary_folder.h"

using namespace vitrail::app;
using vitrail::test::read_file;
using vitrail::test::TemporaryFolder;

namespace {

// A console whose both streams are a file.
class Recorder {
 public:
  explicit Recorder(ConsoleOptions options) {
    options.out = options.err = file_ = std::fopen((folder_ / "screen").c_str(), "w");
    console_ = std::make_unique<Console>(options);
  }
  ~Recorder() {
    console_.reset();
    std::fclose(file_);
  }
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  Console& console() { return *console_; }
  std::string shown() const { return read_file(folder_ / "screen"); }

 private:
  TemporaryFolder folder_;
  std::FILE* file_ = nullptr;
  std::unique_ptr<Console> console_;
};

}  // namespace

TEST_CASE("in a pipe: plain lines, and progress once an interval") {
  Recorder recorder({.interval = 0.2});
  Console& console = recorder.console();
  console.row("Data", "flowers");
  console.announce("reading");
  for (int i = 0; i < 50; ++i)
    console.progress("step " + std::to_string(i));
  console.warning("careful");
  console.error("wrong", "do this");
  CHECK(recorder.shown() == "      Data  flowers\nstep 0\nwarning: careful\nerror: wrong\nhelp: do this\n");
  CHECK_FALSE(console.progress_due());
  std::this_thread::sleep_for(std::chrono::milliseconds(220));
  CHECK(console.progress_due());
}

TEST_CASE("on a terminal: one line redrawn at most ten times a second, and gone before the next line") {
  Recorder recorder({.live = true, .color = true});
  Console& console = recorder.console();
  for (int i = 0; i < 50; ++i)
    console.progress("step " + std::to_string(i));
  console.row("Eval", "good");
  CHECK(recorder.shown() == "\rstep 0\x1b[K\r\x1b[K      \x1b[1mEval\x1b[0m  good\n");
}

TEST_CASE("after a line that stays, progress is drawn again at once") {
  Recorder recorder({.live = true});
  Console& console = recorder.console();
  console.progress("step 1");
  console.row("Saved", "it");
  CHECK(console.progress_due());
  console.progress("step 2");
  CHECK_FALSE(console.progress_due());
  CHECK(recorder.shown() == "\rstep 1\x1b[K\r\x1b[K     Saved  it\n\rstep 2\x1b[K");
}

TEST_CASE("without colour there is emphasis nowhere") {
  Recorder recorder({.live = true, .color = false});
  recorder.console().row("Eval", "good");
  recorder.console().error("wrong", "");
  CHECK(recorder.shown() == "      Eval  good\nerror: wrong\n");
}

TEST_CASE("quiet: errors and the document, nothing else") {
  Recorder recorder({.quiet = true});
  Console& console = recorder.console();
  console.line("hello");
  console.row("Eval", "good");
  console.progress("step 1");
  console.announce("wait");
  console.document("{}");
  console.warning("careful");
  CHECK(recorder.shown() == "{}\nwarning: careful\n");
}

TEST_CASE("the log holds the plain form of everything, also of what a terminal shows in colour") {
  const TemporaryFolder folder;
  Recorder recorder({.live = true, .color = true, .interval = 100});
  Console& console = recorder.console();
  console.log_to(folder / "log.txt");
  console.row("Data", "flowers");
  for (int i = 0; i < 5; ++i)
    console.progress("step " + std::to_string(i));
  console.error("wrong", "do this");
  CHECK(read_file(folder / "log.txt") == "      Data  flowers\nstep 0\nerror: wrong\nhelp: do this\n");
}
