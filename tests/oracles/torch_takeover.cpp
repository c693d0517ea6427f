// Trainings that move between Vitrail and PyTorch; check_torch_takeover.py is the other side.
//   torch_takeover begin FOLDER      makes the cases: start.pt (weights and a batch), and ours-5.pt, a
//   checkpoint after
//                                    five steps here
//   torch_takeover continue FOLDER   takes theirs-5.pt over, and writes ours-10.pt after five more steps

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <list>
#include <nlohmann/json.hpp>

#include "engine/checkpoint.h"
#include "engine/error.h"
#include "engine/sections.h"
#include "engine/torch_training.h"
#include "engine/torch_tree.h"
#include "format/torch_file.h"
#include "tests/support/describe_vit.h"
#include "tests/support/tiny_vit.h"
#include "tests/support/vit_run.h"

namespace vitrail {
namespace {

namespace fs = std::filesystem;
using format::Datum;

constexpr std::int64_t kBatch = 6, kHalf = 5;
constexpr double kSmoothing = 0.1;

struct Case {
  std::string name, config;
  OptimizerConfig options;
};

std::vector<Case> cases() {
  const OptimizerConfig usual{.lr = 3e-3, .weight_decay = 0.1, .clip_norm = 0.5};
  OptimizerConfig layered = usual, all = usual, adam = usual;
  layered.layer_decay = 0.7;
  all.decay_all = true;
  adam.decay_all = true;
  adam.kind = AdamKind::adam;
  return {{"one_group", "plain", all},
          {"adam", "plain", adam},
          {"two_groups", "deit_distilled", usual},
          {"layer_decay", "deit3", layered},
          {"names", "gap_fc_norm", layered},
          {"wrapped", "clip", layered}};
}

VitConfig config_of(const Case& one) {
  for (const test::NamedConfig& named : test::switch_configs()) {
    if (named.name == one.config) return named.config;
  }
  throw std::runtime_error("no network called " + one.config);
}

class Half {
 public:
  Half(Backend& backend, const Case& one)
      : backend_(backend),
        config_(config_of(one)),
        options_(one.options),
        run(backend, config_, DType::f32, options_, kBatch, kSmoothing) {}

  void steps(std::int64_t first) {
    for (std::int64_t step = first + 1; step <= first + kHalf; ++step) {
      run.loss_and_gradients();
      run.optimizer.grad_norm(run.grads);
      run.optimizer.step(run.weights, run.grads, nullptr, step, options_.lr, 0);
    }
  }

  format::TensorRecord record(const std::string& name, const std::vector<float>& values,
                              std::vector<std::int64_t> shape) const {
    return {.name = name, .shape = std::move(shape), .bytes = std::as_bytes(std::span(values))};
  }

  void write_start(const fs::path& path) const {
    const HostTensors host(backend_, run.weights, format::Role::parameter);
    std::vector<format::TensorRecord> tensors = host.records();
    Datum::Dict tree{{{"model", state_dict(tensors)}}};
    tensors.push_back(
        record("images", run.images, {kBatch, config_.in_chans, config_.img_size, config_.img_size}));
    tree.items.push_back({"images", Datum::Tensor{tensors.size() - 1}});
    tensors.push_back(record("targets", run.targets, {kBatch, config_.num_classes}));
    tree.items.push_back({"targets", Datum::Tensor{tensors.size() - 1}});
    format::write_torch(path, tree, tensors);
  }

  void write_weights(const fs::path& path) const {
    const HostTensors host(backend_, run.weights, format::Role::parameter);
    const std::vector<format::TensorRecord> tensors = host.records();
    format::write_torch(path, state_dict(tensors), tensors);
  }

