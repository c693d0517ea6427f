#include "engine/families/facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/error.h"
#include "engine/families/own_settings.h"

namespace vitrail::families {
namespace {

using format::Datum;

// Walks down a document; a missing step gives null.
const Datum* at(const Datum* datum, std::initializer_list<const char*> path) {
  for (const char* key : path) {
    if (datum != nullptr) datum = datum->find(key);
  }
  return datum != nullptr && !datum->is_none() ? datum : nullptr;
}

std::optional<double> number_at(const Datum* datum, std::initializer_list<const char*> path) {
  const Datum* found = at(datum, path);
  double value = 0;
  if (found == nullptr || !found->number(value)) return std::nullopt;
  return value;
}

// Whole and small enough to be a size.
std::optional<std::int64_t> size_at(const Datum* datum, std::initializer_list<const char*> path) {
  const std::optional<double> value = number_at(datum, path);
  if (!value || !(*value >= 1 && *value <= 1 << 20) || *value != std::floor(*value)) return std::nullopt;
  return static_cast<std::int64_t>(*value);
}

std::optional<std::string> text_at(const Datum* datum, std::initializer_list<const char*> path) {
  const Datum* found = at(datum, path);
  const std::string* text = found == nullptr ? nullptr : found->as<std::string>();
  return text == nullptr ? std::nullopt : std::optional(*text);
}

bool false_at(const Datum* datum, std::initializer_list<const char*> path) {
  const Datum* found = at(datum, path);
  const bool* value = found == nullptr ? nullptr : found->as<bool>();
  return value != nullptr && !*value;
}

std::optional<Channels> channels_at(const Datum* datum, std::initializer_list<const char*> path) {
  const Datum* found = at(datum, path);
  const Datum::List* list = found == nullptr ? nullptr : found->as<Datum::List>();
  if (list == nullptr || list->items.empty() || list->items.size() > 4) return std::nullopt;
  Channels values{};
  for (std::size_t c = 0; c < values.size(); ++c) {
    if (!list->items[c % list->items.size()].number(values[c])) return std::nullopt;
  }
  return values;
}

template <class T>
void learn(Known<T>& known, const std::optional<T>& found, const char* source) {
  if (found) known.learn(*found, source);
}

// The names of transformers/activations.py and timm/layers/create_act.py.
GeluKind parse_gelu(const std::string& name, const char* source) {
  if (name == "gelu" || name == "gelu_python") return GeluKind::erf;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast" || name == "gelu_tanh") {
    return GeluKind::tanh;
  }
  if (name == "quick_gelu" || name == "quickgelu") return GeluKind::quick;
  throw ConfigError(fmt::format(
      "{}: expected an activation gelu, gelu_pytorch_tanh or quick_gelu, found '{}', which has no place here",
      source, name));
}

void learn_interpolation(Facts& facts, const std::string& name, const char* source) {
  const bool bilinear = name == "bilinear";
  if (!bilinear && name != "bicubic") {
    facts.remarks.push_back(
        fmt::format("{} resizes images with '{}'; here bicubic takes its place", source, name));
  }
  facts.interpolation.learn(bilinear ? Interpolation::bilinear : Interpolation::bicubic, source);
}

std::vector<std::string> text_list(const Datum* datum) {
  std::vector<std::string> texts;
  const Datum::List* list = datum == nullptr ? nullptr : datum->as<Datum::List>();
  if (list == nullptr) return texts;
  for (const Datum& item : list->items) {
    const std::string* text = item.as<std::string>();
    if (text == nullptr) return {};
    texts.push_back(*text);
  }
  return texts;
}

// {"0": "cat", "1": "dog"}, unless they are the placeholders LABEL_0, LABEL_1.
std::vector<std::string> labels_by_id(const Datum* datum) {
  const Datum::Dict* dict = datum == nullptr ? nullptr : datum->as<Datum::Dict>();
  if (dict == nullptr) return {};
  std::vector<std::string> labels;
  bool placeholders = true;
  for (std::size_t id = 0; id < dict->items.size(); ++id) {
    const Datum* label = datum->find(std::to_string(id));
    const std::string* text = label == nullptr ? nullptr : label->as<std::string>();
    if (text == nullptr) return {};
    placeholders = placeholders && *text == "LABEL_" + std::to_string(id);
    labels.push_back(*text);
  }
  return placeholders ? std::vector<std::string>{} : labels;
}

// timm's, as it stands beside weights on the hub (timm/models/_hub.py).
void read_timm_config(const Datum& config, Facts& facts) {
  constexpr const char* kFrom = "config.json";
  learn(facts.architecture, text_at(&config, {"architecture"}), kFrom);
  const auto pool = text_at(&config, {"global_pool"});
  if (pool == "avg") facts.global_pool.learn(PoolKind::avg, kFrom);
  if (pool == "token") facts.global_pool.learn(PoolKind::token, kFrom);
  learn(facts.num_heads, size_at(&config, {"model_args", "num_heads"}), kFrom);
  if (const auto act = text_at(&config, {"model_args", "act_layer"}))
    facts.gelu.learn(parse_gelu(*act, kFrom), kFrom);
  facts.labels = text_list(at(&config, {"label_names"}));

  const Datum* images = at(&config, {"pretrained_cfg"});
  learn(facts.mean, channels_at(images, {"mean"}), kFrom);
  learn(facts.std, channels_at(images, {"std"}), kFrom);
  learn(facts.crop_pct, number_at(images, {"crop_pct"}), kFrom);
  if (const auto name = text_at(images, {"interpolation"})) learn_interpolation(facts, *name, kFrom);
  if (const auto mode = text_at(images, {"crop_mode"}); mode && mode != "center") {
    facts.remarks.push_back(fmt::format("{} crops images by '{}'; here the centre is cut out", kFrom, *mode));
  }
  if (facts.labels.empty()) facts.labels = text_list(at(images, {"label_names"}));
}

// transformers' (configuration_vit.py and its kin); a CLIP's vision tower has a dict of its own.
void read_hf_config(const Datum& config, Facts& facts) {
  constexpr const char* kFrom = "config.json";
  const Datum* vision = at(&config, {"vision_config"});
  const Datum* network = vision != nullptr ? vision : &config;
  learn(facts.norm_eps, number_at(network, {"layer_norm_eps"}), kFrom);
  learn(facts.num_heads, size_at(network, {"num_attention_heads"}), kFrom);
  learn(facts.img_size, size_at(network, {"image_size"}), kFrom);
  if (const auto act = text_at(network, {"hidden_act"})) facts.gelu.learn(parse_gelu(*act, kFrom), kFrom);
  facts.labels = labels_by_id(at(&config, {"id2label"}));
  const auto type = text_at(&config, {"model_type"});
  if (type != "clip" && type != "clip_vision_model") return;
  // Its inner dict leaves out what is the class's default (configuration_clip.py, CLIPVisionConfig).
  constexpr const char* kDefault = "config.json: transformers' default for CLIP";
  facts.norm_eps.learn(1e-5, kDefault);
  facts.gelu.learn(GeluKind::quick, kDefault);
  facts.num_heads.learn(12, kDefault);
}

// OpenCLIP's open_clip_config.json.
void read_open_clip_config(const Datum& config, Facts& facts) {
  constexpr const char* kFrom = "open_clip_config.json";
  const Datum* quick = at(&config, {"model_cfg", "quick_gelu"});
  const bool* value = quick == nullptr ? nullptr : quick->as<bool>();
  facts.gelu.learn(value != nullptr && *value ? GeluKind::quick : GeluKind::erf, kFrom);
  learn(facts.img_size, size_at(&config, {"model_cfg", "vision_cfg", "image_size"}), kFrom);
  learn(facts.mean, channels_at(&config, {"preprocess_cfg", "mean"}), kFrom);
  learn(facts.std, channels_at(&config, {"preprocess_cfg", "std"}), kFrom);
}

// The share of the short side that is cut out: resize to `resized`, cut `cut`.
double crop_share(std::int64_t cut, std::int64_t resized) {
  double share = static_cast<double>(cut) / static_cast<double>(resized);
  // floor(cut / share) must be `resized` again.
  if (std::floor(static_cast<double>(cut) / share) < static_cast<double>(resized))
    share = std::nextafter(share, 0.0);
  return share;
}

// transformers/image_processing_base.py: resize, crop, rescale, normalise.
void read_preprocessor(const Datum& images, Facts& facts) {
  constexpr const char* kFrom = "preprocessor_config.json";
  if (!false_at(&images, {"do_normalize"})) {
    learn(facts.mean, channels_at(&images, {"image_mean"}), kFrom);
    learn(facts.std, channels_at(&images, {"image_std"}), kFrom);
  } else {
    facts.mean.learn({0, 0, 0, 0}, kFrom);
    facts.std.learn({1, 1, 1, 1}, kFrom);
  }
  // PIL's numbers of the filters.
  if (const auto filter = number_at(&images, {"resample"})) {
    const bool known = *filter == 2 || *filter == 3;
    learn_interpolation(facts,
                        *filter == 2 ? "bilinear"
                        : known      ? "bicubic"
                                     : fmt::format("PIL's filter {}", *filter),
                        kFrom);
  }
  std::optional<std::int64_t> shortest = size_at(&images, {"size", "shortest_edge"});
  const std::optional<std::int64_t> height = size_at(&images, {"size", "height"});
  const std::optional<std::int64_t> cut = size_at(&images, {"crop_size", "height"})
                                              ? size_at(&images, {"crop_size", "height"})
                                              : size_at(&images, {"crop_size"});
  if (!shortest && height) {
    facts.remarks.push_back(
        fmt::format("{} squashes images to {} × {}; here their aspect is kept and the centre is cut out",
                    kFrom, *height, size_at(&images, {"size", "width"}).value_or(*height)));
  }
  if (!shortest) shortest = height ? height : size_at(&images, {"size"});
  if (!shortest) return;
  const bool crops =
      cut && !false_at(&images, {"do_center_crop"}) && at(&images, {"do_center_crop"}) != nullptr;
  facts.crop_pct.learn(crops && *cut < *shortest ? crop_share(*cut, *shortest) : 1.0, kFrom);
}

void read_options(const ImportOptions& options, Facts& facts) {
  if (options.norm_eps) facts.norm_eps.learn(*options.norm_eps, "init.norm_eps");
  if (options.gelu) facts.gelu.learn(*options.gelu, "init.gelu");
  if (options.num_heads) facts.num_heads.learn(*options.num_heads, "init.num_heads");
  if (options.architecture) facts.architecture.learn(*options.architecture, "model");
  if (options.normalization) learn_normalization(facts, *options.normalization, "init.normalization");
}

}  // namespace

