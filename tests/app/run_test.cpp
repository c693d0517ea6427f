// Whole runs of the program on a data set of 64 small images.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <fstream>

#include "tests/support/app_program.h"
#include "tests/support/checkpoint_files.h"
#include "tests/support/data_files.h"
#include "tests/support/temporary_folder.h"

using namespace vitrail::test;

namespace {

namespace fs = std::filesystem;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// A folder with the data set, in which programs are run.
class Workplace {
 public:
  Workplace() { write_quarters(folder_ / "quarters", 64, 16); }

  fs::path operator/(const std::string& name) const { return folder_ / name; }
  Outcome run(const std::vector<std::string>& arguments, const Limits& limits = {}) const {
    return run_program(folder_ / "", arguments, limits);
  }
  nlohmann::json json(std::vector<std::string> arguments) const {
    arguments.emplace_back("--json");
    const Outcome outcome = run(arguments);
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    return nlohmann::json::parse(outcome.out);
  }
  // Identifies weights, moments and all else that was learnt in the run's last checkpoint.
  std::string content(const std::string& run_name) const { return json({"info", run_name}).at("content_id"); }

 private:
  TemporaryFolder folder_;
};

std::vector<double> losses(const fs::path& run) {
  std::vector<double> losses;
  for (const nlohmann::json& line : read_metrics(run)) {
    if (line.at("kind") == "step") losses.push_back(line.at("loss"));
  }
  return losses;
}

}  // namespace

TEST_CASE("train, then everything one does with a run") {
  const Workplace work;
  const Outcome train = work.run(tiny_run("run", {"epochs=40", "opt.lr=0.01"}));
  REQUIRE_MESSAGE(train.code == 0, train.err);
  CHECK(train.err.empty());

  SUBCASE("its output is plain lines, and log.txt holds them") {
    CHECK_FALSE(contains(train.out, "\r"));
    CHECK_FALSE(contains(train.out, "\x1b"));
    CHECK(std::count(train.out.begin(), train.out.end(), '\n') <
          120);  // two an epoch, the first screen, the summary
    for (const char* part :
         {"Vitrail", "Data", "Model", "Plan", "Memory", "step ", "Eval", "Saved", "Next"}) {
      CHECK_MESSAGE(contains(train.out, part), part);
    }
    CHECK(read_file(work / "run/log.txt") == train.out);
  }
  SUBCASE("its folder is complete") {
    for (const char* name : {"config.toml", "metrics.jsonl", "log.txt", "status.json", "data.txt",
                             "last.vitrail", "best.vitrail"}) {
      CHECK_MESSAGE(fs::exists(work / "run" / name), name);
    }
    const nlohmann::json status = nlohmann::json::parse(read_file(work / "run/status.json"));
    CHECK(status.at("state") == "done");
    CHECK(status.at("step") == 160);
    CHECK(status.at("failed_saves") == 0);
    CHECK(losses(work / "run").size() == 160);
    CHECK(read_metrics(work / "run").size() == 200);
  }
  SUBCASE("it learnt, and eval says so") {
    const nlohmann::json eval = work.json({"eval", "run", "threads=1"});
    CHECK(eval.at("samples") == 16);
    CHECK(eval.at("top1").get<double>() == 100);
    CHECK(eval.at("data") == "quarters");
    std::int64_t counted = 0;
    for (const nlohmann::json& row : eval.at("confusion")) {
      for (const nlohmann::json& cell : row)
        counted += cell.get<std::int64_t>();
    }
    CHECK(counted == 16);
    CHECK(contains(work.run({"eval", "run"}).out, "top1 100.00"));
    for (const std::string dtype : {"bf16", "int8"}) {
      const nlohmann::json narrow = work.json({"eval", "run", "dtype=" + dtype});
      CHECK(narrow.at("dtype") == dtype);
      CHECK(narrow.at("top1").get<double>() == 100);
      CHECK(narrow.at("loss") != eval.at("loss"));
    }
  }
  SUBCASE("predict") {
    const std::string image = fixture("grey.png").string();
    const nlohmann::json predicted = work.json({"predict", "run", image, "--top", "4"}).at("images").at(0);
    double sum = 0;
    for (const nlohmann::json& top : predicted.at("top"))
      sum += top.at("probability").get<double>();
    CHECK(sum == doctest::Approx(1));
    CHECK(predicted.at("logits").size() == 4);
    const auto logits = predicted.at("logits").get<std::vector<double>>();
    const auto likeliest = std::max_element(logits.begin(), logits.end()) - logits.begin();
    CHECK(predicted.at("top").at(0).at("class") == likeliest);
    CHECK(work.run({"predict", "run", image}).code == 0);
    CHECK(work.run({"predict", "run", "missing.png"}).code == 3);
  }
  SUBCASE("info, and every byte verified") {
    const nlohmann::json info = work.json({"info", "run"});
    CHECK(info.at("kind") == "checkpoint");
    CHECK(info.at("step") == 160);
    CHECK(info.at("model").at("dim") == 16);
    CHECK(contains(work.run({"verify", "--full", "run"}).out, "every byte"));
  }
  SUBCASE("export") {
    CHECK(work.run({"export", "run", "--to", "onnx"}).code == 0);
    CHECK(fs::file_size(work / "run/model.onnx") > 1000);
    CHECK(work.run({"export", "run", "--to", "onnx", "-o", "other.onnx"}).code == 0);
    CHECK(read_file(work / "run/model.onnx") == read_file(work / "other.onnx"));
    CHECK(work.run({"export", "run", "--to", "pdf"}).code == 2);
  }
  SUBCASE("its folder is not taken a second time") {
    const Outcome again = work.run(tiny_run("run"));
    CHECK(again.code == 2);
    CHECK(contains(again.err, "vitrail resume run"));
  }
  SUBCASE("a finished run can be made longer") {
    CHECK(contains(work.run({"resume", "run"}).out, "finished"));
    const Outcome longer = work.run({"resume", "run", "epochs=+1"});
    REQUIRE_MESSAGE(longer.code == 0, longer.err);
    CHECK(contains(longer.out, "bit-exact: no, because the run is longer"));
    CHECK(losses(work / "run").size() == 164);
    CHECK(contains(read_file(work / "run/config.toml"), "epochs = 41"));
    CHECK(work.run({"resume", "run", "opt.lr=1"}).code == 2);
    CHECK(work.run({"resume", "run", "epochs=3"}).code == 2);
  }
}

