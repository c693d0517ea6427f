#include "engine/torch_optimizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "engine/error.h"
#include "format/bytes.h"

namespace vitrail {
namespace {

using format::Datum;
using format::ElementType;
using format::TensorRecord;

constexpr const char* kItsWeightsAlone =
    "; use init=FILE in place of resume_from=FILE to take its weights alone";

[[noreturn]] void refuse_optimizer(const std::string& why) {
  throw ConfigError("the optimizer's state: " + why + kItsWeightsAlone);
}

const Datum* find_any(const Datum& root, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const Datum* found = root.find(name);
    if (found != nullptr && found->as<Datum::Dict>() != nullptr) return found;
  }
  return nullptr;
}

double number_of(const Datum& group, const char* key) {
  const Datum* value = group.find(key);
  double number = 0;
  if (value == nullptr || !value->number(number) || !std::isfinite(number)) {
    refuse_optimizer(
        fmt::format("expected a number '{}' in each of its param_groups, as Adam and AdamW have it", key));
  }
  return number;
}

bool is_true(const Datum& group, const char* key) {
  const Datum* value = group.find(key);
  const bool* flag = value != nullptr ? value->as<bool>() : nullptr;
  return flag != nullptr && *flag;
}

std::vector<double> betas_of(const Datum& group) {
  const Datum* value = group.find("betas");
  const auto* list = value != nullptr ? value->as<Datum::List>() : nullptr;
  std::vector<double> betas;
  for (const Datum& item : list != nullptr ? list->items : std::vector<Datum>{}) {
    double beta = -1;
    if (item.number(beta) && beta >= 0 && beta < 1) betas.push_back(beta);
  }
  if (betas.size() != 2)
    refuse_optimizer("expected Adam's or AdamW's, with two betas in each of its param_groups");
  return betas;
}

template <class T>
std::vector<T> items_of(const Datum* value, const char* key) {
  std::vector<T> items;
  const auto* list = value != nullptr ? value->as<Datum::List>() : nullptr;
  if (list == nullptr) refuse_optimizer(fmt::format("expected a list '{}' in each of its param_groups", key));
  for (const Datum& item : list->items) {
    if (item.as<T>() == nullptr) refuse_optimizer(fmt::format("'{}' holds something unexpected", key));
    items.push_back(*item.as<T>());
  }
  return items;
}

TorchGroup group_from(const Datum& datum) {
  TorchGroup group{.lr = number_of(datum, "lr"),
                   .initial_lr = {},
                   .weight_decay = number_of(datum, "weight_decay"),
                   .params = items_of<std::int64_t>(datum.find("params"), "params"),
                   .names = {}};
  if (group.lr < 0 || group.weight_decay < 0) refuse_optimizer("a negative lr or weight_decay");
  if (datum.find("initial_lr") != nullptr) group.initial_lr = number_of(datum, "initial_lr");
  const Datum* names = datum.find("param_names");
  if (names != nullptr && !names->is_none()) group.names = items_of<std::string>(names, "param_names");
  if (!group.names.empty() && group.names.size() != group.params.size()) {
    refuse_optimizer(fmt::format("{} param_names for {} params", group.names.size(), group.params.size()));
  }
  for (const char* unsupported : {"amsgrad", "maximize"}) {
    if (is_true(datum, unsupported))
      refuse_optimizer(fmt::format("'{}' is on, which Vitrail does not have", unsupported));
  }
  return group;
}

// What must be the same in all groups.
void read_shared(const Datum& datum, bool first, TorchOptimizer& optimizer) {
  const std::vector<double> betas = betas_of(datum);
  const double eps = number_of(datum, "eps");
  std::optional<AdamKind> kind;
  if (datum.find("decoupled_weight_decay") != nullptr) {
    kind = is_true(datum, "decoupled_weight_decay") ? AdamKind::adamw : AdamKind::adam;
  }
  if (first) {
    optimizer.beta1 = betas[0];
    optimizer.beta2 = betas[1];
    optimizer.eps = eps;
    optimizer.kind = kind;
  } else if (betas[0] != optimizer.beta1 || betas[1] != optimizer.beta2 || eps != optimizer.eps ||
             kind != optimizer.kind) {
    refuse_optimizer(
        "betas, eps or the kind of weight decay differ between its param_groups, which Vitrail does not "
        "have");
  }
}

double scalar_of(const TensorRecord& tensor) {
  if (tensor.type == ElementType::f32 && tensor.bytes.size() == 4) return format::get<float>(tensor.bytes, 0);
  if (tensor.type == ElementType::f64 && tensor.bytes.size() == 8)
    return format::get<double>(tensor.bytes, 0);
  if (tensor.type == ElementType::i64 && tensor.bytes.size() == 8)
    return static_cast<double>(format::get<std::int64_t>(tensor.bytes, 0));
  return -1;
}

const TensorRecord* tensor_at(const Datum* datum, const std::vector<TensorRecord>& tensors) {
  const auto* place = datum != nullptr ? datum->as<Datum::Tensor>() : nullptr;
  return place != nullptr && place->index < tensors.size() ? &tensors[place->index] : nullptr;
}

std::int64_t step_of(const Datum& state, const std::vector<TensorRecord>& tensors, std::int64_t number) {
  const Datum* datum = state.find("step");
  double step = -1;
  if (const TensorRecord* tensor = tensor_at(datum, tensors)) {
    step = scalar_of(*tensor);
  } else if (datum != nullptr && !datum->number(step)) {
    step = -1;
  }
  if (!(step >= 1 && step <= 1e15 && step == std::floor(step))) {
    refuse_optimizer(fmt::format("parameter {} has no whole number of steps, at least 1", number));
  }
  return static_cast<std::int64_t>(step);
}

void read_state(const Datum& dict, const std::vector<TensorRecord>& tensors, TorchOptimizer& optimizer) {
  const auto* states = dict.as<Datum::Dict>();
  if (states == nullptr) refuse_optimizer("expected a dict 'state'");
  if (states->items.empty()) refuse_optimizer("it has not made a step yet");
  for (const Datum::Item& item : states->items) {
    const std::int64_t* number = item.key.as<std::int64_t>();
    if (number == nullptr) refuse_optimizer("expected the numbers of parameters as keys of 'state'");
    const Datum *first = item.value.find("exp_avg"), *second = item.value.find("exp_avg_sq");
    // What is missing is named later, by the parameter's name.
    if (tensor_at(first, tensors) == nullptr || tensor_at(second, tensors) == nullptr) continue;
    const std::int64_t step = step_of(item.value, tensors, *number);
    if (optimizer.state.empty()) optimizer.step = step;
    if (step != optimizer.step) {
      refuse_optimizer(fmt::format("its parameters have done different numbers of steps: {} and {}",
                                   optimizer.step, step));
    }
    optimizer.state[*number] = {first->as<Datum::Tensor>()->index, second->as<Datum::Tensor>()->index};
  }
}

// Every number from 0 on once.
std::int64_t check_numbers(const TorchOptimizer& optimizer) {
  std::set<std::int64_t> numbers;
  std::int64_t count = 0;
  for (const TorchGroup& group : optimizer.groups) {
    numbers.insert(group.params.begin(), group.params.end());
    count += std::ssize(group.params);
  }
  if (count == 0 || std::ssize(numbers) != count || *numbers.begin() != 0 || *numbers.rbegin() != count - 1) {
    refuse_optimizer("the params of its groups do not count 0, 1, 2, … once each");
  }
  if (!optimizer.state.empty() &&
      (optimizer.state.begin()->first < 0 || optimizer.state.rbegin()->first >= count)) {
    refuse_optimizer("'state' holds a parameter that is in no group");
  }
  return count;
}

}  // namespace

