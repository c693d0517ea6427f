#include "engine/sections.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "engine/error.h"
#include "format/sections.h"

namespace vitrail {
namespace {

namespace ids = format::section::model;
using format::FormatError;
using format::Table;

template <class Kind>
Kind kind_from(const std::string& name, std::initializer_list<Kind> kinds, const char* field) {
  for (Kind kind : kinds) {
    if (name == name_of(kind)) return kind;
  }
  throw FormatError(fmt::format("field {}: this build does not know '{}'", field, name));
}

// One list of the model's fields for both directions.
template <class Config, class Visit>
void visit_fields(Config& c, Visit&& visit) {
  visit(ids::kName, "name", c.name);
  visit(ids::kImgSize, "img_size", c.img_size);
  visit(ids::kPatchSize, "patch_size", c.patch_size);
  visit(ids::kInChans, "in_chans", c.in_chans);
  visit(ids::kNumClasses, "num_classes", c.num_classes);
  visit(ids::kEmbedDim, "embed_dim", c.embed_dim);
  visit(ids::kDepth, "depth", c.depth);
  visit(ids::kNumHeads, "num_heads", c.num_heads);
  visit(ids::kMlpDim, "mlp_dim", c.mlp_dim);
  visit(ids::kClassToken, "class_token", c.class_token);
  visit(ids::kDistToken, "dist_token", c.dist_token);
  visit(ids::kRegTokens, "reg_tokens", c.reg_tokens);
  visit(ids::kNoEmbedClass, "no_embed_class", c.no_embed_class);
  visit(ids::kPreNorm, "pre_norm", c.pre_norm);
  visit(ids::kLayerScale, "layer_scale", c.layer_scale);
  visit(ids::kInitValues, "init_values", c.init_values);
  visit(ids::kGlobalPool, "global_pool", c.global_pool);
  visit(ids::kFcNorm, "fc_norm", c.fc_norm);
  visit(ids::kGelu, "gelu", c.gelu);
  visit(ids::kNormEps, "norm_eps", c.norm_eps);
  visit(ids::kPatchBias, "patch_bias", c.patch_bias);
  visit(ids::kQkvBias, "qkv_bias", c.qkv_bias);
  visit(ids::kProjBias, "proj_bias", c.proj_bias);
  visit(ids::kHeadBias, "head_bias", c.head_bias);
  visit(ids::kDropRate, "drop_rate", c.drop_rate);
  visit(ids::kPosDropRate, "pos_drop_rate", c.pos_drop_rate);
  visit(ids::kProjDropRate, "proj_drop_rate", c.proj_drop_rate);
  visit(ids::kAttnDropRate, "attn_drop_rate", c.attn_drop_rate);
  visit(ids::kDropPathRate, "drop_path_rate", c.drop_path_rate);
  visit(ids::kWeightInit, "weight_init", c.weight_init);
}

struct Put {
  Table& table;
  template <class T>
  void operator()(Table::Id id, const char*, const T& value) const {
    if constexpr (std::is_enum_v<T>) {
      table.set(id, std::string(name_of(value)));
    } else {
      table.set(id, value);
    }
  }
};

struct Take {
  const Table& table;
  void operator()(Table::Id id, const char* name, std::string& value) const { value = table.text(id, name); }
  void operator()(Table::Id id, const char* name, std::int64_t& value) const { value = table.i64(id, name); }
  void operator()(Table::Id id, const char* name, double& value) const { value = table.f64(id, name); }
  void operator()(Table::Id id, const char* name, bool& value) const { value = table.boolean(id, name); }
  void operator()(Table::Id id, const char* name, PoolKind& value) const {
    value = kind_from(table.text(id, name), {PoolKind::token, PoolKind::avg}, name);
  }
  void operator()(Table::Id id, const char* name, WeightInit& value) const {
    value = kind_from(table.text(id, name), {WeightInit::timm, WeightInit::jax}, name);
  }
  void operator()(Table::Id id, const char* name, GeluKind& value) const {
    value = kind_from(table.text(id, name), {GeluKind::erf, GeluKind::tanh, GeluKind::quick}, name);
  }
};

}  // namespace

Table to_table(const VitConfig& config, DType dtype) {
  Table table;
  table.set(ids::kArchitecture, "vit");
  visit_fields(config, Put{table});
  table.set(ids::kDtype, std::string(name_of(dtype)));
  return table;
}

VitConfig vit_config_from(const Table& table) {
  const std::string& architecture = table.text(ids::kArchitecture, "architecture");
  if (architecture != "vit") {
    throw FormatError(fmt::format("architecture: expected 'vit', found '{}'", architecture));
  }
  VitConfig config;
  visit_fields(config, Take{table});
  try {
    config.check();
  } catch (const ConfigError& error) {
    throw FormatError(fmt::format("the file's model cannot be built: {}", error.what()));
  }
  return config;
}

DType dtype_from(const Table& table) {
  return kind_from(table.text(ids::kDtype, "dtype"), {DType::f32, DType::f64, DType::bf16}, "dtype");
}

namespace {

constexpr std::int64_t kMaxChannels = 4;

std::vector<double> leading(const std::array<double, 4>& values, std::int64_t count) {
  return {values.begin(), values.begin() + count};
}

std::array<double, 4> four(const std::vector<double>& values, std::array<double, 4> result) {
  std::copy_n(values.begin(), std::min<std::size_t>(values.size(), 4), result.begin());
  return result;
}

}  // namespace

Table to_table(const InputConfig& input, const std::vector<std::string>& labels) {
  namespace in = format::section::input;
  Table table;
  table.set(in::kSize, input.size);
  table.set(in::kChannels, input.channels);
  table.set(in::kCropPct, input.crop_pct);
  table.set(in::kInterpolation, std::string(name_of(input.interpolation)));
  table.set(in::kMean, leading(input.mean, input.channels));
  table.set(in::kStd, leading(input.std, input.channels));
  table.set(in::kLabels, labels);
  return table;
}

InputConfig input_config_from(const Table& table) {
  namespace in = format::section::input;
  InputConfig input;
  input.size = table.i64(in::kSize, "input size");
  input.channels = table.i64(in::kChannels, "input channels");
  if (input.size < 1 || input.size > 16384 || input.channels < 1 || input.channels > kMaxChannels) {
    throw FormatError(fmt::format("input: {} channels of {} pixels", input.channels, input.size));
  }
  input.crop_pct = table.f64(in::kCropPct, "crop_pct");
  input.interpolation = kind_from(table.text(in::kInterpolation, "interpolation"),
                                  {Interpolation::bicubic, Interpolation::bilinear}, "interpolation");
  input.mean = four(table.f64s(in::kMean, "mean"), input.mean);
  input.std = four(table.f64s(in::kStd, "std"), input.std);
  return input;
}

std::string producer() {
  return "vitrail " VITRAIL_VERSION;
}

format::ElementType element_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return format::ElementType::f32;
    case DType::f64:
      return format::ElementType::f64;
    case DType::bf16:
      return format::ElementType::bf16;
    case DType::int8:
      return format::ElementType::i8;
  }
  return format::ElementType::f32;
}

