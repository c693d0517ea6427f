// Which parameter an optimizer of PyTorch means by a number.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "engine/error.h"
#include "engine/state_dict.h"
#include "engine/tensor_text.h"
#include "engine/torch_optimizer.h"

namespace vitrail {
namespace {

using format::TensorRecord;

using Names = std::vector<std::string>;
using Buckets = std::vector<std::vector<const TensorRecord*>>;  // one a group

bool is_float(const TensorRecord& tensor) {
  using format::ElementType;
  return tensor.type == ElementType::f32 || tensor.type == ElementType::f64 ||
         tensor.type == ElementType::f16 || tensor.type == ElementType::bf16;
}

bool is_token(const std::string& name) {
  return name == "cls_token" || name == "pos_embed" || name == "dist_token" || name == "reg_token";
}

// timm's _param_groups.py; `tokens`: whether the model's no_weight_decay() was asked.
bool decays(const TensorRecord& tensor, bool tokens) {
  return tensor.shape.size() > 1 && !tensor.name.ends_with(".bias") && !(tokens && is_token(tensor.name));
}

// timm's group_matcher of VisionTransformer. The norms go with the last block, whatever its number.
std::int64_t layer_of(const std::string& name, std::int64_t depth) {
  if (is_token(name) || name.starts_with("patch_embed.") || name.starts_with("norm_pre.")) return 0;
  if (name.starts_with("blocks.")) return std::atoll(name.c_str() + 7) + 1;
  return name.starts_with("norm") ? depth : depth + 1;
}

std::int64_t depth_of(const std::vector<const TensorRecord*>& model) {
  std::int64_t depth = 0;
  for (const TensorRecord* tensor : model) {
    if (tensor->name.starts_with("blocks.")) depth = std::max(depth, layer_of(tensor->name, 0));
  }
  return depth;
}

// In the order in which the first tensor of each bucket appears.
template <class Key>
Buckets buckets_of(const std::vector<const TensorRecord*>& model, Key key) {
  Buckets buckets;
  std::map<std::int64_t, std::size_t> places;
  for (const TensorRecord* tensor : model) {
    const auto [place, is_new] = places.try_emplace(key(*tensor), buckets.size());
    if (is_new) buckets.emplace_back();
    buckets[place->second].push_back(tensor);
  }
  return buckets;
}

class Matcher {
 public:
  Matcher(const TorchOptimizer& optimizer, const std::vector<TensorRecord>& root_tensors)
      : optimizer_(optimizer), root_tensors_(root_tensors) {
    for (const TorchGroup& group : optimizer.groups)
      count_ += group.params.size();
  }

  std::size_t count() const { return count_; }

  // Empty when they do not fit.
  Names match(const Buckets& buckets) const {
    if (buckets.size() != optimizer_.groups.size()) return {};
    Names names(count_);
    for (std::size_t g = 0; g < buckets.size(); ++g) {
      const TorchGroup& group = optimizer_.groups[g];
      if (buckets[g].size() != group.params.size()) return {};
      for (std::size_t i = 0; i < group.params.size(); ++i) {
        if (!fits(group.params[i], *buckets[g][i])) return {};
        names[static_cast<std::size_t>(group.params[i])] = buckets[g][i]->name;
      }
    }
    return names;
  }

  bool fits(std::int64_t number, const TensorRecord& tensor) const {
    const auto state = optimizer_.state.find(number);
    return state == optimizer_.state.end() ||
           (shape(state->second.first) == tensor.shape && shape(state->second.second) == tensor.shape);
  }

  std::string shape_of(std::int64_t number) const {
    return shape_text(shape(optimizer_.state.at(number).first));
  }

 private:
  const std::vector<std::int64_t>& shape(std::size_t place) const { return root_tensors_[place].shape; }

