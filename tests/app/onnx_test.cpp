// `vitrail verify` of ONNX files, and exports that cannot be.
#include <doctest/doctest.h>
#include <onnx/onnx_pb.h>

#include <fstream>
#include <set>

#include "engine/model_io.h"
#include "format/container.h"
#include "tests/support/app_program.h"
#include "tests/support/export_model.h"
#include "tests/support/temporary_folder.h"

using namespace vitrail;
using namespace vitrail::test;

namespace {

namespace fs = std::filesystem;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void write_text(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// A folder with a small model, in which the program runs.
struct Place {
  TemporaryFolder folder;

  explicit Place(std::int64_t dim = 8) {
    const auto backend = make_backend("cpu", {.threads = 1});
    VitConfig config = tiny_config();
    config.embed_dim = dim;
    config.mlp_dim = 2 * dim;
    save_model(folder / "m.vitrail", *backend, export_model(*backend, config));
  }
  fs::path operator/(const std::string& name) const { return folder / name; }
  Outcome run(const std::vector<std::string>& arguments, const Limits& limits = {}) const {
    return run_program(folder / "", arguments, limits);
  }
  // But for those of the program's output.
  std::set<std::string> files() const {
    std::set<std::string> names;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder / ""))
      if (contains(entry.path().filename().string(), "m.")) names.insert(entry.path().filename().string());
    return names;
  }
};

onnx::ModelProto read_onnx(const fs::path& path) {
  onnx::ModelProto model;
  REQUIRE(model.ParseFromString(read_file(path)));
  return model;
}

}  // namespace

TEST_CASE("verify proves an exported file, and tells what it proved") {
  const Place place;
  REQUIRE(place.run({"export", "m.vitrail", "--to", "onnx"}).code == 0);
  const Outcome text = place.run({"verify", "m.onnx", "m.vitrail"});
  CHECK(text.code == 0);
  CHECK(contains(text.out, "Good  m.onnx"));
  CHECK(contains(text.out, "self-test in the reference interpreter"));
  const Outcome outcome = place.run({"verify", "m.onnx", "--json"});
  CHECK(outcome.code == 0);
  const nlohmann::json json = nlohmann::json::parse(outcome.out);
  CHECK(json.at("whole") == true);
  const nlohmann::json& file = json.at("files").at(0);
  CHECK(file.at("kind") == "onnx");
  CHECK(file.at("opset") == 17);
  CHECK(file.at("hash_right") == true);
  CHECK(file.at("official_checker") == true);
  CHECK(file.at("file_bytes") == fs::file_size(place / "m.onnx"));
  CHECK(file.at("self_test").at("within") == true);
  CHECK(file.at("self_test").at("deviation") < file.at("self_test").at("allowed"));
}

