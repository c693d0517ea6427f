// Which checkpoints of a run stay, and what is left of them when something fails on the way.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "engine/app/run_folder.h"
#include "tests/support/checkpoint_files.h"
#include "tests/support/temporary_folder.h"

using namespace vitrail;
using namespace vitrail::app;
using namespace vitrail::test;

namespace {

namespace fs = std::filesystem;

std::vector<std::string> names(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> steps(std::initializer_list<int> steps) {
  std::vector<std::string> names;
  for (const int step : steps)
    names.push_back("step-" + std::string(10 - std::to_string(step).size(), '0') + std::to_string(step) +
                    ".vitrail");
  return names;
}

struct Run {
  TemporaryFolder place;
  RunFolder folder = RunFolder::create(place / "run");

  void save(const TinyCheckpoint& state) const { write_checkpoint(folder.last(), state); }
  fs::path operator/(const std::string& name) const { return folder.path() / name; }
  std::int64_t step_of(const std::string& name) const { return read_checkpoint_head(*this / name).step; }
};

}  // namespace

TEST_CASE("rolling/ holds the last ones, under the names of their steps") {
  const Run run;
  for (const std::int64_t step : {1, 2, 3, 4, 50, 600}) {
    run.save({.step = step});
    run.folder.retain({.keep = 2});
  }
  CHECK(names(run / "rolling") == steps({4, 50, 600}));
  CHECK(run.step_of("rolling/step-0000000050.vitrail") == 50);
  CHECK(run.step_of("last.vitrail") == 600);
  run.folder.retain({.keep = 0});
  CHECK(names(run / "rolling").empty());
  CHECK(run.step_of("last.vitrail") == 600);
}

TEST_CASE("kept/ holds the first checkpoint of every Nth step, whatever the policy becomes") {
  const Run run;
  for (const std::int64_t step : {4, 8, 12, 16, 20, 24}) {
    run.save({.step = step});
    run.folder.retain({.keep_every = 10});
  }
  CHECK(names(run / "kept") == steps({12, 20}));
  run.save({.step = 30});
  run.folder.retain({});
  CHECK(names(run / "kept") == steps({12, 20}));
}

TEST_CASE("files that the program did not name are not deleted") {
  const Run run;
  run.save({.step = 1});
  run.folder.retain({.keep = 1});
  for (const char* name : {"mine.vitrail", "step-1.vitrail", "step-0000000007.vitrail.damaged"})
    fs::copy_file(run.folder.last(), run / "rolling" / name);
  run.folder.retain({.keep = 0});
  CHECK(names(run / "rolling").size() == 3);
}

TEST_CASE("best.vitrail is the one with the highest accuracy") {
  const Run run;
  const auto save = [&](const TinyCheckpoint& state) {
    run.save(state);
    run.folder.retain({.best = true});
  };
  save({.step = 5});
  CHECK_FALSE(fs::exists(run.folder.best()));
  save({.step = 10, .top1 = 40});
  save({.step = 20, .top1 = 60});
  save({.step = 25});
  save({.step = 30, .top1 = 60});
  save({.step = 40, .top1 = 50});
  CHECK(run.step_of("best.vitrail") == 20);

  SUBCASE("also when the program was killed between the save and what follows it") {
    run.save({.step = 50, .top1 = 70});
    CHECK(run.step_of("best.vitrail") == 20);
    run.folder.retain({.best = true});
    CHECK(run.step_of("best.vitrail") == 50);
    run.folder.retain({.best = true});  // the same file by now
    CHECK(names(run.folder.path()) == std::vector<std::string>{"best.vitrail", "last.vitrail"});
  }
  SUBCASE("and one that cannot be read is worse than any") {
    fs::resize_file(run.folder.best(), 100);
    save({.step = 60, .top1 = 1});
    CHECK(run.step_of("best.vitrail") == 60);
  }
}

TEST_CASE("when a file cannot be given its name, nothing is deleted") {
  const Run run;
  for (const std::int64_t step : {1, 2, 3}) {
    run.save({.step = step});
    run.folder.retain({.keep = 2});
  }
  run.save({.step = 4});
  const fs::path in_the_way = run / "rolling/.step-0000000004.vitrail.tmp-link";
  fs::create_directories(in_the_way / "full");
  CHECK_THROWS_AS(run.folder.retain({.keep = 1}), fs::filesystem_error);
  fs::remove_all(in_the_way);
  CHECK(names(run / "rolling") == steps({1, 2, 3}));

  SUBCASE("and doing it again completes it") {
    run.folder.retain({.keep = 1});
    CHECK(names(run / "rolling") == steps({3, 4}));
  }
  SUBCASE("nor when the new checkpoint cannot be read") {
    flip_byte(run.folder.last(), 200);
    CHECK_THROWS_AS(run.folder.retain({.keep = 0}), format::FormatError);
    CHECK(names(run / "rolling") == steps({1, 2, 3}));
  }
}

TEST_CASE("checkpoints are found by the steps in their heads") {
  const Run run;
  fs::create_directories(run / "rolling");
  fs::create_directories(run / "kept");
  run.save({.step = 7, .micro = 1});
  fs::create_hard_link(run.folder.last(), run / "rolling/step-0000000007.vitrail");
  write_checkpoint(run / "rolling/step-0000000001.vitrail", {.step = 9});
  write_checkpoint(run / "kept/step-0000000002.vitrail", {.step = 7});
  write_checkpoint(run.folder.best(), {.step = 3, .top1 = 5});
  write_checkpoint(run / "rolling/step-0000000008.vitrail", {.step = 8});
  fs::resize_file(run / "rolling/step-0000000008.vitrail", 0);
  format::ContainerContents weights;
  weights.root.set(format::section::kProducer, "test");
  format::write_container(run / "rolling/step-0000000005.vitrail", weights);
  std::vector<std::string> order;
  for (const FoundCheckpoint& file : run.folder.checkpoints())
    order.push_back((file.head ? "" : "?") + file.path.filename().string());
  CHECK(order == std::vector<std::string>{"?step-0000000008.vitrail", "?step-0000000005.vitrail",
                                          "step-0000000001.vitrail", "last.vitrail",
                                          "step-0000000002.vitrail", "best.vitrail"});
}

TEST_CASE("damaged files are put aside under all their names, and temporaries go") {
  const Run run;
  run.save({.step = 1});
  run.folder.retain({.keep = 2});
  run.save({.step = 2});
  run.folder.retain({.keep = 2});
  run.folder.set_aside({run.folder.last()});
  run.folder.make_last(run / "rolling/step-0000000001.vitrail");
  CHECK(names(run / "rolling") == steps({1}));
  CHECK(run.step_of("last.vitrail") == 1);
  CHECK(run.step_of("last.vitrail.damaged") == 2);

  for (const char* name :
       {".last.vitrail.tmp-1f-2a", ".best.vitrail.tmp-link", ".hidden", "rolling/.x.tmp-1"})
    std::ofstream(run / name) << "x";
  run.folder.remove_temporaries();
  CHECK(names(run.folder.path()) ==
        std::vector<std::string>{".hidden", "last.vitrail", "last.vitrail.damaged", "rolling"});
  CHECK(names(run / "rolling") == steps({1}));
}

TEST_CASE("a run that was moved away is not made anew in its place, so that it can come back") {
  const Run run;
  run.save({.step = 1, .top1 = 50});
  std::atomic<bool> stop = false;
  std::thread saving([&] {
    while (!stop) {
      try {
        run.folder.retain({.keep = 2, .keep_every = 1});
        fs::remove_all(run / "rolling");
        fs::remove_all(run / "kept");
        fs::remove(run.folder.best());
      } catch (const std::exception&) {  // the run is away just now
      }
    }
  });
  int returned = 0;
  std::error_code error;
  for (int trip = 0; trip < 3000 && !error; ++trip) {
    fs::rename(run.folder.path(), run.place / "away");
    fs::rename(run.place / "away", run.folder.path(), error);
    if (!error) ++returned;
  }
  stop = true;
  saving.join();
  CHECK(returned == 3000);
}
