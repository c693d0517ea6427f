#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <list>

#include "engine/error.h"
#include "engine/families/export_documents.h"
#include "engine/families/own_settings.h"
#include "engine/import_model.h"
#include "engine/sections.h"

namespace vitrail {
namespace {

using families::HfClass;
using families::NameRow;
using families::Part;
using format::TensorRecord;

// What an export owns: the model's parameters on the host, and tensors that another library has and we do
// not.
struct Storage {
  Storage(const Backend& backend, const ParamSet& params)
      : host(backend, params, format::Role::parameter), records(host.records()) {}

  HostTensors host;
  std::vector<TensorRecord> records;
  std::list<std::vector<float>> made;  // whose places in memory stay
};

class Export {
 public:
  Export(const Model& model, const Backend& backend)
      : model_(model), storage_(std::make_shared<Storage>(backend, model.params)) {
    if (model.params.dtype() != DType::f32) {
      throw ConfigError(fmt::format("exporting to PyTorch's libraries: expected parameters in f32, found {}",
                                    name_of(model.params.dtype())));
    }
    headless_ = has_identity_head();
  }

  ExportedWeights timm();
  ExportedWeights hf();

 private:
  const VitConfig& config() const { return model_.config; }
  bool is_head(const std::string& name) const { return name.starts_with("head"); }

  const TensorRecord& record(const std::string& name) const {
    const auto found = std::find_if(storage_->records.begin(), storage_->records.end(),
                                    [&](const TensorRecord& tensor) { return tensor.name == name; });
    assert(found != storage_->records.end());
    return *found;
  }

  std::vector<float> values(const std::string& name) const {
    const std::span<const std::byte> bytes = record(name).bytes;
    std::vector<float> result(bytes.size() / sizeof(float));
    std::memcpy(result.data(), bytes.data(), bytes.size());
    return result;
  }

  bool has_identity_head() const;
  bool all_zero(const std::string& name) const {
    const std::vector<float> elements = values(name);
    return std::all_of(elements.begin(), elements.end(), [](float value) { return value == 0; });
  }
  void add(const std::string& name, std::vector<std::int64_t> shape, std::span<const std::byte> bytes) {
    result_.tensors.push_back({.name = name, .shape = std::move(shape), .bytes = bytes});
  }
  void add(const std::string& name, std::vector<std::int64_t> shape, std::vector<float> made) {
    storage_->made.push_back(std::move(made));
    add(name, std::move(shape), std::as_bytes(std::span(storage_->made.back())));
  }

  HfClass hf_class() const;
  void check_hf(HfClass hf_class) const;
  std::string hf_class_name(HfClass hf_class) const;
  void add_hf_parameter(HfClass hf_class, const TensorRecord& tensor, const std::string& prefix);
  void add_row(const NameRow& row, const TensorRecord& tensor, const std::string& name);
  bool add_reshaped(HfClass hf_class, const TensorRecord& tensor, const std::string& name);

