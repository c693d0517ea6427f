// The program with a cuda device: what it chooses there, and a run that changes devices on the way.

#include <doctest/doctest.h>

#include "tests/support/app_program.h"
#include "tests/support/temporary_folder.h"

namespace vitrail::test {
namespace {

class Workplace {
 public:
  Workplace() { write_quarters(folder_ / "quarters", 64, 16); }

  Outcome run(const std::vector<std::string>& arguments) const {
    Outcome outcome = run_program(folder_ / "", arguments);
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    return outcome;
  }
  nlohmann::json status(const std::string& run) const {
    return nlohmann::json::parse(read_file(folder_ / run / "status.json"));
  }
  std::filesystem::path operator/(const std::string& name) const { return folder_ / name; }

 private:
  TemporaryFolder folder_;
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string device_of(const nlohmann::json& status) {
  return status.at("arithmetic").at("device");
}

TEST_CASE("cuda: the program trains in bf16 on whatever device is there, and goes on on the other") {
  const Workplace work;
  const Outcome train = work.run(tiny_run("run", {"device=auto", "dtype=auto", "opt.lr=0.01"}));
  CHECK(contains(train.out, "dtype=bf16"));
  CHECK(contains(train.out, "memory.recompute=none"));
  CHECK(device_of(work.status("run")) == "cuda");
  const Outcome on_cpu = work.run({"resume", "run", "epochs=+2", "device=cpu", "threads=1"});
  CHECK(contains(on_cpu.out, "step 8 of 16"));
  CHECK(contains(on_cpu.out, "memory.recompute=gelu"));
  CHECK(device_of(work.status("run")) == "cpu");
  work.run({"resume", "run", "epochs=+2", "device=cuda"});
  CHECK(device_of(work.status("run")) == "cuda");
  CHECK(work.status("run").at("step") == 24);

  nlohmann::json found;
  for (const char* device : {"cuda", "cpu"}) {
    const Outcome eval = work.run({"eval", "run", std::string("device=") + device, "batch=6", "--json"});
    found[device] = nlohmann::json::parse(eval.out);
    CHECK(found[device].at("samples") == 16);
  }
  CHECK(found["cuda"].at("loss").get<double>() ==
        doctest::Approx(found["cpu"].at("loss").get<double>()).epsilon(0.01));
  CHECK(contains(work.run({"verify", "--full", "run"}).out, "last.vitrail"));
  work.run({"export", "run", "--to", "onnx"});
}

TEST_CASE("cuda: a GPU that is not there: exit code 7") {
  const TemporaryFolder folder;
  write_quarters(folder / "quarters", 64, 16);
  const Outcome outcome = run_program(folder / "", tiny_run("run", {"device=cuda:999"}));
  CHECK(outcome.code == 7);
  CHECK(contains(outcome.err, "number 999 of"));
}

}  // namespace
}  // namespace vitrail::test
