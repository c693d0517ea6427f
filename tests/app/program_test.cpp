// Every way to use the program wrongly: exit code, what is said, and that nothing was begun.
#include <doctest/doctest.h>

#include <fstream>

#include "tests/support/app_program.h"
#include "tests/support/temporary_folder.h"

using namespace vitrail::test;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

Outcome try_out(const std::vector<std::string>& arguments) {
  const TemporaryFolder folder;
  const Outcome outcome = run_program(folder / "", arguments);
  CHECK_FALSE(std::filesystem::exists(folder / "runs"));
  return outcome;
}

}  // namespace

TEST_CASE("version and help are answers, not errors") {
  const Outcome version = try_out({"--version"});
  CHECK(version.code == 0);
  CHECK(contains(version.out, "Vitrail 0."));
  for (const char* command : {"train", "resume", "eval", "predict", "info", "ls", "cat", "verify", "diff",
                              "rescue", "split", "consolidate", "export", "bench", "doctor"}) {
    const Outcome help = try_out({command, "--help"});
    CHECK(help.code == 0);
    CHECK(contains(help.out, std::string("vitrail ") + command));
    CHECK(contains(help.out, "Examples:"));
    CHECK(contains(try_out({"--help"}).out, command));
  }
}

TEST_CASE("the help of train lists every setting") {
  const std::string help = try_out({"train", "--help"}).out;
  for (const char* name : {"opt.lr=", "schedule.warmup_steps=", "augment.flip=", "model.drop_path_rate=",
                           "save.keep=", "threads=", "log_every=", "vit_large_patch14_224"}) {
    CHECK_MESSAGE(contains(help, name), name);
  }
}

TEST_CASE("usage: exit code 2 and the nearest right name") {
  const auto check = [](const std::vector<std::string>& arguments, const std::string& expected) {
    const Outcome outcome = try_out(arguments);
    CHECK(outcome.code == 2);
    CHECK(outcome.out.empty());
    CHECK(outcome.err.starts_with("error: "));
    CHECK_MESSAGE(contains(outcome.err, expected), outcome.err);
  };
  check({}, "expected a command");
  check({"trian"}, "did you mean 'vitrail train'?");
  check({"train"}, "data=");
  check({"train", "data=x", "epoch=3"}, "did you mean 'epochs'");
  check({"train", "data=x", "opt.learning_rate=3"}, "did you mean 'opt.lr'");
  check({"train", "data=x", "tread=3"}, "did you mean 'threads'");
  check({"train", "data=x", "opt.lr=fast"}, "opt.lr: expected a number above 0, found 'fast'");
  check({"train", "data=x", "opt.lr=-1"}, "found '-1'");
  check({"train", "data=x", "epochs=1.5"}, "expected a whole number");
  check({"train", "data=x", "ema.warmup=yes"}, "true | false");
  check({"train", "data=x", "model=vit_tinny_patch16_224"}, "did you mean 'vit_tiny_patch16_224'?");
  check({"train", "data=x", "dtype=f16"}, "bf16");
  check({"train", "data=x", "verbose"}, "KEY=VALUE");
  check({"train", "data=x", "config=none.toml"}, "none.toml");
  check({"resume", "nowhere"}, "found nothing");
  check({"eval", "nowhere"}, "found nothing");
  check({"eval", "--jsn", "x"}, "--jsn");
  check({"info"}, "required");
  check({"predict", "nowhere", "a.png", "--top", "0"}, "--top");
}

TEST_CASE("data that is not there: exit code 3") {
  const Outcome outcome = run_program(TemporaryFolder() / "..", {"doctor", "--jsn"});
  CHECK(outcome.code == 2);
  const TemporaryFolder folder;
  const Outcome missing = run_program(folder / "", {"train", "data=nowhere", "out=run"});
  CHECK(missing.code == 3);
  CHECK(contains(missing.err, "nowhere"));
}

TEST_CASE("a file that is none of ours: exit code 4") {
  const TemporaryFolder folder;
  std::ofstream(folder / "cat.vitrail") << "this is no model";
  for (const char* command : {"info", "eval"}) {
    const Outcome outcome = run_program(folder / "", {command, "cat.vitrail"});
    CHECK(outcome.code == 4);
    CHECK(contains(outcome.err, "cat.vitrail"));
  }
}

TEST_CASE("a device that is not there: exit code 7") {
  const TemporaryFolder folder;
  write_quarters(folder / "quarters", 64, 16);
  const Outcome cuda = run_program(folder / "", tiny_run("run", {"device=quantum"}));
  CHECK(cuda.code == 7);
  CHECK(contains(cuda.err, "quantum"));
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
}

TEST_CASE("--json is one document") {
  const TemporaryFolder folder;
  const Outcome doctor = run_program(folder / "", {"doctor", "--json"});
  CHECK(doctor.code == 0);
  CHECK(nlohmann::json::parse(doctor.out).at("cpu").at("threads").get<int>() >= 1);
  const Outcome bench =
      run_program(folder / "", {"bench", "custom", "model.img_size=8", "model.patch_size=4", "model.dim=16",
                                "model.heads=2", "model.depth=1", "model.num_classes=4", "batch=4", "steps=2",
                                "threads=1", "--json"});
  CHECK(bench.code == 0);
  const nlohmann::json report = nlohmann::json::parse(bench.out);
  CHECK(report.at("train").at("images_per_second").get<double>() > 0);
  CHECK(report.at("inference").at("images_per_second").get<double>() > 0);
  CHECK(report.at("peak").at("f32_gflops_per_second").get<double>() > 0);
  for (const char* part : {"train", "inference"}) {
    CAPTURE(part);
    CHECK(report.at(part).at("times_products").get<double>() > 0);
    double shares = 0;
    for (const nlohmann::json& op : report.at(part).at("ops"))
      shares += op.at("share").get<double>();
    CHECK(shares == doctest::Approx(1));
  }
}