namespace {

std::vector<std::int64_t> extents(const Shape& shape) {
  return {shape.dims.begin(), shape.dims.begin() + shape.rank};
}

}  // namespace

format::TensorRecord record_of(const ParamTensor& tensor, format::Role role) {
  return {.name = tensor.spec.name,
          .role = role,
          .type = element_type(tensor.view.dtype),
          .shape = extents(tensor.spec.shape),
          .bytes = {}};
}

HostTensors::HostTensors(const Backend& backend, const ParamSet& params, format::Role role)
    : params_(params), role_(role), data_(backend.host_bytes(params.flat())) {
  if (data_ != nullptr) return;
  downloaded_.resize(params.bytes());
  backend.download(downloaded_.data(), params.flat(), downloaded_.size());
  data_ = downloaded_.data();
}

std::vector<format::TensorRecord> HostTensors::records() const {
  std::vector<format::TensorRecord> records;
  const std::size_t size = size_of(params_.dtype());
  for (const ParamTensor& tensor : params_.tensors()) {
    records.push_back(record_of(tensor, role_));
    records.back().bytes = {data_ + static_cast<std::size_t>(tensor.offset) * size,
                            static_cast<std::size_t>(tensor.spec.shape.elements()) * size};
  }
  return records;
}

void require_tensors(const format::Container& file, format::Role role, const std::vector<ParamSpec>& specs,
                     DType dtype) {
  std::vector<std::string> problems;
  std::set<std::string> wanted;
  for (const ParamSpec& spec : specs) {
    const std::string& name = spec.name;
    wanted.insert(name);
    const format::TensorRecord* record = file.find(role, name);
    if (record == nullptr) {
      problems.push_back("missing " + name);
    } else if (record->shape != extents(spec.shape) || record->type != element_type(dtype)) {
      problems.push_back(fmt::format("mismatched {}: expected ({}) {}, found ({}) of type {}", name,
                                     fmt::join(extents(spec.shape), ", "), name_of(dtype),
                                     fmt::join(record->shape, ", "), static_cast<int>(record->type)));
    }
  }
  for (const format::TensorRecord& record : file.tensors()) {
    if (record.role == role && !wanted.contains(record.name)) problems.push_back("unexpected " + record.name);
  }
  if (!problems.empty()) {
    throw FormatError(fmt::format("{}: the tensors of role {} are not this model's:\n  {}", file.name(),
                                  static_cast<int>(role), fmt::join(problems, "\n  ")));
  }
}

void load_tensors(const format::Container& file, format::Role role, Backend& backend,
                  const ParamSet& params) {
  std::vector<ParamSpec> specs;
  for (const ParamTensor& tensor : params.tensors())
    specs.push_back(tensor.spec);
  require_tensors(file, role, specs, params.dtype());
  for (const ParamTensor& tensor : params.tensors()) {
    // Piece by piece, so that loading needs little more memory than the parameters themselves.
    const auto size = static_cast<std::int64_t>(size_of(params.dtype()));
    const Out flat = reshaped(tensor.view, {tensor.spec.shape.elements()});
    file.stream(*file.find(role, tensor.spec.name), [&](std::uint64_t begin, format::Bytes bytes) {
      const Out part =
          rows(flat, static_cast<std::int64_t>(begin) / size, static_cast<std::int64_t>(bytes.size()) / size);
      backend.upload(part, bytes.data(), bytes.size());
    });
  }
}

}  // namespace vitrail
