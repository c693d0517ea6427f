#include "engine/app/choices.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "engine/error.h"
#include "engine/key_parse.h"
#include "engine/keys.h"

namespace vitrail::app {
namespace {

constexpr std::int64_t kMeasuredImages = 10'000;  // at most, for mean and std
constexpr std::int64_t kSmallSize = 96;           // pixels: up to here measuring costs nothing to speak of

class Chooser {
 public:
  Chooser(RunConfig& config, const DataSource& data, const Recipe& recipe)
      : config_(config),
        train_(config.train),
        data_(data),
        recipe_(recipe),
        recipe_why_(fmt::format("recipe for {}", recipe_.name)) {}

  void take_network(const Import& import, const std::string& origin);
  void data_shape();
  void model_sizes();
  void normalisation();
  void length();
  void optimizer();
  void augmentation();
  std::vector<Choice> take() { return std::move(made_); }

 private:
  void set(std::string_view name, const std::string& value, const std::string& why) {
    if (config_.told(name)) return;
    const TrainConfig before = train_;
    set_key(train_, name, value);
    config_.origins[std::string(name)] = why;
    if (!(train_ == before)) made_.push_back({std::string(name), value, why});
  }
  void set(std::string_view name, std::int64_t value, const std::string& why) {
    set(name, std::to_string(value), why);
  }
  void set(std::string_view name, double value, const std::string& why) { set(name, to_text(value), why); }

  std::int64_t train_images() const {
    return data_.train ? std::max<std::int64_t>(data_.train->size(), 1) : 1;
  }