  const TorchOptimizer& optimizer_;
  const std::vector<TensorRecord>& root_tensors_;
  std::size_t count_ = 0;
};

// As the model's tensors are named: without what wrappers put before all of them.
std::vector<Names> unwrapped_names(const TorchOptimizer& optimizer) {
  std::vector<TensorRecord> records;
  for (const TorchGroup& group : optimizer.groups) {
    for (const std::string& name : group.names)
      records.push_back({.name = name, .shape = {}, .bytes = {}});
  }
  Names notes;
  strip_prefixes(records, notes);
  std::vector<Names> names;
  auto record = records.begin();
  for (const TorchGroup& group : optimizer.groups) {
    names.emplace_back();
    for (std::size_t i = 0; i < group.names.size(); ++i)
      names.back().push_back((record++)->name);
  }
  return names;
}

Names names_in_file(const TorchOptimizer& optimizer, const std::vector<TensorRecord>& model,
                    const Matcher& matcher) {
  std::map<std::string, const TensorRecord*> by_name;
  for (const TensorRecord& tensor : model)
    by_name[tensor.name] = &tensor;
  const std::vector<Names> unwrapped = unwrapped_names(optimizer);
  Names names(matcher.count());
  for (std::size_t g = 0; g < optimizer.groups.size(); ++g) {
    const TorchGroup& group = optimizer.groups[g];
    for (std::size_t i = 0; i < group.params.size(); ++i) {
      auto found = by_name.find(group.names[i]);
      if (found == by_name.end()) found = by_name.find(unwrapped[g][i]);
      if (found == by_name.end()) {
        throw ConfigError(
            fmt::format("the optimizer's param_names: '{}' is no tensor of the model", group.names[i]));
      }
      if (!matcher.fits(group.params[i], *found->second)) {
        throw ConfigError(fmt::format("the optimizer's moments of {}: expected the shape {}, found {}",
                                      found->first, shape_text(found->second->shape),
                                      matcher.shape_of(group.params[i])));
      }
      names[static_cast<std::size_t>(group.params[i])] = found->first;
    }
  }
  return names;
}

// Two groups, told by their weight decay: which comes first does not matter.
Names match_decay(const TorchOptimizer& optimizer, const std::vector<const TensorRecord*>& model,
                  const Matcher& matcher, bool tokens) {
  const std::vector<TorchGroup>& groups = optimizer.groups;
  if (groups.size() != 2 || (groups[0].weight_decay == 0) == (groups[1].weight_decay == 0)) return {};
  Buckets buckets(2);
  for (const TensorRecord* tensor : model) {
    const bool in_first = decays(*tensor, tokens) == (groups[0].weight_decay != 0);
    buckets[in_first ? 0 : 1].push_back(tensor);
  }
  return matcher.match(buckets);
}

}  // namespace

Names parameter_names(const TorchOptimizer& optimizer, const std::vector<TensorRecord>& model,
                      const std::vector<TensorRecord>& root_tensors) {
  const Matcher matcher(optimizer, root_tensors);
  if (std::all_of(optimizer.groups.begin(), optimizer.groups.end(),
                  [](const TorchGroup& group) { return !group.names.empty() || group.params.empty(); })) {
    return names_in_file(optimizer, model, matcher);
  }
  std::vector<const TensorRecord*> floats;
  for (const TensorRecord& tensor : model) {
    if (is_float(tensor)) floats.push_back(&tensor);
  }
  if (Names names = matcher.match({floats}); !names.empty()) return names;
  const std::int64_t depth = depth_of(floats);
  for (const bool tokens : {true, false}) {
    Names names = match_decay(optimizer, floats, matcher, tokens);
    if (names.empty()) {
      names = matcher.match(buckets_of(floats, [&](const TensorRecord& tensor) {
        return 2 * layer_of(tensor.name, depth) + (decays(tensor, tokens) ? 1 : 0);
      }));
    }
    if (!names.empty()) return names;
  }
  throw ConfigError(
      fmt::format("the optimizer's {} parameters in {} groups cannot be told apart: they follow neither the "
                  "model's order of "
                  "{} tensors nor timm's groups; try to save it with names: AdamW over "
                  "model.named_parameters(), or a list "
                  "'param_names' beside 'params' in each of its param_groups",
                  matcher.count(), optimizer.groups.size(), floats.size()));
}

}  // namespace vitrail
