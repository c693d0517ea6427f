#include "engine/model_io.h"

#include <algorithm>

#include "engine/sections.h"
#include "engine/tensor_text.h"
#include "format/sections.h"
#include "format/shards.h"

namespace vitrail {
namespace {

namespace section = format::section;
using format::Role;

format::ContainerContents contents(format::FileKind kind, const HostTensors& tensors) {
  format::ContainerContents result{.kind = kind, .root = {}, .tensors = tensors.records()};
  result.root.set(section::kProducer, producer());
  return result;
}

bool has_role(const format::Container& file, Role role) {
  return std::any_of(file.tensors().begin(), file.tensors().end(),
                     [role](const format::TensorRecord& tensor) { return tensor.role == role; });
}

std::vector<std::string> labels_of(const format::Container& file) {
  return file.root().table(section::kInput, "input").strings(section::input::kLabels, "labels");
}

}  // namespace

format::WriteResult save_weights(const std::filesystem::path& path, Backend& backend,
                                 const ParamSet& params) {
  const HostTensors tensors(backend, params, Role::parameter);
  return format::write_container(path, contents(format::FileKind::weights, tensors));
}

void load_weights(const std::filesystem::path& path, Backend& backend, const ParamSet& params) {
  load_tensors(format::Container::open(path), Role::parameter, backend, params);
}

format::ContainerContents model_contents(const Model& model, const HostTensors& tensors) {
  format::ContainerContents file = contents(format::FileKind::model, tensors);
  file.root.set(section::kModel, to_table(model.config, model.params.dtype()));
  file.root.set(section::kInput, to_table(model.input, model.labels));
  return file;
}

format::WriteResult save_model(const std::filesystem::path& path, Backend& backend, const Model& model) {
  const HostTensors tensors(backend, model.params, Role::parameter);
  return format::write_container(path, model_contents(model, tensors));
}

namespace {

void require_whole_model(const format::Container& file) {
  if (file.kind() == format::FileKind::weights) {
    throw format::FormatError(file.name() +
                              ": holds weights alone; expected a model or a checkpoint, which say "
                              "what network the weights belong to");
  }
  if (file.kind() == format::FileKind::shard || file.kind() == format::FileKind::shard_index) {
    throw format::FormatError(file.name() +
                              ": expected a model or a checkpoint, found a part of a sharded set; "
                              "use the one file that 'vitrail consolidate' makes of it");
  }
}

// All but the check of the tensors.
MappedModel describe_model(const std::filesystem::path& path, WeightChoice choice) {
  format::Container file = format::Container::open(path);
  require_whole_model(file);
  const bool ema =
      choice == WeightChoice::ema || (choice == WeightChoice::best && has_role(file, Role::ema_parameter));
  MappedModel model{.file = std::move(file),
                    .role = ema ? Role::ema_parameter : Role::parameter,
                    .config = {},
                    .input = {},
                    .labels = {}};
  const format::Table& table = model.file.root().table(section::kModel, "model");
  model.dtype = dtype_from(table);
  model.config = vit_config_from(table);
  model.input = input_config_from(model.file.root().table(section::kInput, "input"));
  model.labels = labels_of(model.file);
  return model;
}

}  // namespace

MappedModel map_model(const std::filesystem::path& path, WeightChoice choice) {
  MappedModel model = describe_model(path, choice);
  std::vector<ParamSpec> specs;
  VitParams places;
  visit_params(model.config, places, [&](const ParamSpec& spec, Out&) { specs.push_back(spec); });
  require_tensors(model.file, model.role, specs, model.dtype);
  return model;
}

// Computing never writes to parameters, though views of them could be written to.
VitParams mapped_params(const MappedModel& model) {
  VitParams params;
  visit_params(model.config, params, [&](const ParamSpec& spec, Out& place) {
    const format::Bytes bytes = model.file.read(*model.file.find(model.role, spec.name));
    place = {const_cast<std::byte*>(bytes.data()), model.dtype, spec.shape};
  });
  return params;
}

Model load_model(const std::filesystem::path& path, Backend& backend, WeightChoice choice) {
  const MappedModel mapped = describe_model(path, choice);
  Model model{.config = mapped.config,
              .input = mapped.input,
              .labels = mapped.labels,
              .params = ParamSet(backend, mapped.config, mapped.dtype)};
  load_tensors(mapped.file, mapped.role, backend, model.params);
  return model;
}

namespace {

void describe_history(const format::Table& root, ModelInfo& info) {
  if (!root.has(section::kHistory)) return;
  const format::Table& history = root.table(section::kHistory, "history");
  const std::vector<std::string>& columns = history.strings(section::history::kColumns, "columns");
  const std::vector<double> values = history.f64s(section::history::kValues, "values");
  if (columns.empty() || values.size() % columns.size() != 0) return;
  for (std::size_t column = 0; column < columns.size() && !values.empty(); ++column)
    info.metrics.emplace_back(columns[column], values[values.size() - columns.size() + column]);
  const auto top1 = std::find(columns.begin(), columns.end(), "top1");
  if (top1 == columns.end()) return;
  const std::size_t rows = values.size() / columns.size(),
                    column = static_cast<std::size_t>(top1 - columns.begin());
  for (std::size_t row = 0; row < rows; ++row) {
    info.last_top1 = values[row * columns.size() + column];
    info.best_top1 = std::max(info.best_top1.value_or(0), *info.last_top1);
  }
}

void describe_checkpoint(const format::Table& root, ModelInfo& info) {
  const format::Table& schedule = root.table(section::kSchedule, "schedule");
  info.step = schedule.i64(section::schedule::kStep, "step");
  info.total_steps = schedule.i64(section::schedule::kTotalSteps, "total steps");
  info.lr = schedule.f64(section::schedule::kLrAtSave, "learning rate");
  info.epoch = root.table(section::kDataOrder, "data order").i64(section::data_order::kEpoch, "epoch");
  if (root.has(section::kUser) && root.table(section::kUser, "user").has(section::user::kSettings)) {
    info.settings = root.table(section::kUser, "user").strings(section::user::kSettings, "settings");
  }
  describe_history(root, info);
}

void count_tensors(const std::vector<format::TensorRecord>& tensors, ModelInfo& info) {
  for (const format::TensorRecord& tensor : tensors) {
    if (tensor.role == Role::ema_parameter) info.has_ema = true;
    if (tensor.role != Role::parameter) continue;
    ++info.tensors;
    info.parameters += element_count(tensor.shape);
    const std::string dtype = dtype_text(tensor.type);
    info.dtype = info.dtype.empty() || info.dtype == dtype ? dtype : "mixed";
  }
}

}  // namespace

ModelInfo get_model_info(const std::filesystem::path& path) {
  return get_model_info(format::Container::open(path));
}

ModelInfo get_model_info(const format::Container& file) {
  ModelInfo info;
  info.kind = format::name_of(file.kind());
  info.producer = file.root().text(section::kProducer, "producer");
  info.file_bytes = file.file_bytes();
  info.content_id = file.content_id();
  if (file.kind() == format::FileKind::shard_index) {
    const format::ShardSet set = format::ShardSet::open(file.name());
    info.shards = set.shards();
    if (set.content_id()) info.content_id = to_hex(*set.content_id());
    count_tensors(set.tensors(), info);
  } else {
    count_tensors(file.tensors(), info);
  }
  if (!file.root().has(section::kModel)) return info;
  info.architecture =
      file.root().table(section::kModel, "model").text(section::model::kArchitecture, "architecture");
  info.config = vit_config_from(file.root().table(section::kModel, "model"));
  info.input = input_config_from(file.root().table(section::kInput, "input"));
  info.labels = labels_of(file);
  if (file.kind() == format::FileKind::checkpoint) describe_checkpoint(file.root(), info);
  return info;
}

}  // namespace vitrail
