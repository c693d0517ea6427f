#include "engine/app/run_config.h"

#include <doctest/doctest.h>

#include <fstream>

#include "engine/error.h"
#include "engine/keys.h"
#include "tests/support/temporary_folder.h"

using namespace vitrail;
using namespace vitrail::app;
using vitrail::test::TemporaryFolder;

namespace {

using Arguments = std::vector<std::string>;

class ConfigFile {
 public:
  explicit ConfigFile(const std::string& text) { std::ofstream(path()) << text; }
  std::string path() const { return (folder_ / "run.toml").string(); }
  std::string argument() const { return "config=" + path(); }

 private:
  TemporaryFolder folder_;
};

std::string refusal(const Arguments& arguments) {
  try {
    read_run_config(arguments);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("the command line beats the file, and every value knows where it came from") {
  const ConfigFile file("epochs = 7\nopt.lr = 1e-2\n[save]\nkeep = 3\n");
  const RunConfig config = read_run_config(Arguments{"epochs=9", file.argument(), "threads=2"});
  CHECK(config.train.epochs == 9);
  CHECK(config.train.opt.lr == 0.01);
  CHECK(config.train.save.keep == 3);
  CHECK(config.threads == 2);
  CHECK(config.origins.at("epochs") == "command line");
  CHECK(config.origins.at("opt.lr") == file.path() + ":2");
  CHECK(config.origins.at("save.keep") == file.path() + ":4");
  CHECK_FALSE(config.told("batch"));
}

TEST_CASE("every kind of TOML value") {
  const ConfigFile file(
      "data = \"a folder\"\nseed = \"18446744073709551615\"\n\"opt.lr\" = 3e-4\nema.warmup = false\n"
      "input.mean = [0.1, 0.2, 1]\n[model]\nname = \"vit_small_patch16_224\"\ndepth = 3\n");
  const TrainConfig config = read_run_config(Arguments{file.argument()}).train;
  CHECK(config.data == "a folder");
  CHECK(config.seed == 18446744073709551615u);
  CHECK(config.opt.lr == 3e-4);
  CHECK_FALSE(config.ema.warmup);
  CHECK(config.input.mean == std::array<double, 4>{0.1, 0.2, 1, 1});
  CHECK(config.model.embed_dim == 384);
  CHECK(config.model.depth == 3);
}

TEST_CASE("mistakes in a file are named with their line") {
  const ConfigFile unknown("epochs = 3\n\n[opt]\nlearning_rate = 1\n"), kind("epochs = \"many\"\n"),
      date("epochs = 2020-01-01\n"), broken("epochs = = 3\n");
  CHECK(contains(refusal({unknown.argument()}), unknown.path() + ":4"));
  CHECK(contains(refusal({unknown.argument()}), "did you mean 'opt.lr'"));
  CHECK(refusal({kind.argument()}) ==
        kind.path() + ":1: epochs: expected a whole number, 1 to 1000000, found 'many'");
  CHECK(contains(refusal({date.argument()}), ":1: expected"));
  CHECK(contains(refusal({broken.argument()}), ":1: "));
  CHECK(contains(refusal({"config=nowhere.toml"}), "nowhere.toml"));
}

TEST_CASE("a model named on the command line replaces the sizes of the file, not those beside it") {
  const ConfigFile file("[model]\nname = \"custom\"\ndim = 96\ndepth = 2\nnum_classes = 5\n");
  const RunConfig config =
      read_run_config(Arguments{"model.depth=4", "model=vit_small_patch16_224", file.argument()});
  CHECK(config.train.model.embed_dim == 384);
  CHECK(config.train.model.depth == 4);
  CHECK(config.train.model.num_classes == 5);
  CHECK(config.told("model.heads"));
}

TEST_CASE("what is written as TOML reads back as the same configuration") {
  const Arguments arguments = {"data=007",         "batch=96",         "opt.lr=0.30000000000000004",
                               "input.mean=0.1,1", "model=custom",     "model.dim=60",
                               "threads=3",        "log_every=0.5",    "seed=18446744073709551615",
                               "opt.eps=1e-300",   "model.gelu=quick", "ema.warmup=false",
                               "isa=avx2",         "out=somewhere",    "model.global_pool=avg"};
  const RunConfig config = read_run_config(arguments);
  const ConfigFile file(to_toml(config));
  const RunConfig again = read_run_config(Arguments{file.argument()});
  CHECK(again.train == config.train);
  CHECK(again.threads == 3);
  CHECK(again.log_every == 0.5);
  CHECK(again.isa == "avx2");
  CHECK(again.out.empty());
}

TEST_CASE("origins stand in the file as comments, and cannot break out of them") {
  RunConfig config = read_run_config(Arguments{"data=x\"\\y", "epochs=4"});
  config.origins["epochs"] = "first\nbatch = 3";
  const ConfigFile file(to_toml(config));
  const RunConfig again = read_run_config(Arguments{file.argument()});
  CHECK(again.train.data == "x\"\\y");
  CHECK(again.train.batch == TrainConfig{}.batch);
}

TEST_CASE("only some settings may change on resume") {
  const Arguments allowed = {"epochs", "threads"};
  CHECK_NOTHROW(allow_only(parse_arguments(Arguments{"epochs=+3"}), "resume", allowed));
  CHECK_THROWS_AS(allow_only(parse_arguments(Arguments{"opt.lr=1"}), "resume", allowed), ConfigError);
  CHECK_THROWS_WITH_AS(allow_only(parse_arguments(Arguments{"epoch=1"}), "resume", allowed),
                       "resume: 'epoch' cannot be set here; did you mean 'epochs'?", ConfigError);
}