const Datum* find_optimizer(const Datum& root) {
  if (const Datum* found = find_any(root, {"optimizer", "optimizer_state_dict", "optimizer_state"}))
    return found;
  const Datum* lightning = root.find("optimizer_states");
  const auto* list = lightning != nullptr ? lightning->as<Datum::List>() : nullptr;
  return list != nullptr && list->items.size() == 1 ? &list->items[0] : nullptr;
}

const Datum* find_state_dict(const Datum& root) {
  return find_any(root, {"model", "state_dict", "model_state_dict", "model_state"});
}

const Datum* find_ema_state_dict(const Datum& root) {
  return find_any(root, {"model_ema", "state_dict_ema"});
}

TorchOptimizer read_torch_optimizer(const WeightFile& file) {
  const Datum* datum = find_optimizer(file.root);
  const Datum *state = datum != nullptr ? datum->find("state") : nullptr,
              *groups = datum != nullptr ? datum->find("param_groups") : nullptr;
  const auto* list = groups != nullptr ? groups->as<Datum::List>() : nullptr;
  if (state == nullptr || list == nullptr || list->items.empty()) {
    throw ConfigError(
        fmt::format("{}: expected the state dict of an optimizer beside the model's, found none{}",
                    file.path.string(), kItsWeightsAlone));
  }
  TorchOptimizer optimizer;
  for (const Datum& group : list->items) {
    read_shared(group, optimizer.groups.empty(), optimizer);
    optimizer.groups.push_back(group_from(group));
  }
  if (!(optimizer.eps > 0)) refuse_optimizer("expected an eps above 0");
  read_state(*state, file.root_tensors, optimizer);
  check_numbers(optimizer);
  return optimizer;
}

}  // namespace vitrail
