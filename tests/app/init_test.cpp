// `vitrail train` that begins with a file: init= fine-tunes, resume_from= goes on with a training of PyTorch.
#include <doctest/doctest.h>

#include <set>

#include "tests/support/app_program.h"
#include "tests/support/temporary_folder.h"

using namespace vitrail::test;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

struct Place {
  TemporaryFolder folder;

  Place() { write_quarters(folder / "quarters", 64, 16); }
  Outcome run(const std::vector<std::string>& arguments) const { return run_program(folder / "", arguments); }
  Outcome good(const std::vector<std::string>& arguments) const {
    const Outcome outcome = run(arguments);
    CHECK_MESSAGE(outcome.code == 0, outcome.err);
    return outcome;
  }
  std::string content_id(const std::string& file) const {
    return nlohmann::json::parse(good({"info", file, "--json"}).out).at("content_id");
  }
};

std::vector<std::string> from_file(const std::string& out, const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"train",    "data=quarters", "out=" + out,
                                        "batch=16", "threads=1",     "data_threads=1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

std::string setting(const Place& place, const std::string& run, const std::string& key) {
  const nlohmann::json info = nlohmann::json::parse(place.good({"info", run, "--json"}).out);
  for (const std::string text : info.at("settings")) {
    if (text.starts_with(key + "=")) return text.substr(key.size() + 1);
  }
  return "(none)";
}

}  // namespace

TEST_CASE("init= begins with the file's network and weights, and every choice of the recipe is printed") {
  const Place place;
  place.good(tiny_run("first"));
  place.good({"export", "first", "--to", "safetensors", "-o", "w.safetensors"});
  const Outcome outcome = place.good(from_file("tuned", {"init=w.safetensors", "epochs=1"}));
  for (const char* part : {"Init", "w.safetensors", "fine-tuning", "opt.layer_decay=0.75", "ema.decay=0.9998",
                           "label_smoothing=0.1", "model.drop_path_rate=0.1"}) {
    CHECK_MESSAGE(contains(outcome.out, part), outcome.out);
  }
  CHECK(setting(place, "tuned", "model.dim") == "16");
  CHECK(setting(place, "tuned", "opt.layer_decay") == "0.75");
  CHECK(setting(place, "tuned", "init") == "w.safetensors");
  // Its own file of settings makes the same run again, byte for byte.
  place.good({"train", "config=tuned/config.toml", "out=again"});
  CHECK(place.content_id("again") == place.content_id("tuned"));
}

TEST_CASE("the weights are the file's: with a learning rate near zero they stay") {
  const Place place;
  place.good(tiny_run("first"));
  place.good({"export", "first", "--to", "pt", "-o", "w.pt"});
  // A plain state dict tells neither heads nor normalisation.
  const Outcome asked = place.run(from_file("asked", {"init=w.pt"}));
  CHECK(asked.code == 2);
  CHECK_MESSAGE(contains(asked.err, "init.num_heads="), asked.err);
  place.good(from_file("tuned", {"init=w.pt", "init.num_heads=2", "init.normalization=half", "epochs=1",
                                 "opt.lr=1e-30", "ema.decay=0"}));
  place.good({"convert", "tuned", "tuned.safetensors"});
  place.good({"convert", "tuned.safetensors", "tuned.vitrail"});
  place.good({"convert", "w.pt", "w.vitrail", "init.num_heads=2", "init.normalization=half"});
  CHECK(place.content_id("tuned.vitrail") == place.content_id("w.vitrail"));
  // And the file of settings, with init and what was told of it, makes the same run again.
  place.good({"train", "config=tuned/config.toml", "out=again"});
  CHECK(place.content_id("again") == place.content_id("tuned"));
}

TEST_CASE("the network can be fitted, and not made another") {
  const Place place;
  place.good(tiny_run("first"));
  place.good({"export", "first", "--to", "safetensors", "-o", "w.safetensors"});
  place.good(from_file("larger", {"init=w.safetensors", "epochs=1", "model.img_size=16"}));
  CHECK(setting(place, "larger", "model.img_size") == "16");
  const Outcome other = place.run(from_file("other", {"init=w.safetensors", "model.depth=3"}));
  CHECK(other.code == 2);
  CHECK_MESSAGE(contains(other.err, "model.depth: init=w.safetensors has 1, found 3"), other.err);
  const Outcome both = place.run(from_file("both", {"init=w.safetensors", "resume_from=w.safetensors"}));
  CHECK(both.code == 2);
  const Outcome alone = place.run(from_file("alone", {"resume_from=w.safetensors"}));
  CHECK(alone.code == 2);
  CHECK_MESSAGE(contains(alone.err, "use init=FILE"), alone.err);
  const Outcome ours = place.run(from_file("ours", {"resume_from=first"}));
  CHECK(ours.code == 2);
  CHECK_MESSAGE(contains(ours.err, "vitrail resume"), ours.err);
}

TEST_CASE("a training that goes through a .pt file ends with the same bits as one that does not") {
  const Place place;
  const std::vector<std::string> more = {"ema.decay=0.9", "opt.layer_decay=0.8", "label_smoothing=0.1"};
  place.good(tiny_run("whole", more));
  std::vector<std::string> half = more;
  half.insert(half.end(), {"save.every_steps=5", "save.keep_every=5", "save.mode=sync"});
  place.good(tiny_run("half", half));
  std::set<std::string> kept;
  for (const auto& entry : std::filesystem::directory_iterator(place.folder / "half/kept"))
    kept.insert(entry.path().string());
  REQUIRE_FALSE(kept.empty());
  const std::string five = *kept.begin();
  place.good({"export", five, "--to", "pt", "--with-optimizer", "-o", "five.pt"});
  const Outcome outcome = place.good(
      {"train", "resume_from=five.pt", "data=quarters", "out=rest", "threads=1", "data_threads=1"});
  CHECK_MESSAGE(contains(outcome.out, "5 steps done"), outcome.out);
  CHECK(place.content_id("rest") == place.content_id("whole"));
  // What has been taken over is resumed as any run is.
  place.good({"resume", "rest", "epochs=+1"});
  const Outcome over = place.run({"train", "resume_from=five.pt", "data=quarters", "out=over", "epochs=1"});
  CHECK(over.code == 2);
  CHECK_MESSAGE(contains(over.err, "use epochs=2 or more"), over.err);
}