  void write_checkpoint(const fs::path& path) const {
    TrainConfig config;
    config.model = config_;
    config.input.size = config_.img_size;
    config.input.channels = config_.in_chans;
    config.opt = options_;
    config.schedule = {.kind = ScheduleKind::constant, .warmup_steps = 0};
    config.batch = kBatch;
    const CheckpointTensors sets{run.weights, run.optimizer.first_moment(), run.optimizer.second_moment(),
                                 run.grads};
    TrainProgress progress;
    progress.step = kHalf;
    format::ContainerContents contents{
        .kind = format::FileKind::checkpoint,
        .root = checkpoint_root(config, 2 * kHalf, {"", kBatch, {}}, progress, sets),
        .tensors = {}};
    std::list<HostTensors> host;
    for (const RoleSet& set : checkpoint_sets(sets, false)) {
      const std::vector<format::TensorRecord> records =
          host.emplace_back(backend_, *set.params, set.role).records();
      contents.tensors.insert(contents.tensors.end(), records.begin(), records.end());
    }
    const TorchTree tree = torch_tree(contents);
    format::write_torch(path, tree.root, tree.tensors);
  }

 private:
  static Datum state_dict(const std::vector<format::TensorRecord>& tensors) {
    Datum::Dict dict;
    for (std::size_t i = 0; i < tensors.size(); ++i)
      dict.items.push_back({tensors[i].name, Datum::Tensor{i}});
    return dict;
  }

  Backend& backend_;
  VitConfig config_;
  OptimizerConfig options_;

 public:
  test::VitRun<float> run;
};

void begin(Backend& backend, const Case& one, const fs::path& folder) {
  fs::create_directories(folder);
  nlohmann::ordered_json manifest{
      {"config", test::describe(config_of(one))}, {"label_smoothing", kSmoothing},
      {"kind", name_of(one.options.kind)},        {"lr", one.options.lr},
      {"weight_decay", one.options.weight_decay}, {"decay_all", one.options.decay_all},
      {"layer_decay", one.options.layer_decay},   {"clip_norm", one.options.clip_norm}};
  std::ofstream(folder / "manifest.json") << manifest.dump(1);
  Half half(backend, one);
  test::randomize(backend, half.run.weights, 21);
  half.write_start(folder / "start.pt");
  half.steps(0);
  half.write_checkpoint(folder / "ours-5.pt");
}

void require(bool good, const std::string& what) {
  if (!good) throw std::runtime_error(what);
}

void go_on(Backend& backend, const Case& one, const fs::path& folder) {
  const WeightFile file = open_weight_file(folder / "theirs-5.pt");
  const VitConfig config = config_of(one);
  ImportOptions options;
  options.normalization = "half";
  options.norm_eps = config.norm_eps;
  options.gelu = config.gelu;
  options.num_heads = config.num_heads;
  const TorchTraining taken = take_over(file, backend, options, one.options.kind);
  require(taken.step == kHalf, "step");
  OptimizerConfig found = taken.opt;
  found.clip_norm = one.options.clip_norm;
  require(found == one.options, fmt::format("settings of the optimizer: lr {} weight_decay {} layer_decay {}",
                                            found.lr, found.weight_decay, found.layer_decay));
  Half half(backend, one);
  require(taken.model.params.flat().shape == half.run.weights.flat().shape, "network");
  backend.copy(half.run.weights.flat(), taken.model.params.flat());
  backend.copy(half.run.optimizer.first_moment().flat(), taken.first_moment.flat());
  backend.copy(half.run.optimizer.second_moment().flat(), taken.second_moment.flat());
  half.steps(kHalf);
  half.write_weights(folder / "ours-10.pt");
}

}  // namespace
}  // namespace vitrail

int main(int argc, char** argv) try {
  const std::string mode = argc == 3 ? argv[1] : "";
  if (mode != "begin" && mode != "continue") {
    std::cerr << "usage: torch_takeover begin|continue FOLDER\n";
    return 2;
  }
  const std::unique_ptr<vitrail::Backend> backend = vitrail::make_backend("cpu", {.threads = 2});
  for (const vitrail::Case& one : vitrail::cases())
    (mode == "begin" ? vitrail::begin : vitrail::go_on)(*backend, one,
                                                        std::filesystem::path(argv[2]) / one.name);
  return 0;
} catch (const std::exception& error) {
  std::cerr << "error: " << error.what() << "\n";
  return 1;
}
