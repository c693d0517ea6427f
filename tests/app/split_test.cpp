#include <doctest/doctest.h>

#include "tests/support/app_program.h"
#include "tests/support/sharded_state.h"
#include "tests/support/temporary_folder.h"

using namespace vitrail::test;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

struct SplitFolder {
  SplitFolder() {
    vitrail::format::write_container(folder / "w.vitrail", ShardedState().contents);
    std::filesystem::create_directory(folder / "parts");
  }
  Outcome run(const std::vector<std::string>& arguments) const { return run_program(folder / "", arguments); }
  TemporaryFolder folder;
};

}  // namespace

TEST_CASE("split, info of the index, consolidate: the same file again") {
  const SplitFolder f;
  const Outcome split = f.run({"split", "w.vitrail", "-n", "3", "-o", "parts/w"});
  CHECK(split.code == 0);
  CHECK(contains(split.out, "parts/w.index.vitrail  3 shards"));
  const Outcome info = f.run({"info", "parts/w.index.vitrail"});
  CHECK(info.code == 0);
  CHECK(contains(info.out, "shard index"));
  CHECK(contains(info.out, "Shards  3 files beside this one"));
  const auto whole = nlohmann::json::parse(f.run({"info", "w.vitrail", "--json"}).out);
  const auto index = nlohmann::json::parse(f.run({"info", "parts/w.index.vitrail", "--json"}).out);
  CHECK(index["shards"] == 3);
  for (const char* key : {"content_id", "tensors", "parameters"})
    CHECK(index[key] == whole[key]);
  CHECK(contains(f.run({"info", "parts/w.r00001-of-00003.vitrail"}).out, "  shard  "));

  const Outcome back = f.run({"consolidate", "parts/w.index.vitrail", "-o", "back.vitrail", "--json"});
  CHECK(back.code == 0);
  CHECK(nlohmann::json::parse(back.out)["content_id"] == whole["content_id"]);
  CHECK(read_file(f.folder / "back.vitrail") == read_file(f.folder / "w.vitrail"));

  const Outcome json = f.run({"split", "w.vitrail", "-n", "2", "-o", "parts/v", "--json"});
  CHECK(nlohmann::json::parse(json.out)["shards"].size() == 2);
}

TEST_CASE("split and consolidate say what is wrong, and with which file") {
  const SplitFolder f;
  CHECK(f.run({"split", "w.vitrail", "-n", "2", "-o", "parts/w"}).code == 0);
  const auto check = [&](const std::vector<std::string>& arguments, int code, const std::string& expected) {
    const Outcome outcome = f.run(arguments);
    CHECK(outcome.code == code);
    CHECK_MESSAGE(contains(outcome.err, expected), outcome.err);
  };
  check({"split", "w.vitrail", "-n", "0", "-o", "x"}, 2, "--shards");
  check({"split", "w.vitrail", "-o", "x"}, 2, "--shards is required");
  check({"split", "w.vitrail", "-n", "2", "-o", "parts/w"}, 1, "parts/w.index.vitrail is there already");
  check({"split", "w.vitrail", "-n", "2", "-o", "nowhere/w"}, 1, "nowhere");
  check({"consolidate", "w.vitrail", "-o", "x"}, 4, "expected the index of a sharded set");
  check({"predict", "parts/w.index.vitrail", "image.png"}, 4,
        "help: use the one file that 'vitrail consolidate'");
  std::filesystem::remove(f.folder / "parts/w.r00001-of-00002.vitrail");
  check({"consolidate", "parts/w.index.vitrail", "-o", "x"}, 1, "w.r00001-of-00002.vitrail");
  std::filesystem::copy_file(f.folder / "parts/w.r00000-of-00002.vitrail",
                             f.folder / "parts/w.r00001-of-00002.vitrail");
  check({"consolidate", "parts/w.index.vitrail", "-o", "x"}, 4, "w.r00001-of-00002.vitrail");
  CHECK_FALSE(std::filesystem::exists(f.folder / "x"));
}