void learn_normalization(Facts& facts, const std::string& name, const std::string& source) {
  struct Named {
    const char* name;
    Channels mean, std;
  };
  static constexpr Named kNamed[] = {
      {"half", {0.5, 0.5, 0.5, 0.5}, {0.5, 0.5, 0.5, 0.5}},
      {"imagenet", {0.485, 0.456, 0.406, 0.485}, {0.229, 0.224, 0.225, 0.229}},
      {"clip",
       {0.48145466, 0.4578275, 0.40821073, 0.48145466},
       {0.26862954, 0.26130258, 0.27577711, 0.26862954}},
  };
  for (const Named& known : kNamed) {
    if (name != known.name) continue;
    facts.mean.learn(known.mean, source);
    facts.std.learn(known.std, source);
    return;
  }
  throw ConfigError(fmt::format("init.normalization: expected half, imagenet or clip, found '{}'", name));
}

Facts read_facts(const WeightFile& file, const ImportOptions& options) {
  Facts facts;
  read_options(options, facts);
  read_own_settings(file, facts);
  if (file.config) {
    const Datum& config = *file.config;
    if (at(&config, {"model_cfg"}) != nullptr) {
      read_open_clip_config(config, facts);
    } else if (at(&config, {"architecture"}) != nullptr) {
      read_timm_config(config, facts);
    } else {
      read_hf_config(config, facts);
    }
  }
  if (file.preprocessor) read_preprocessor(*file.preprocessor, facts);
  return facts;
}

}  // namespace vitrail::families