TEST_CASE("an export verifies itself on the way, whatever its profile and numbers") {
  const Place place;
  for (const std::vector<std::string>& more : std::vector<std::vector<std::string>>{
           {}, {"--dtype", "fp16"}, {"--profile", "ort", "--dtype", "int8"}}) {
    std::vector<std::string> arguments{"export", "m.vitrail", "--to", "onnx", "--verify"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = place.run(arguments);
    CHECK_MESSAGE(outcome.code == 0, outcome.err);
    CHECK_MESSAGE(contains(outcome.out, "Good  m.onnx"), outcome.out);
    CHECK(contains(outcome.out, "Deviation"));
  }
  const Outcome json = place.run({"export", "m.vitrail", "--to", "onnx", "--verify", "--json"});
  CHECK(nlohmann::json::parse(json.out).at("verified").at("self_test").at("within") == true);
}

TEST_CASE("verify refuses damaged ONNX files of every kind") {
  const Place place;
  REQUIRE(place.run({"export", "m.vitrail", "--to", "onnx"}).code == 0);
  const std::string whole = read_file(place / "m.onnx");
  const onnx::ModelProto model = read_onnx(place / "m.onnx");
  const auto refused = [&](const std::string& bytes, const std::string& part) {
    write_text(place / "bad.onnx", bytes);
    const Outcome outcome = place.run({"verify", "bad.onnx"});
    CHECK(outcome.code == 4);
    CHECK_MESSAGE(contains(outcome.out, part), outcome.out);
    CHECK(contains(outcome.err, "1 of 1 files is damaged"));
  };
  refused("", "there is no graph");
  refused("This is a text and no ONNX file.", "no ONNX file");
  refused(whole.substr(0, whole.size() / 2), "reaches behind the end");
  std::string flipped = whole;
  flipped[whole.find(model.graph().initializer(0).raw_data()) + 1] ^= 1;
  refused(flipped, "damaged or changed since it was written");
  onnx::ModelProto foreign = model;
  foreign.mutable_graph()->mutable_node(0)->set_op_type("Gather");
  refused(foreign.SerializeAsString(), "(Gather): this program computes no such operator");
}

TEST_CASE("a wrong weight in a file of another program is found by the self-test alone") {
  const Place place;
  REQUIRE(place.run({"export", "m.vitrail", "--to", "onnx"}).code == 0);
  onnx::ModelProto model = read_onnx(place / "m.onnx");
  for (onnx::TensorProto& tensor : *model.mutable_graph()->mutable_initializer()) {
    if (tensor.name() == "head.bias")
      tensor.mutable_raw_data()->replace(0, 4, std::string("\0\0\x80\x40", 4));
  }
  // Whoever writes it anew leaves no hash of ours behind, or a right one.
  write_text(place / "changed.onnx", model.SerializeAsString());
  const std::string message = place.run({"verify", "changed.onnx"}).out;
  const std::string found = message.substr(message.find("has the hash ") + 13, 32);
  for (onnx::StringStringEntryProto& entry : *model.mutable_metadata_props()) {
    if (entry.key() == "vitrail.xxh3_128") entry.set_value(found);
  }
  write_text(place / "changed.onnx", model.SerializeAsString());
  const Outcome outcome = place.run({"verify", "changed.onnx"});
  CHECK(outcome.code == 4);
  CHECK_MESSAGE(contains(outcome.out, "at logits[0, 0], where"), outcome.out);
}

TEST_CASE("an ONNX file without a self-test is not called good") {
  const Place place;
  REQUIRE(place.run({"export", "m.vitrail", "--to", "onnx"}).code == 0);
  onnx::ModelProto model = read_onnx(place / "m.onnx");
  model.clear_metadata_props();
  model.set_producer_name("somebody");
  write_text(place / "other.onnx", model.SerializeAsString());
  const Outcome outcome = place.run({"verify", "other.onnx"});
  CHECK(outcome.code == 1);
  CHECK(contains(outcome.out, "Unproven  other.onnx"));
  CHECK(contains(outcome.err, "carries no self-test"));
  CHECK(nlohmann::json::parse(place.run({"verify", "other.onnx", "--json"}).out).at("whole") == false);
}

TEST_CASE("where the self-test runs must be known and be there") {
  const Place place;
  REQUIRE(place.run({"export", "m.vitrail", "--to", "onnx"}).code == 0);
  CHECK(place.run({"verify", "missing.onnx"}).code == 1);
  CHECK(place.run({"verify", "m.onnx", "--runtime", "abacus"}).code == 2);
  const Outcome none =
      place.run({"verify", "m.onnx", "--runtime", "onnxruntime", "--runtime-library", "none.so"});
  CHECK(none.code == 2);
  CHECK(contains(none.err, "use --runtime-library PATH"));
}

TEST_CASE("an export without class names says so") {
  const Place place;
  const auto backend = make_backend("cpu", {.threads = 1});
  Model model = load_model(place / "m.vitrail", *backend);
  const Outcome named = place.run({"export", "m.vitrail", "--to", "onnx"});
  CHECK(contains(named.out, "class names") == model.labels.empty());
  model.labels.clear();
  save_model(place / "m.nameless.vitrail", *backend, model);
  const Outcome nameless = place.run({"export", "m.nameless.vitrail", "--to", "onnx"});
  CHECK(nameless.code == 0);
  CHECK_MESSAGE(contains(nameless.out, "knows no class names"), nameless.out);
}

TEST_CASE("an export that cannot be says why, and leaves nothing and the old file behind") {
  const Place place(192);  // 7 MB
  const auto refused = [&](const std::vector<std::string>& arguments, int code, const std::string& part,
                           const Limits& limits = {}) {
    const std::set<std::string> before = place.files();
    const Outcome outcome = place.run(arguments, limits);
    CHECK_MESSAGE(outcome.code == code, outcome.err);
    CHECK_MESSAGE(contains(outcome.err, part), outcome.err);
    CHECK(place.files() == before);
  };
  refused({"export", "m.vitrail", "--to", "onnx", "-o", "no/folder/m.onnx"}, 1, "No such file or directory");
  refused({"export", "m.vitrail", "--to", "onnx"}, 1, "m.onnx", {.file_bytes = 64 << 10});
  refused({"export", "m.vitrail", "--to", "tflite"}, 2, "expected onnx");
  refused({"export", "missing.vitrail", "--to", "onnx"}, 2, "missing.vitrail");
  refused({"export", "m.vitrail", "--to", "onnx", "--profile", "mobile"}, 2, "portable");
  refused({"export", "m.vitrail", "--to", "onnx", "--opset", "99"}, 2, "opset");
  refused({"export", "m.vitrail", "--to", "onnx", "--dtype", "int3"}, 2, "int8");

  // Weights alone tell neither the network nor labels and preprocessing.
  const auto backend = make_backend("cpu", {.threads = 1});
  save_weights(place / "weights.vitrail", *backend, ParamSet(*backend, tiny_config(), DType::f32));
  const Outcome weights = place.run({"export", "weights.vitrail", "--to", "onnx"});
  CHECK(weights.code != 0);
  CHECK_MESSAGE(contains(weights.err, "weights"), weights.err);
  CHECK_FALSE(fs::exists(place / "weights.onnx"));

  REQUIRE(place.run({"export", "m.vitrail", "--to", "onnx"}).code == 0);
  const std::string old = read_file(place / "m.onnx");
  refused({"export", "m.vitrail", "--to", "onnx"}, 1, "m.onnx", {.file_bytes = 64 << 10});
  CHECK(read_file(place / "m.onnx") == old);
}
