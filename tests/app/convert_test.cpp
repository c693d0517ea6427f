// Files of PyTorch and safetensors through the program: convert, export, info, eval, predict.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/app_program.h"
#include "tests/support/temporary_folder.h"

using namespace vitrail::test;

namespace {

namespace fs = std::filesystem;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// A run of two epochs with an average of the weights, made once.
struct Trained {
  TemporaryFolder folder;

  Trained() {
    write_quarters(folder / "quarters", 64, 16);
    const Outcome outcome = run(tiny_run("run", {"ema.decay=0.9", "opt.layer_decay=0.8"}));
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  }
  Outcome run(const std::vector<std::string>& arguments) const { return run_program(folder / "", arguments); }
  void good(const std::vector<std::string>& arguments) const {
    const Outcome outcome = run(arguments);
    CHECK_MESSAGE(outcome.code == 0, outcome.err);
  }
  bool same(const std::string& a, const std::string& b) const {
    const std::string left = read_file(folder / a);
    return !left.empty() && left == read_file(folder / b);
  }
  nlohmann::json json(std::vector<std::string> arguments) const {
    arguments.emplace_back("--json");
    const Outcome outcome = run(arguments);
    CHECK_MESSAGE(outcome.code == 0, outcome.err);
    return nlohmann::json::parse(outcome.out, nullptr, false);
  }
};

const Trained& trained() {
  static const Trained trained;
  return trained;
}

}  // namespace

TEST_CASE("a checkpoint goes to a .pt file and back to the same bytes, and so do its model and weights") {
  const Trained& t = trained();
  t.good({"convert", "run/last.vitrail", "last.pt"});
  t.good({"convert", "last.pt", "last-again.vitrail"});
  CHECK(t.same("run/last.vitrail", "last-again.vitrail"));
  t.good({"convert", "last.pt", "last-again.pt"});
  CHECK(t.same("last.pt", "last-again.pt"));

  const Outcome outcome = t.run({"convert", "run", "model.safetensors"});
  CHECK_MESSAGE(outcome.code == 0, outcome.err);
  CHECK(contains(outcome.out, "the optimizer's state and the position stay behind"));
  t.good({"convert", "model.safetensors", "model.vitrail"});
  CHECK(t.json({"info", "model.vitrail"}).at("kind") == "model");
  t.good({"convert", "model.vitrail", "model-again.safetensors"});
  CHECK(t.same("model.safetensors", "model-again.safetensors"));
  t.good({"convert", "model.vitrail", "model.pt"});
  t.good({"convert", "model.pt", "model-again.vitrail"});
  CHECK(t.same("model.vitrail", "model-again.vitrail"));
  t.good({"convert", "model.pt", "model-pt.safetensors"});
  CHECK(t.same("model.safetensors", "model-pt.safetensors"));
}

TEST_CASE("what another format says of images is what the run says, and the same weights are used") {
  const Trained& t = trained();
  t.good({"convert", "run", "m.safetensors"});
  t.good({"convert", "run", "c.pt"});
  t.good({"export", "run/last.vitrail", "--to", "safetensors", "-o", "e.safetensors"});
  const nlohmann::json run = t.json({"eval", "run/last.vitrail"});
  for (const char* file : {"m.safetensors", "c.pt", "e.safetensors"}) {
    CAPTURE(file);
    const nlohmann::json other = t.json({"eval", file, "data=quarters"});
    CHECK(other.at("loss").get<double>() == doctest::Approx(run.at("loss").get<double>()).epsilon(1e-6));
    CHECK(other.at("confusion") == run.at("confusion"));
  }
}

TEST_CASE("export writes weights under timm's names, and checkpoints with the optimizer's state") {
  const Trained& t = trained();
  t.good({"export", "run", "--to", "pt"});
  CHECK(fs::exists(t.folder / "run/model.pt"));
  const nlohmann::json weights = t.json({"info", "run/model.pt"});
  CHECK(weights.at("format") == "pt");
  CHECK_FALSE(weights.contains("optimizer"));
  CHECK_FALSE(weights.contains("made_from"));

  t.good({"export", "run", "--to", "pt", "--with-optimizer", "-o", "checkpoint.pt"});
  t.good({"convert", "run/last.vitrail", "same.pt"});
  CHECK(t.same("checkpoint.pt", "same.pt"));
  const nlohmann::json checkpoint = t.json({"info", "checkpoint.pt"});
  CHECK(checkpoint.at("optimizer").at("step") == 8);
  CHECK(checkpoint.at("optimizer").at("kind") == "adamw");
  CHECK(checkpoint.at("made_from") == "checkpoint");
  CHECK(contains(t.run({"info", "checkpoint.pt"}).out, "vitrail train resume_from=checkpoint.pt"));
}

