// Trainings as PyTorch's checkpoints, both ways, in memory; tests/oracles/torch_takeover.cpp runs PyTorch
// itself.
#include "engine/torch_training.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>

#include "engine/error.h"
#include "tests/support/torch_memory.h"

using namespace vitrail;
using namespace vitrail::test;
using format::Datum;
using format::Role;

namespace {

using Path = std::vector<Datum>;

const Datum& at(const Datum& datum, const Path& path) {
  const Datum* here = &datum;
  for (const Datum& key : path) {
    if (const auto* list = here->as<Datum::List>()) {
      here = &list->items.at(static_cast<std::size_t>(*key.as<std::int64_t>()));
    } else if (key.as<std::string>() != nullptr) {
      here = here->find(*key.as<std::string>());
    } else {
      const auto& items = here->as<Datum::Dict>()->items;
      here = &std::find_if(items.begin(), items.end(), [&](const Datum::Item& item) {
                return *item.key.as<std::int64_t>() == *key.as<std::int64_t>();
              })->value;
    }
    REQUIRE(here != nullptr);
  }
  return *here;
}

double number(const Datum& datum) {
  double value = -1;
  CHECK(datum.number(value));
  return value;
}

// What the tensors do not tell.
ImportOptions known() {
  ImportOptions options;
  options.num_heads = 2;
  options.normalization = "half";
  return options;
}

// What a take-over of `file` says.
std::string refusal(const TinyTraining& training, const WeightFile& file, std::optional<AdamKind> kind = {}) {
  try {
    take_over(file, *training.backend, known(), kind);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

// The same with one value of the tree replaced, or taken out.
std::string refusal_with(const TinyTraining& training, const Path& path, std::optional<Datum> value) {
  WeightFile file = as_file(torch_tree(training.contents));
  file.root = changed(file.root, path, value ? &*value : nullptr);
  return refusal(training, file);
}

// Without what tells names, as programs write it that know nothing of us.
WeightFile anonymous(const TorchTree& tree) {
  WeightFile file = as_file(tree);
  const auto groups = at(file.root, {"optimizer", "param_groups"}).as<Datum::List>()->items.size();
  for (std::size_t g = 0; g < groups; ++g)
    file.root =
        changed(file.root, Path{"optimizer", "param_groups", std::int64_t(g), "param_names"}, nullptr);
  file.root = changed(file.root, Path{"vitrail"}, nullptr);
  return file;
}

bool same(const Backend& backend, const ParamSet& a, const ParamSet& b) {
  std::vector<std::byte> left(a.bytes()), right(b.bytes());
  backend.download(left.data(), a.flat(), left.size());
  backend.download(right.data(), b.flat(), right.size());
  return left == right;
}

void check_taken(const TinyTraining& training, const WeightFile& file, std::optional<AdamKind> kind = {}) {
  const TorchTraining taken = take_over(file, *training.backend, known(), kind);
  CHECK(taken.step == 7);
  OptimizerConfig found = taken.opt;
  found.clip_norm = training.config.opt.clip_norm;
  found.lr = training.config.opt.lr;
  CHECK((found == training.config.opt));
  CHECK(*taken.initial_lr == doctest::Approx(training.config.opt.lr));
  CHECK(same(*training.backend, taken.model.params, training.weights));
  CHECK(same(*training.backend, taken.first_moment, training.optimizer.first_moment()));
  CHECK(same(*training.backend, taken.second_moment, training.optimizer.second_moment()));
}

OptimizerConfig layered() {
  OptimizerConfig options;
  options.layer_decay = 0.75;
  return options;
}

OptimizerConfig all_decay() {
  OptimizerConfig options;
  options.kind = AdamKind::adam;
  options.decay_all = true;
  return options;
}

}  // namespace

TEST_CASE("a checkpoint becomes what torch.save writes of AdamW over timm's groups") {
  const TinyTraining training;
  const TorchTree tree = torch_tree(training.contents);
  const Datum& groups = at(tree.root, {"optimizer", "param_groups"});
  REQUIRE(groups.as<Datum::List>()->items.size() == 2);
  CHECK(number(at(groups, {0, "weight_decay"})) == 0);
  CHECK(number(at(groups, {1, "weight_decay"})) == 0.05);
  CHECK(*at(groups, {0, "param_names", 0}).as<std::string>() == "cls_token");
  CHECK(*at(groups, {1, "param_names", 0}).as<std::string>() == "patch_embed.proj.weight");
  const auto& last = groups.as<Datum::List>()->items[1].as<Datum::Dict>()->items.back();
  CHECK(*last.key.as<std::string>() == "params");
  const std::size_t undecayed = at(groups, {0, "params"}).as<Datum::List>()->items.size();
  CHECK(number(at(groups, {1, "params", 0})) == double(undecayed));
  CHECK(*at(groups, {0, "decoupled_weight_decay"}).as<bool>());
  CHECK(at(groups, {0, "betas"}).as<Datum::List>()->tuple);
  const Datum& head = at(tree.root, {"model", "head.weight"});
  CHECK(tree.tensors[head.as<Datum::Tensor>()->index].shape == std::vector<std::int64_t>{5, 8});
  // Each parameter has a step of its own: torch counts them up in place.
  const auto step = [&](std::int64_t i) {
    return at(tree.root, {"optimizer", "state", i, "step"}).as<Datum::Tensor>()->index;
  };
  CHECK(step(0) != step(1));
  CHECK(tree.tensors[step(0)].bytes.data() != tree.tensors[step(1)].bytes.data());
  CHECK(format::get<float>(tree.tensors[step(1)].bytes, 0) == 7);
  CHECK(number(at(tree.root, {"scheduler", "last_epoch"})) == 7);
}

TEST_CASE("a checkpoint goes to PyTorch's tree and back, metadata and tensors of every role") {
  for (const bool ema : {false, true}) {
    const TinyTraining training(layered(), ema);
    const WeightFile file = as_file(torch_tree(training.contents));
    const auto back = restored(file);
    REQUIRE(back);
    CHECK(back->kind == format::FileKind::checkpoint);
    CHECK(format::encode_message(back->root) == format::encode_message(training.contents.root));
    REQUIRE(back->tensors.size() == training.contents.tensors.size());
    for (const format::TensorRecord& tensor : training.contents.tensors) {
      const auto found = std::find_if(back->tensors.begin(), back->tensors.end(), [&](const auto& other) {
        return other.role == tensor.role && other.name == tensor.name;
      });
      REQUIRE(found != back->tensors.end());
      CHECK(found->shape == tensor.shape);
      CHECK(std::equal(found->bytes.begin(), found->bytes.end(), tensor.bytes.begin(), tensor.bytes.end()));
    }
  }
}

TEST_CASE("metadata that no longer tell of the tensors are not used") {
  const TinyTraining training;
  WeightFile file = as_file(torch_tree(training.contents));
  std::vector<float> eight(1, 8);
  for (std::int64_t i = 0;; ++i) {
    const Path path{"optimizer", "state", i, "step"};
    const auto& states = at(file.root, {"optimizer", "state"}).as<Datum::Dict>()->items;
    if (i == std::ssize(states)) break;
    file.root_tensors[at(file.root, path).as<Datum::Tensor>()->index].bytes = std::as_bytes(std::span(eight));
  }
  CHECK_FALSE(restored(file));
  WeightFile other = as_file(torch_tree(training.contents));
  other.root = changed(other.root, Path{"model", "head.bias"}, nullptr);
  CHECK_FALSE(restored(other));
}

TEST_CASE("a training is taken over: names in the file, their order, or timm's groups") {
  OptimizerConfig none;
  none.weight_decay = 0;
  for (const OptimizerConfig& options : {OptimizerConfig{}, layered(), all_decay(), none}) {
    CAPTURE(options.layer_decay);
    CAPTURE(options.decay_all);
    const TinyTraining training(options, true);
    const TorchTree tree = torch_tree(training.contents);
    check_taken(training, as_file(tree));
    check_taken(training, anonymous(tree));
  }
}

TEST_CASE("groups in another order are told by their weight decay") {
  const TinyTraining training;
  WeightFile file = anonymous(torch_tree(training.contents));
  Datum::List groups = *at(file.root, {"optimizer", "param_groups"}).as<Datum::List>();
  std::swap(groups.items[0], groups.items[1]);
  const Datum swapped = groups;
  file.root = changed(file.root, Path{"optimizer", "param_groups"}, &swapped);
  check_taken(training, file);
}

TEST_CASE("what would train on differently is refused by name") {
  const TinyTraining training;
  const auto with = [&](const Path& path, std::optional<Datum> value) {
    return refusal_with(training, path, std::move(value));
  };
  const auto says = [](const std::string& text, const char* part) {
    CHECK_MESSAGE(text.find(part) != std::string::npos, text);
  };
  const Path groups{"optimizer", "param_groups"};
  const auto in_group = [&](std::int64_t group, const char* key) {
    Path path = groups;
    path.insert(path.end(), {Datum(group), Datum(key)});
    return path;
  };
  says(with({"optimizer", "state", std::int64_t{0}}, {}), "moments of cls_token are missing");
  says(with({"optimizer", "state", std::int64_t{3}, "exp_avg_sq"}, {}), "are missing");
  says(with({"optimizer", "state", std::int64_t{2}, "step"}, Datum(6)), "different numbers of steps");
  says(with({"optimizer", "state", std::int64_t{2}, "step"}, Datum(6.5)), "whole number of steps");
  says(with({"optimizer", "state"}, Datum(Datum::Dict{})), "has not made a step");
  says(with({"optimizer"}, {}), "found none; use init=FILE");
  says(with(in_group(0, "amsgrad"), Datum(true)), "'amsgrad' is on");
  says(with(in_group(1, "maximize"), Datum(true)), "'maximize' is on");
  says(with(in_group(1, "betas"), {}), "two betas");
  says(with(in_group(1, "eps"), Datum(1e-4)), "differ between its param_groups");
  says(with(in_group(0, "weight_decay"), Datum(0.01)), "the weight decay of cls_token is 0.01, expected 0");
  says(with(in_group(0, "initial_lr"), Datum(1e-5)), "the learning rate of");
  WeightFile nameless = anonymous(torch_tree(training.contents));
  const Datum tensor = Datum::Tensor{0};
  nameless.root = changed(nameless.root, Path{"model", "extra"}, &tensor);
  says(refusal(training, nameless), "cannot be told apart");
  Datum::List names = *at(torch_tree(training.contents).root, in_group(0, "param_names")).as<Datum::List>();
  names.items[1] = names.items[0];
  says(with(in_group(0, "param_names"), Datum(names)), "moments of cls_token: expected the shape");
  names.items[1] = "blocks.7.norm1.bias";
  says(with(in_group(0, "param_names"), Datum(names)), "'blocks.7.norm1.bias' is no tensor of the model");
}

TEST_CASE("a file that does not tell Adam from AdamW is refused until it is told") {
  const TinyTraining training;
  WeightFile file = as_file(torch_tree(training.contents));
  for (std::int64_t g = 0; g < 2; ++g)
    file.root = changed(file.root, Path{"optimizer", "param_groups", g, "decoupled_weight_decay"}, nullptr);
  CHECK(refusal(training, file).find("use opt.kind=adamw or opt.kind=adam") != std::string::npos);
  check_taken(training, file, AdamKind::adamw);
  const WeightFile telling = as_file(torch_tree(training.contents));
  CHECK(refusal(training, telling, AdamKind::adam).find("opt.kind: expected adamw") != std::string::npos);
}