TEST_CASE("config.toml of a run gives the same run") {
  const Workplace work;
  REQUIRE(work.run(tiny_run("first", {"seed=7", "augment.shift=2", "ema.decay=0.9", "model.drop_rate=0.1"}))
              .code == 0);
  const Outcome second = work.run({"train", "config=first/config.toml", "out=second"});
  REQUIRE_MESSAGE(second.code == 0, second.err);
  CHECK(losses(work / "first") == losses(work / "second"));
  CHECK(work.content("first") == work.content("second"));
  REQUIRE(work.run({"train", "config=first/config.toml", "out=third", "seed=8"}).code == 0);
  CHECK(work.content("first") != work.content("third"));
}

TEST_CASE("SIGTERM in an epoch: exit code 75, and resuming gives the same bits as never stopping") {
  const Workplace work;
  write_quarters(work / "many", 4096, 16);
  const std::vector<std::string> more = {
      "data=many",           "epochs=1",      "accumulate=2",   "model.drop_path_rate=0.1",
      "model.drop_rate=0.1", "ema.decay=0.9", "augment.shift=1"};
  REQUIRE(work.run(tiny_run("whole", more)).code == 0);
  RunningProgram program(work / "", tiny_run("stopped", more));
  REQUIRE(wait_for_metrics(work / "stopped", 7));
  program.signal(SIGTERM);
  const Outcome stopped = program.wait();
  REQUIRE(stopped.code == 75);
  CHECK(contains(stopped.out, "Continue with: vitrail resume stopped"));
  CHECK(nlohmann::json::parse(read_file(work / "stopped/status.json")).at("state") == "interrupted");
  const std::size_t steps = losses(work / "stopped").size();
  CHECK(steps < 256);
  CHECK(work.json({"info", "stopped"}).at("step") == steps);

  const Outcome resumed = work.run({"resume", "stopped", "threads=2"});
  REQUIRE_MESSAGE(resumed.code == 0, resumed.err);
  CHECK(contains(resumed.out, "bit-exact: yes"));
  CHECK(losses(work / "stopped") == losses(work / "whole"));
  CHECK(work.content("stopped") == work.content("whole"));
}