TEST_CASE("Hugging Face's layout goes with its documents into a folder, and comes back") {
  const Trained& t = trained();
  t.good({"convert", "run", "plain.safetensors"});
  t.good({"convert", "plain.safetensors", "plain.vitrail"});
  t.good({"export", "plain.vitrail", "--to", "safetensors", "--layout", "hf", "-o", "hf"});
  CHECK(fs::exists(t.folder / "hf/config.json"));
  CHECK(fs::exists(t.folder / "hf/model.safetensors"));
  t.good({"convert", "hf", "from-hf.vitrail"});
  const Outcome diff = t.run({"diff", "plain.vitrail", "from-hf.vitrail", "--json"});
  const nlohmann::json found = nlohmann::json::parse(diff.out, nullptr, false);
  CHECK_MESSAGE(!found.is_discarded(), diff.err);
  CHECK(t.json({"info", "from-hf.vitrail"}).at("content_id") ==
        t.json({"info", "plain.vitrail"}).at("content_id"));
}

TEST_CASE("combinations that cannot be are refused with the nearest that can") {
  const Trained& t = trained();
  const auto refused = [&](const std::vector<std::string>& arguments, const char* part) {
    const Outcome outcome = t.run(arguments);
    CHECK(outcome.code == 2);
    CHECK_MESSAGE(contains(outcome.err, part), outcome.err);
  };
  refused({"convert", "run", "out.npz"}, "ends in .vitrail, .pt or .safetensors");
  refused({"convert", "run", "out.onnx"}, "use 'vitrail export --to onnx'");
  refused({"convert", "run/last.vitrail", "run/last.vitrail"}, "another file than IN");
  refused({"convert", "nothing.pt", "out.vitrail"}, "found nothing");
  refused({"convert", "run", "out.pt", "opt.lr=1"}, "'opt.lr' cannot be set here");
  refused({"export", "run", "--to", "safetensor"}, "use --to safetensors");
  refused({"export", "run", "--to", "torch"}, "use --to pt");
  refused({"export", "run", "--to", "pt", "--layout", "jax"}, "expected timm or hf");
  refused({"export", "run", "--to", "safetensors", "--with-optimizer"}, "use --to pt");
  t.good({"convert", "run", "w.safetensors"});
  t.good({"convert", "w.safetensors", "w.vitrail"});
  refused({"export", "w.vitrail", "--to", "pt", "--with-optimizer"}, "found a model file");
  refused({"eval", "w.safetensors"}, "use data=FOLDER");
}

TEST_CASE("damaged files of other formats end with code 4, and are named") {
  const Trained& t = trained();
  t.good({"convert", "run", "d.safetensors"});
  t.good({"convert", "run", "d.pt"});
  for (const char* name : {"d.safetensors", "d.pt"}) {
    const std::string whole = read_file(t.folder / name);
    std::ofstream(t.folder / name, std::ios::binary) << whole.substr(0, whole.size() / 2);
    for (const std::vector<std::string>& arguments : {std::vector<std::string>{"info", name},
                                                      {"convert", name, "out.vitrail"},
                                                      {"predict", name, "x.png"}}) {
      const Outcome outcome = t.run(arguments);
      CHECK(outcome.code == 4);
      CHECK_MESSAGE(contains(outcome.err, name), outcome.err);
    }
  }
  CHECK_FALSE(fs::exists(t.folder / "out.vitrail"));
}

TEST_CASE("commands that need a container say how to get one") {
  const Trained& t = trained();
  t.good({"convert", "run", "n.pt"});
  const Outcome outcome = t.run({"ls", "n.pt"});
  CHECK(outcome.code == 4);
  CHECK_MESSAGE(contains(outcome.err, "vitrail convert"), outcome.err);
}
