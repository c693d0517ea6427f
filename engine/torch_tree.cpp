#include "engine/torch_tree.h"

#include <deque>
#include <set>

#include "engine/sections.h"
#include "engine/vit_params.h"
#include "format/sections.h"

namespace vitrail {
namespace {

namespace section = format::section;
using format::Datum;
using format::Role;
using format::Table;
using format::TensorRecord;

class Dict {
 public:
  Dict& add(Datum key, Datum value) {
    dict_.items.push_back({std::move(key), std::move(value)});
    return *this;
  }
  Datum take() { return std::move(dict_); }

 private:
  Datum::Dict dict_;
};

Datum texts(const std::vector<std::string>& values) {
  Datum::List list;
  for (const std::string& value : values)
    list.items.emplace_back(value);
  return list;
}

// What a group of the optimizer says of its parameters.
struct Group {
  double lr_scale = 1, weight_decay = 0;
  std::vector<std::string> names;
};

class TreeMaker {
 public:
  explicit TreeMaker(const format::ContainerContents& contents) : contents_(contents), root_(contents.root) {
    std::set<std::string> names;
    for (const TensorRecord& tensor : contents.tensors) {
      names.insert(tensor.name);
      by_role_[tensor.role][tensor.name] = &tensor;
    }
    sorted_names_.assign(names.begin(), names.end());
    order_names();
  }

  TorchTree make();

 private:
  void order_names();
  Datum tensor(TensorRecord record);
  Datum tensor(Role role, const std::string& name) { return tensor(*by_role_.at(role).at(name)); }
  Datum state_dict(Role role);
  std::vector<Group> groups() const;
  float steps_done() const;
  Datum optimizer();
  Datum group_dict(const Group& group, std::int64_t first_number) const;
  Datum scheduler() const;
  Datum own_things();
  void add_labels(Dict& tree) const;