TEST_CASE("SIGTERM in an evaluation: it is done anew, and recorded once") {
  const Workplace work;
  write_quarters(work / "wide", 64, 40'000);
  const std::vector<std::string> more = {"data=wide", "epochs=1"};
  REQUIRE(work.run(tiny_run("whole", more)).code == 0);
  RunningProgram program(work / "", tiny_run("stopped", more));
  REQUIRE(wait_for_metrics(work / "stopped", 4));
  program.signal(SIGTERM);
  REQUIRE(program.wait().code == 75);
  CHECK(read_metrics(work / "stopped").size() == 4);
  REQUIRE(work.run({"resume", "stopped"}).code == 0);
  CHECK(read_metrics(work / "stopped").size() == 5);
  CHECK(work.content("stopped") == work.content("whole"));
}

TEST_CASE("a second signal ends the program at once") {
  const Workplace work;
  RunningProgram program(work / "", tiny_run("run", {"epochs=5000", "threads=2"}));
  REQUIRE(wait_for_metrics(work / "run", 2));
  program.signal(SIGTERM);
  program.signal(SIGINT);
  CHECK(program.wait().code == 130);
}

TEST_CASE("kill -9: the steps since the last checkpoint are done again, and logged once") {
  const Workplace work;
  REQUIRE(work.run(tiny_run("whole", {"epochs=60"})).code == 0);
  {
    RunningProgram program(work / "", tiny_run("killed", {"epochs=60", "save.every_steps=3"}));
    REQUIRE(wait_for_metrics(work / "killed", 12));
    program.signal(SIGKILL);
    program.wait();
  }
  REQUIRE(work.run({"resume", "killed"}).code == 0);
  CHECK(losses(work / "killed") == losses(work / "whole"));
}

TEST_CASE("a damaged checkpoint is named, and the one before it stands in") {
  const Workplace work;
  REQUIRE(work.run(tiny_run("run", {"save.keep=2"})).code == 0);
  CHECK(fs::exists(work / "run/rolling/step-0000000004.vitrail"));
  flip_byte(work / "run/last.vitrail",
            static_cast<std::int64_t>(fs::file_size(work / "run/last.vitrail")) / 2);
  CHECK(work.run({"verify", "--full", "run"}).code == 4);
  const std::string half = read_file(work / "run/best.vitrail").substr(0, 4000);
  std::ofstream(work / "half.vitrail", std::ios::binary) << half;
  CHECK(work.run({"eval", "half.vitrail"}).code == 4);

  const Outcome resumed = work.run({"resume", "run"});
  CHECK_MESSAGE(resumed.code == 0, resumed.err);
  CHECK(contains(resumed.err, "last.vitrail is damaged"));
  CHECK(contains(resumed.out, "at step 4 of 8"));
  CHECK(losses(work / "run").size() == 8);
  CHECK(work.run({"verify", "--full", "run"}).code == 0);

  fs::remove_all(work / "run/rolling");
  fs::remove(work / "run/best.vitrail");
  flip_byte(work / "run/last.vitrail", 200);
  CHECK(work.run({"resume", "run"}).code == 4);
}

TEST_CASE("a loss that is not finite: exit code 6, and the last good checkpoint is named") {
  const Workplace work;
  const Outcome diverged =
      work.run(tiny_run("run", {"opt.lr=1e30", "save.every_steps=1", "schedule.warmup_steps=0"}));
  CHECK(diverged.code == 6);
  CHECK(contains(diverged.err, "diverged"));
  CHECK(contains(diverged.err, "run/last.vitrail"));
  CHECK(nlohmann::json::parse(read_file(work / "run/status.json")).at("state") == "diverged");
  CHECK(work.run({"verify", "--full", "run"}).code == 0);
}

TEST_CASE("a checkpoint that cannot be written is reported and counted, and training goes on") {
  const Workplace work;
  const Outcome outcome = work.run(tiny_run("run"), {.file_bytes = 16 * 1024});
  CHECK(outcome.code == 1);
  CHECK(contains(outcome.err, "the checkpoint of step 4 could not be saved"));
  CHECK(contains(outcome.err, "the checkpoint of step 8 could not be saved"));
  CHECK(losses(work / "run").size() == 8);
  CHECK(nlohmann::json::parse(read_file(work / "run/status.json")).at("failed_saves").get<int>() >= 2);
  CHECK_FALSE(fs::exists(work / "run/last.vitrail"));
}

TEST_CASE("on a narrow terminal progress is one line that never wraps") {
  const Workplace work;
  const Outcome outcome = run_on_terminal(work / "", tiny_run("run", {"epochs=100"}), 40);
  REQUIRE(outcome.code == 0);
  std::size_t drawn = 0;
  for (std::size_t at = outcome.out.find("\rstep"); at != std::string::npos;
       at = outcome.out.find("\rstep", at + 1)) {
    const std::size_t end = outcome.out.find("\x1b[K", at);
    REQUIRE(end != std::string::npos);
    CHECK(end - at - 1 <= 39);
    ++drawn;
  }
  CHECK(drawn > 0);
  const std::string log = read_file(work / "run/log.txt");
  CHECK_FALSE(contains(log, "\r"));
  CHECK_FALSE(contains(log, "\x1b"));
}
