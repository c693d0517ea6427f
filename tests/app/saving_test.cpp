// Checkpoints of whole runs: their three modes, a folder that goes away under them, two programs at once.
#include <doctest/doctest.h>
#include <signal.h>

#include "tests/support/app_program.h"
#include "tests/support/temporary_folder.h"

using namespace vitrail::test;

namespace {

namespace fs = std::filesystem;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class Workplace {
 public:
  Workplace() { write_quarters(folder_ / "quarters", 64, 16); }
  fs::path operator/(const std::string& name) const { return folder_ / name; }
  Outcome run(const std::vector<std::string>& arguments) const {
    return run_program(folder_ / "", arguments);
  }
  nlohmann::json status(const std::string& run) const {
    return nlohmann::json::parse(read_file(folder_ / run / "status.json"));
  }

 private:
  TemporaryFolder folder_;
};

// Waits for so many more steps and epochs than there are now.
bool wait_for_more(const fs::path& run, std::size_t lines) {
  return wait_for_metrics(run, read_metrics(run).size() + lines);
}

}  // namespace

TEST_CASE("three modes of saving: the same file in the end, and every save accounted for") {
  const Workplace work;
  for (const std::string mode : {"sync", "staged", "barrier"}) {
    CAPTURE(mode);
    const Outcome train = work.run(
        tiny_run(mode, {"save.every_steps=1", "save.mode=" + mode, "ema.decay=0.9", "accumulate=2"}));
    REQUIRE_MESSAGE(train.code == 0, train.err);
    CHECK(contains(train.out, "a copy for checkpoints") == (mode == "staged"));
    CHECK(contains(train.out, "step 8"));
    const nlohmann::json status = work.status(mode);
    CHECK(status.at("saved_step") == 8);
    CHECK(status.at("failed_saves") == 0);
    CHECK(status.at("saves").get<int>() + status.at("skipped_saves").get<int>() == 8);
    CHECK(status.at("saves").get<int>() >= 2);
    if (mode == "sync") CHECK(status.at("skipped_saves") == 0);
    CHECK(contains(train.out, "skipped meanwhile") == (status.at("skipped_saves") > 0));
    CHECK(status.at("last_save_seconds").get<double>() > 0);
    CHECK(status.at("blocked_seconds").get<double>() > 0);
    CHECK(read_file(work / mode / "last.vitrail") == read_file(work / "sync/last.vitrail"));
    CHECK(contains(read_file(work / mode / "config.toml"), "mode = \"" + mode + '"'));
  }
  CHECK(work.run({"resume", "barrier", "epochs=+1"}).code == 0);
  CHECK(contains(read_file(work / "barrier/config.toml"), "mode = \"barrier\""));
  CHECK(work.run({"resume", "barrier", "epochs=+1", "save.mode=sync"}).code == 0);
  CHECK(contains(read_file(work / "barrier/config.toml"), "mode = \"sync\""));
  CHECK(work.run(tiny_run("other", {"save.mode=fork"})).code == 2);
}

TEST_CASE("a run folder that goes away and comes back: failed saves are counted, the next ones succeed") {
  const Workplace work;
  RunningProgram program(work / "", tiny_run("run", {"epochs=100000", "save.every_steps=2"}));
  REQUIRE(wait_for_metrics(work / "run", 10));
  fs::rename(work / "run", work / "away");
  REQUIRE(wait_for_more(work / "away", 10));
  fs::rename(work / "away", work / "run");
  REQUIRE(wait_for_more(work / "run", 10));
  program.signal(SIGTERM);
  const Outcome stopped = program.wait();
  REQUIRE_MESSAGE(stopped.code == 75, stopped.err);
  CHECK(contains(stopped.err, "could not be saved"));
  const nlohmann::json status = work.status("run");
  CHECK(status.at("state") == "interrupted");
  CHECK(status.at("failed_saves").get<int>() >= 1);
  CHECK(status.at("saves").get<int>() >= 2);
  CHECK(status.at("saved_step") == status.at("step"));
  CHECK(work.run({"verify", "--full", "run"}).code == 0);
}

TEST_CASE("two programs do not train in one folder at once") {
  const Workplace work;
  RunningProgram program(work / "", tiny_run("run", {"epochs=100000"}));
  REQUIRE(wait_for_metrics(work / "run", 6));
  const Outcome second = work.run({"resume", "run"});
  CHECK(second.code == 2);
  CHECK(contains(second.err, "another process is training"));
  program.signal(SIGTERM);
  REQUIRE(program.wait().code == 75);
}