  const format::ContainerContents& contents_;
  const Table& root_;
  std::map<Role, std::map<std::string, const TensorRecord*>> by_role_;
  std::vector<std::string> sorted_names_, names_;  // names_: of parameters, in the model's order
  std::set<Role> placed_;
  TorchTree tree_;
  struct Storage {
    std::vector<std::byte> metadata;
    std::deque<float> steps;  // one a parameter, each in a place of its own: torch counts them up there
  };
  std::shared_ptr<Storage> storage_ = std::make_shared<Storage>();
};

void TreeMaker::order_names() {
  std::set<std::string> left;
  for (const auto& [name, record] : by_role_[Role::parameter])
    left.insert(name);
  if (root_.has(section::kModel)) {
    VitParams params;
    visit_params(vit_config_from(root_.table(section::kModel, "model")), params,
                 [&](const ParamSpec& spec, Out&) {
                   if (left.erase(spec.name) > 0) names_.push_back(spec.name);
                 });
  }
  names_.insert(names_.end(), left.begin(), left.end());
}

// Names are for aliases alone, which are of the same role.
Datum TreeMaker::tensor(TensorRecord record) {
  const std::string prefix = std::to_string(static_cast<int>(record.role)) + "/";
  record.name = prefix + record.name;
  if (!record.alias_of.empty()) record.alias_of = prefix + record.alias_of;
  tree_.tensors.push_back(std::move(record));
  return Datum::Tensor{tree_.tensors.size() - 1};
}

Datum TreeMaker::state_dict(Role role) {
  placed_.insert(role);
  Dict dict;
  for (const std::string& name : names_) {
    if (by_role_[role].contains(name)) dict.add(name, tensor(role, name));
  }
  return dict.take();
}

// In the order in which the model's parameters come to them, as timm makes its groups.
std::vector<Group> TreeMaker::groups() const {
  namespace ids = section::optimizer;
  std::map<std::string, std::size_t> number_of;
  std::vector<Group> rows;
  for (const auto& [id, value] :
       root_.table(section::kOptimizer, "optimizer").table(ids::kGroups, "groups").fields()) {
    const Table& row = *std::get<std::shared_ptr<const Table>>(value.content);
    for (const std::uint64_t index : row.u64s(ids::kNameIndices, "name indices"))
      number_of[sorted_names_.at(index)] = rows.size();
    rows.push_back({row.f64(ids::kLrScale, "lr_scale"), row.f64(ids::kWeightDecay, "weight_decay"), {}});
  }
  std::vector<Group> groups;
  std::map<std::size_t, std::size_t> places;
  for (const std::string& name : names_) {
    const std::size_t row = number_of.at(name);
    const auto [place, is_new] = places.try_emplace(row, groups.size());
    if (is_new) groups.push_back(rows[row]);
    groups[place->second].names.push_back(name);
  }
  return groups;
}

// Keys of the newest torch, in its order; earlier ones ignore what they do not know.
Datum TreeMaker::group_dict(const Group& group, std::int64_t first_number) const {
  namespace ids = section::optimizer;
  const Table& optimizer = root_.table(section::kOptimizer, "optimizer");
  const Table& schedule = root_.table(section::kSchedule, "schedule");
  Datum::List betas{.items = {optimizer.f64(ids::kBeta1, "beta1"), optimizer.f64(ids::kBeta2, "beta2")},
                    .tuple = true};
  Datum::List numbers;
  for (std::size_t i = 0; i < group.names.size(); ++i)
    numbers.items.emplace_back(first_number + static_cast<std::int64_t>(i));
  return Dict()
      .add("lr", schedule.f64(section::schedule::kLrAtSave, "lr_at_save") * group.lr_scale)
      .add("betas", std::move(betas))
      .add("eps", optimizer.f64(ids::kEps, "eps"))
      .add("weight_decay", group.weight_decay)
      .add("amsgrad", false)
      .add("maximize", false)
      .add("foreach", Datum())
      .add("capturable", false)
      .add("differentiable", false)
      .add("fused", Datum())
      .add("decoupled_weight_decay", optimizer.text(ids::kAlgorithm, "algorithm") == "adamw")
      .add("lr_scale", group.lr_scale)
      .add("initial_lr", schedule.f64(section::schedule::kLr, "lr") * group.lr_scale)
      .add("param_names", texts(group.names))
      .add("params", std::move(numbers))
      .take();
}

float TreeMaker::steps_done() const {
  return static_cast<float>(
      root_.table(section::kOptimizer, "optimizer").i64(section::optimizer::kStep, "step"));
}

Datum TreeMaker::optimizer() {
  Dict state;
  Datum::List group_dicts;
  std::int64_t number = 0;
  for (const Group& group : groups()) {
    group_dicts.items.push_back(group_dict(group, number));
    for (const std::string& name : group.names) {
      const float& count = storage_->steps.emplace_back(steps_done());
      const TensorRecord step{.name = "step", .shape = {}, .bytes = std::as_bytes(std::span(&count, 1))};
      Dict moments;
      moments.add("step", tensor(step));
      moments.add("exp_avg", tensor(Role::first_moment, name));
      moments.add("exp_avg_sq", tensor(Role::second_moment, name));
      state.add(number++, moments.take());
    }
  }
  placed_.insert({Role::first_moment, Role::second_moment});
  return Dict().add("state", state.take()).add("param_groups", std::move(group_dicts)).take();
}

// The attributes that every scheduler of torch.optim.lr_scheduler has.
Datum TreeMaker::scheduler() const {
  const Table& schedule = root_.table(section::kSchedule, "schedule");
  const std::int64_t step = schedule.i64(section::schedule::kStep, "step");
  Datum::List base, last;
  for (const Group& group : groups()) {
    base.items.emplace_back(schedule.f64(section::schedule::kLr, "lr") * group.lr_scale);
    last.items.emplace_back(schedule.f64(section::schedule::kLrAtSave, "lr_at_save") * group.lr_scale);
  }
  return Dict()
      .add("base_lrs", std::move(base))
      .add("last_epoch", step)
      .add("_step_count", step + 1)
      .add("_get_lr_called_within_step", false)
      .add("_last_lr", std::move(last))
      .take();
}

Datum TreeMaker::own_things() {
  storage_->metadata = carried_bytes(root_);
  const TensorRecord metadata{.name = "metadata",
                              .type = format::ElementType::u8,
                              .shape = {std::ssize(storage_->metadata)},
                              .bytes = storage_->metadata};
  Dict own;
  own.add("kind", name_of(contents_.kind)).add("metadata", tensor(metadata));
  Dict others;
  for (const auto& [role, tensors] : by_role_) {
    if (placed_.contains(role) || tensors.empty()) continue;
    Dict dict;
    for (const auto& [name, record] : tensors)
      dict.add(name, tensor(*record));
    others.add(static_cast<std::int64_t>(role), dict.take());
  }
  return own.add("other_roles", others.take()).take();
}

void TreeMaker::add_labels(Dict& tree) const {
  if (!root_.has(section::kInput)) return;
  const std::vector<std::string>& labels =
      root_.table(section::kInput, "input").strings(section::input::kLabels, "labels");
  if (!labels.empty()) tree.add("labels", texts(labels));
}

TorchTree TreeMaker::make() {
  Dict tree;
  const bool checkpoint = contents_.kind == format::FileKind::checkpoint;
  tree.add(checkpoint ? "model" : "state_dict", state_dict(Role::parameter));
  if (!by_role_[Role::ema_parameter].empty()) tree.add("model_ema", state_dict(Role::ema_parameter));
  if (checkpoint) {
    tree.add("optimizer", optimizer());
    tree.add("scheduler", scheduler());
    tree.add("epoch",
             root_.table(section::kDataOrder, "data order").i64(section::data_order::kEpoch, "epoch"));
  }
  add_labels(tree);
  if (root_.has(section::kUser) && root_.table(section::kUser, "user").has(section::user::kSettings)) {
    Dict config;
    for (const std::string& setting :
         root_.table(section::kUser, "user").strings(section::user::kSettings, "settings")) {
      const std::size_t equals = setting.find('=');
      if (equals != std::string::npos) config.add(setting.substr(0, equals), setting.substr(equals + 1));
    }
    tree.add("config", config.take());
  }
  tree.add("vitrail", own_things());
  tree_.root = tree.take();
  tree_.storage = storage_;
  return std::move(tree_);
}

}  // namespace

TorchTree torch_tree(const format::ContainerContents& contents) {
  return TreeMaker(contents).make();
}

}  // namespace vitrail