  const Model& model_;
  std::shared_ptr<Storage> storage_;
  bool headless_ = false;
  ExportedWeights result_;
};

bool Export::has_identity_head() const {
  if (config().head_bias || config().dist_token || config().num_classes != config().embed_dim) return false;
  const std::vector<float> head = values("head.weight");
  const auto dim = static_cast<std::size_t>(config().embed_dim);
  for (std::size_t i = 0; i < head.size(); ++i) {
    if (head[i] != (i / dim == i % dim ? 1.0F : 0.0F)) return false;
  }
  return true;
}

ExportedWeights Export::timm() {
  for (const TensorRecord& tensor : storage_->records) {
    if (headless_ && is_head(tensor.name)) continue;
    result_.tensors.push_back(tensor);
  }
  if (headless_) result_.lines.push_back("the head is the identity and stays away: num_classes=0 in timm");
  // timm ties these two, and its heads always have a bias (vision_transformer.py, VisionTransformer).
  if (config().patch_bias == config().pre_norm) {
    throw ConfigError(fmt::format("timm's ViT has {}: model.patch_bias={} has no place there",
                                  config().pre_norm
                                      ? "no bias of the patch embedding beside a norm before the blocks"
                                      : "a bias of the patch embedding",
                                  config().patch_bias));
  }
  for (const char* head : {"head", "head_dist"}) {
    if (headless_ || config().head_bias || (head == std::string("head_dist") && !config().dist_token))
      continue;
    const auto classes = static_cast<std::size_t>(config().num_classes);
    add(std::string(head) + ".bias", {config().num_classes}, std::vector<float>(classes));
    result_.lines.push_back(fmt::format("{}.bias is added, all zero: timm's heads have one", head));
  }
  const std::string architecture = families::timm_architecture(config());
  if (const double eps = vit_config(architecture).norm_eps; eps != config().norm_eps) {
    result_.lines.push_back(
        fmt::format("timm's {} has epsilon {:g} in its norms and this model {:g}: give timm.create_model "
                    "norm_layer=partial(LayerNorm, eps={:g})",
                    architecture, eps, config().norm_eps, config().norm_eps));
  }
  result_.config_json = families::timm_config(model_, headless_ ? 0 : config().num_classes);
  result_.metadata = families::own_metadata(model_);
  result_.metadata["format"] = "pt";
  result_.storage = storage_;
  return std::move(result_);
}

// The class that has the model's switches; check_hf() says what else it lacks.
HfClass Export::hf_class() const {
  if (config().pre_norm) return HfClass::clip;
  if (config().layer_scale) return HfClass::dinov2;
  const bool lone_register = config().reg_tokens == 1 && !config().no_embed_class;
  return config().dist_token || lone_register ? HfClass::deit : HfClass::vit;
}

void Export::check_hf(HfClass hf_class) const {
  const VitConfig& c = config();
  const char* names[] = {"ViT", "DeiT", "DINOv2", "CLIP"};
  std::vector<std::string> lacks;
  const auto refuse = [&](bool has, const char* setting) {
    if (has) lacks.push_back(setting);
  };
  const bool dinov2 = hf_class == HfClass::dinov2, clip = hf_class == HfClass::clip;
  refuse(!c.class_token, "model.class_token=false");
  refuse(c.global_pool == PoolKind::avg, "model.global_pool=avg");
  refuse(c.fc_norm, "model.fc_norm=true");
  refuse(!c.proj_bias, "model.proj_bias=false");
  refuse(clip && !c.qkv_bias, "model.qkv_bias=false");
  refuse(c.patch_bias == clip, clip ? "model.patch_bias=true" : "model.patch_bias=false");
  refuse(clip && c.layer_scale, "model.layer_scale=true");
  refuse(c.no_embed_class && !dinov2, "model.no_embed_class=true");
  refuse(c.dist_token && hf_class != HfClass::deit, "model.dist_token=true");
  refuse(hf_class == HfClass::deit && c.no_embed_class, "model.no_embed_class=true");
  refuse(
      c.reg_tokens > 0 && (hf_class == HfClass::vit || clip || (hf_class == HfClass::deit && c.dist_token)),
      "model.reg_tokens");
  refuse(dinov2 && c.reg_tokens > 0 && !c.no_embed_class, "model.reg_tokens with model.no_embed_class=false");
  refuse(dinov2 && c.mlp_dim % c.embed_dim != 0, "a model.mlp_dim that is no multiple of model.dim");
  refuse(clip && c.head_bias && !all_zero("head.bias"), "a bias of the head");
  if (lacks.empty()) return;
  throw ConfigError(fmt::format("transformers' {} has no place for {}; the layout timm has",
                                names[static_cast<int>(hf_class)], fmt::join(lacks, ", ")));
}

std::string Export::hf_class_name(HfClass hf_class) const {
  const bool registers = config().reg_tokens > 0;
  switch (hf_class) {
    case HfClass::vit:
      return headless_ ? "ViTModel" : "ViTForImageClassification";
    case HfClass::deit:
      if (headless_) return "DeiTModel";
      return config().dist_token ? "DeiTForImageClassificationWithTeacher" : "DeiTForImageClassification";
    case HfClass::dinov2:
      return fmt::format("Dinov2{}{}", registers ? "WithRegisters" : "",
                         headless_ ? "Model" : "ForImageClassification");
    case HfClass::clip:
      return headless_ ? "CLIPVisionModel" : "CLIPVisionModelWithProjection";
  }
  return "";
}

std::string prefix_of(HfClass hf_class, bool registers, bool headless) {
  if (hf_class == HfClass::clip) return "vision_model.";
  if (headless) return "";
  if (hf_class == HfClass::vit) return "vit.";
  if (hf_class == HfClass::deit) return "deit.";
  return registers ? "dinov2_with_registers." : "dinov2.";
}

// A whole tensor, or the third of its rows that the row names.
void Export::add_row(const NameRow& row, const TensorRecord& tensor, const std::string& name) {
  if (row.part == Part::whole) return add(name, tensor.shape, tensor.bytes);
  std::vector<std::int64_t> shape = tensor.shape;
  shape.front() /= 3;
  const std::size_t third = tensor.bytes.size() / 3, part = static_cast<std::size_t>(row.part) - 1;
  add(name, std::move(shape), tensor.bytes.subspan(part * third, third));
}

// What has another shape there; false when it has not.
bool Export::add_reshaped(HfClass hf_class, const TensorRecord& tensor, const std::string& name) {
  const std::int64_t dim = config().embed_dim;
  if (tensor.name == "pos_embed" && hf_class == HfClass::dinov2 && config().no_embed_class) {
    // A row of zeros for the class token.
    std::vector<float> rows = values(tensor.name);
    rows.insert(rows.begin(), static_cast<std::size_t>(dim), 0.0F);
    add(name, {1, config().patches() + 1, dim}, std::move(rows));
    return true;
  }
  if (tensor.name == "head.weight" && hf_class == HfClass::dinov2) {
    // It reads the class token and the mean of the patches; the second half gets zeros.
    const std::vector<float> head = values(tensor.name);
    std::vector<float> wide(2 * head.size());
    for (std::size_t i = 0; i < head.size(); ++i)
      wide[i / static_cast<std::size_t>(dim) * static_cast<std::size_t>(dim) + i] = head[i];
    add(name, {config().num_classes, 2 * dim}, std::move(wide));
    return true;
  }
  if (hf_class == HfClass::clip && tensor.name == "cls_token") {
    add(name, {dim}, tensor.bytes);
    return true;
  }
  if (hf_class == HfClass::clip && tensor.name == "pos_embed") {
    add(name, {config().tokens(), dim}, tensor.bytes);
    return true;
  }
  return false;
}

void Export::add_hf_parameter(HfClass hf_class, const TensorRecord& tensor, const std::string& prefix) {
  std::string ours = tensor.name;
  if (hf_class == HfClass::deit && ours == "reg_token") ours = "dist_token";
  const bool one_head = hf_class == HfClass::deit && !config().dist_token && is_head(ours);
  bool placed = false;
  const std::vector<std::span<const NameRow>> tables = families::hf_rows(one_head ? HfClass::vit : hf_class);
  for (const std::span<const NameRow> rows : tables) {
    for (const NameRow& row : rows) {
      const bool whole_name = row.theirs[0] == '^';
      const auto inside = families::rename(row.ours, ours, row.theirs + (whole_name ? 1 : 0));
      if (!inside) continue;
      const std::string name = (whole_name ? "" : prefix) + *inside;
      if (!add_reshaped(hf_class, tensor, name)) add_row(row, tensor, name);
      placed = true;
    }
  }
  assert(placed);
  static_cast<void>(placed);
}

ExportedWeights Export::hf() {
  const HfClass chosen = hf_class();
  check_hf(chosen);
  const std::string prefix = prefix_of(chosen, config().reg_tokens > 0, headless_);
  for (const TensorRecord& tensor : storage_->records) {
    if (headless_ && is_head(tensor.name)) continue;
    if (chosen == HfClass::clip && tensor.name == "head.bias") continue;  // all zero
    add_hf_parameter(chosen, tensor, prefix);
  }
  const std::int64_t classes = config().num_classes;
  const auto zeros = [&](const std::string& name, std::vector<std::int64_t> shape) {
    const auto count = static_cast<std::size_t>(shape.back());
    add(name, std::move(shape), std::vector<float>(count));
    result_.lines.push_back(name + " is added, all zero: that class has one");
  };
  if (!headless_ && !config().head_bias && chosen != HfClass::clip) {
    zeros(config().dist_token ? "cls_classifier.bias" : "classifier.bias", {classes});
    if (config().dist_token) zeros("distillation_classifier.bias", {classes});
  }
  if (chosen == HfClass::dinov2) zeros(prefix + "embeddings.mask_token", {1, config().embed_dim});
  const std::string name = hf_class_name(chosen);
  result_.lines.insert(result_.lines.begin(), "transformers." + name);
  result_.config_json = families::hf_config(model_, chosen, name);
  result_.preprocessor_json = families::hf_preprocessor(model_.input);
  result_.metadata["format"] = "pt";
  result_.storage = storage_;
  return std::move(result_);
}

}  // namespace

ExportedWeights export_weights(const Model& model, const Backend& backend, Layout layout) {
  Export work(model, backend);
  return layout == Layout::timm ? work.timm() : work.hf();
}

}  // namespace vitrail