  RunConfig& config_;
  TrainConfig& train_;
  const DataSource& data_;
  const Recipe& recipe_;
  std::string recipe_why_;
  std::vector<Choice> made_;
};

// What training decides stays; everything else is the file's.
void Chooser::take_network(const Import& import, const std::string& origin) {
  const TrainConfig told = train_;
  const auto is_training = [](const std::string& name) {
    return name.ends_with("_rate") || name == "model.weight_init" || name == "model.init_values";
  };
  train_.model = import.config;
  train_.input = import.input;
  for (const Key& key : keys()) {
    const bool network = key.name.starts_with("model"), input = key.name.starts_with("input.");
    if (!network && !input) continue;
    const auto given = config_.origins.find(key.name);
    const bool by_name = given != config_.origins.end() && given->second.starts_with("model=");
    const bool singly = given != config_.origins.end() && !by_name && key.name != "model";
    const std::string value = key.get(told);
    if (is_training(key.name) || (input && singly)) {
      key.set(train_, value);
    } else if (singly && !value.empty() && value != key.get(train_)) {
      throw ConfigError(fmt::format("{}: {} has {}, found {} ({}); the network comes from the file", key.name,
                                    origin, key.get(train_), value, given->second));
    } else if (!singly) {
      config_.origins[key.name] = origin;
    }
  }
  set("model.drop_path_rate", recipe_.drop_path, recipe_why_);
}

void Chooser::data_shape() {
  set("model.num_classes", static_cast<std::int64_t>(data_.class_names.size()), "the data's classes");
  set("model.in_chans", data_.native_channels == 1 ? std::int64_t{1} : std::int64_t{3},
      data_.native_channels == 1 ? "the images are grey" : "the images are in colour");
}

void Chooser::model_sizes() {
  if (config_.told("model") && train_.model.name != "custom") return;
  set("model", std::string("custom"), "sizes given one by one");
  set("model.patch_size", recipe_.patch_size, recipe_why_);
  const std::int64_t patch = train_.model.patch_size;
  const std::int64_t wanted = recipe_.img_size > 0 ? recipe_.img_size : data_.native_size;
  const std::int64_t size = std::max(wanted / patch, std::int64_t{1}) * patch;
  set("model.img_size", size,
      size == data_.native_size ? "the images' own size" : fmt::format("{}, in whole patches", recipe_why_));
  set("model.dim", recipe_.dim, recipe_why_);
  set("model.depth", recipe_.depth, recipe_why_);
  std::int64_t heads = std::max<std::int64_t>(1, train_.model.embed_dim / 32);
  while (train_.model.embed_dim % heads != 0)
    --heads;
  const bool recipe_dim = train_.model.embed_dim == recipe_.dim;
  set("model.heads", recipe_dim ? recipe_.heads : heads, recipe_dim ? recipe_why_ : "model.dim / 32");
  set("model.mlp_dim", 4 * train_.model.embed_dim, "4 times model.dim");
  set("model.drop_path_rate", recipe_.drop_path, recipe_why_);
  set("model.weight_init", std::string(name_of(recipe_.weight_init)), recipe_why_);
}

void Chooser::normalisation() {
  set("input.crop_pct", recipe_.crop_pct, recipe_why_);
  const bool small = data_.native_size > 0 && data_.native_size <= kSmallSize;
  if (!small || !data_.train || (config_.told("input.mean") && config_.told("input.std"))) {
    set("input.mean", std::string("0.5"), "usual for ViT");
    set("input.std", std::string("0.5"), "usual for ViT");
    return;
  }
  std::array<double, 4> mean{}, std{};
  const std::int64_t channels = train_.model.in_chans;
  measure_mean_std(*data_.train, channels, kMeasuredImages, mean, std);
  for (std::size_t c = 0; c < mean.size(); ++c) {
    const std::size_t from = std::min(c, static_cast<std::size_t>(channels - 1));
    mean[c] = std::round(mean[from] * 1e4) / 1e4;
    std[c] = std::max(std::round(std[from] * 1e4) / 1e4, 1e-4);
  }
  set("input.mean", to_text(mean), "measured on the training images");
  set("input.std", to_text(std), "measured on the training images");
}

void Chooser::length() {
  const std::int64_t images = train_images();
  // Small data in small batches: an epoch is to have at least eight steps.
  const std::int64_t fitting = std::max<std::int64_t>(
      1, static_cast<std::int64_t>(
             std::bit_floor(static_cast<std::uint64_t>(std::max<std::int64_t>(images / 8, 1)))));
  const std::int64_t batch = std::min(recipe_.batch, fitting);
  const std::int64_t parts = std::max<std::int64_t>(train_.accumulate, 1);
  set("batch", (batch + parts - 1) / parts * parts,
      batch == recipe_.batch ? recipe_why_ : fmt::format("{} images allow eight steps an epoch", images));
  if (config_.told("steps") && train_.steps > 0) return;
  const std::int64_t epochs = std::clamp<std::int64_t>((recipe_.images_seen + images / 2) / images, 3, 100);
  set("epochs", epochs, fmt::format("{}, {} training images", recipe_why_, images));
}

void Chooser::optimizer() {
  const double scale = std::sqrt(double(train_.batch) / double(recipe_.batch));
  const double lr = scale == 1 ? recipe_.lr : std::round(recipe_.lr * scale * 1e7) / 1e7;
  set("opt.lr", std::max(lr, 1e-7),
      scale == 1 ? recipe_why_
                 : fmt::format("{} at batch {}, scaled by the root of the batch", to_text(recipe_.lr),
                               recipe_.batch));
  set("opt.weight_decay", recipe_.weight_decay, recipe_why_);
  set("opt.layer_decay", recipe_.layer_decay, recipe_why_);
  set("schedule.min_lr", std::min(1e-6, train_.opt.lr / 100), "at most a hundredth of opt.lr");
  set("label_smoothing", recipe_.label_smoothing, recipe_why_);
  set("ema.decay", recipe_.ema_decay, recipe_why_);
}

void Chooser::augmentation() {
  set("augment.crop_min", recipe_.crop_min, recipe_why_);
  set("augment.shift", std::min(recipe_.shift, train_.model.img_size - 1), recipe_why_);
  // Mirrored letters and digits are others; garments and photographs stay what they are.
  const bool glyphs = data_.native_channels == 1 && data_.native_size > 0 && data_.spec != "fashion-mnist";
  set("augment.flip", glyphs ? 0.0 : 0.5,
      glyphs ? "small grey images may be digits or letters" : recipe_why_);
}

}  // namespace

std::vector<Choice> choose_for(RunConfig& config, const DataSource& data, const Recipe& recipe,
                               const Import& import, const std::string& origin) {
  Chooser chooser(config, data, recipe);
  chooser.take_network(import, origin);
  chooser.length();
  chooser.optimizer();
  chooser.augmentation();
  return chooser.take();
}

std::vector<Choice> choose(RunConfig& config, const DataSource& data) {
  Chooser chooser(config, data, recipe_for(data.native_size));
  chooser.data_shape();
  chooser.model_sizes();
  chooser.normalisation();
  chooser.length();
  chooser.optimizer();
  chooser.augmentation();
  return chooser.take();
}

}  // namespace vitrail::app
