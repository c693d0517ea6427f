// Resuming a run whose newest checkpoint is damaged in every way files get damaged.
#include <doctest/doctest.h>

#include <fstream>

#include "tests/support/app_program.h"
#include "tests/support/checkpoint_files.h"
#include "tests/support/temporary_folder.h"

using namespace vitrail::test;

namespace {

namespace fs = std::filesystem;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string content(const fs::path& folder, const std::string& file) {
  const Outcome info = run_program(folder / "", {"info", file, "--json"});
  REQUIRE_MESSAGE(info.code == 0, info.err);
  return nlohmann::json::parse(info.out).at("content_id");
}

}  // namespace

TEST_CASE("a damaged newest checkpoint is named, and the run goes on from the one before, to the same bits") {
  const TemporaryFolder work;
  write_quarters(work / "quarters", 64, 16);
  const Outcome train = run_program(work / "", tiny_run("run", {"save.keep=2", "save.every_steps=3",
                                                                "save.keep_every=5", "save.mode=sync"}));
  REQUIRE_MESSAGE(train.code == 0, train.err);
  CHECK(fs::exists(work / "run/kept/step-0000000006.vitrail"));
  CHECK_FALSE(fs::exists(work / "run/kept/step-0000000008.vitrail"));
  CHECK(contains(read_file(work / "run/config.toml"), "keep_every"));
  const std::string whole = content(work / "", "run");
  const fs::path last = work / "run/last.vitrail";
  const auto size = static_cast<std::int64_t>(fs::file_size(last));

  int from = 6;
  std::string said = "last.vitrail is damaged";
  SUBCASE("a bit of a tensor") {
    flip_byte(last, size / 2);
  }
  SUBCASE("a bit of the metadata") {
    flip_byte(last, 300);
  }
  SUBCASE("a bit of the prologue") {
    flip_byte(last, 20);
  }
  SUBCASE("truncated") {
    fs::resize_file(last, static_cast<std::uintmax_t>(size) / 2);
  }
  SUBCASE("cut off its end") {
    fs::resize_file(last, static_cast<std::uintmax_t>(size) - 1);
  }
  SUBCASE("empty") {
    fs::resize_file(last, 0);
  }
  SUBCASE("another format") {
    std::ofstream(last, std::ios::trunc) << "PK\3\4";
  }
  SUBCASE("gone: its name in rolling/ is left") {
    fs::remove(last);
    from = 8;
    said.clear();
  }
  SUBCASE("gone under both names") {
    fs::remove(last);
    fs::remove(work / "run/rolling/step-0000000008.vitrail");
    fs::remove(work / "run/best.vitrail");
    said.clear();
    from = 6;
  }
  SUBCASE("two of them") {
    flip_byte(last, size / 2);
    flip_byte(work / "run/rolling/step-0000000006.vitrail", size / 2);
    from = 4;
  }
  SUBCASE("and a killed writer left its temporary file") {
    flip_byte(last, size / 2);
    std::ofstream(work / "run/.last.vitrail.tmp-12-34") << "half";
  }
  // The best checkpoint may be a later name of the damaged file, or an earlier state: it is tested apart.
  if (fs::exists(work / "run/best.vitrail") && !fs::equivalent(work / "run/best.vitrail", last))
    fs::remove(work / "run/best.vitrail");

  const Outcome resumed = run_program(work / "", {"resume", "run"});
  REQUIRE_MESSAGE(resumed.code == 0, resumed.err);
  CHECK_MESSAGE(contains(resumed.err, said), resumed.err);
  CHECK(resumed.err.empty() == said.empty());
  if (from < 8)
    CHECK_MESSAGE(contains(resumed.out, "at step " + std::to_string(from) + " of 8"), resumed.out);
  CHECK(content(work / "", "run") == whole);
  CHECK(run_program(work / "", {"verify", "--full", "run"}).code == 0);
  CHECK_FALSE(fs::exists(work / "run/.last.vitrail.tmp-12-34"));
  CHECK(fs::exists(work / "run/rolling/step-0000000006.vitrail"));
}
