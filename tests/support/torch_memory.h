#pragma once
// A checkpoint of ours as the PyTorch file it becomes, without a file.

#include <list>

#include "engine/checkpoint.h"
#include "engine/optimizer.h"
#include "engine/sections.h"
#include "engine/state_dict.h"
#include "engine/torch_optimizer.h"
#include "engine/torch_tree.h"
#include "tests/support/tiny_vit.h"

namespace vitrail::test {

// A training of tiny_config() after seven steps, with moments that are never zero.
struct TinyTraining {
  explicit TinyTraining(const OptimizerConfig& options = {}, bool with_ema = false)
      : config(tiny_training()),
        weights(*backend, config.model, DType::f32),
        grads(*backend, config.model, DType::f32),
        ema(*backend, config.model, DType::f32),
        optimizer(*backend, config.model, options, weights) {
    config.opt = options;
    if (with_ema) config.ema.decay = 0.9;
    progress.step = 7;
    randomize(*backend, weights, 1);
    randomize(*backend, ema, 2);
    randomize(*backend, optimizer.first_moment(), 3);
    randomize(*backend, optimizer.second_moment(), 4);
    const CheckpointTensors sets{weights, optimizer.first_moment(), optimizer.second_moment(), grads,
                                 with_ema ? &ema : nullptr};
    contents.kind = format::FileKind::checkpoint;
    contents.root =
        checkpoint_root(config, 100, {"fingerprint", 640, {"a", "b", "c", "d", "e"}}, progress, sets);
    for (const RoleSet& set : checkpoint_sets(sets, false)) {
      const std::vector<format::TensorRecord> records =
          host.emplace_back(*backend, *set.params, set.role).records();
      contents.tensors.insert(contents.tensors.end(), records.begin(), records.end());
    }
  }

  std::unique_ptr<Backend> backend = make_backend("cpu", {.threads = 1});
  TrainConfig config;
  ParamSet weights, grads, ema;
  Optimizer optimizer;
  TrainProgress progress;
  std::list<HostTensors> host;
  format::ContainerContents contents;
};

inline WeightFile as_file(const TorchTree& tree) {
  WeightFile file;
  file.path = "memory.pt";
  file.format = "pt";
  file.root = tree.root;
  file.root_tensors = tree.tensors;
  file.tensors = read_state_dict(file.root, file.root_tensors, WeightChoice::plain).tensors;
  file.storage = tree.storage;
  return file;
}

// `datum` with the value at the end of a path of keys and places replaced, or taken out when `value` is null.
inline format::Datum changed(const format::Datum& datum, std::span<const format::Datum> path,
                             const format::Datum* value) {
  using format::Datum;
  if (path.empty()) return *value;
  if (const auto* list = datum.as<Datum::List>()) {
    Datum::List copy = *list;
    Datum& item = copy.items.at(static_cast<std::size_t>(*path[0].as<std::int64_t>()));
    item = changed(item, path.subspan(1), value);
    return copy;
  }
  Datum::Dict copy;
  bool found = false;
  for (const Datum::Item& item : datum.as<Datum::Dict>()->items) {
    const bool here =
        item.key.data().index() == path[0].data().index() &&
        (item.key.as<std::string>() != nullptr ? *item.key.as<std::string>() == *path[0].as<std::string>()
                                               : *item.key.as<std::int64_t>() == *path[0].as<std::int64_t>());
    found = found || here;
    if (here && path.size() == 1 && value == nullptr) continue;
    copy.items.push_back(here ? Datum::Item{item.key, changed(item.value, path.subspan(1), value)} : item);
  }
  if (!found && value != nullptr && path.size() == 1) copy.items.push_back({path[0], *value});
  return copy;
}

}  // namespace vitrail::test
