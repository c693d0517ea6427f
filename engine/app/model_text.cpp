#include "engine/app/model_text.h"

#include <fmt/format.h>

#include "engine/key_parse.h"
#include "engine/keys.h"

namespace vitrail::app {

nlohmann::ordered_json model_json(const VitConfig& config) {
  TrainConfig holder;
  holder.model = config;
  nlohmann::ordered_json json;
  for (const Key& key : keys()) {
    const std::string value = key.get(holder);
    if (!key.name.starts_with("model") || value.empty()) continue;
    const nlohmann::ordered_json parsed = nlohmann::ordered_json::parse(value, nullptr, false);
    json[key.name == "model" ? "name" : key.name.substr(6)] =
        parsed.is_discarded() ? nlohmann::ordered_json(value) : parsed;
  }
  return json;
}

nlohmann::ordered_json input_json(const InputConfig& input) {
  const auto channels = static_cast<std::ptrdiff_t>(input.channels);
  return {{"size", input.size},
          {"channels", input.channels},
          {"crop_pct", input.crop_pct},
          {"interpolation", name_of(input.interpolation)},
          {"mean", std::vector<double>(input.mean.begin(), input.mean.begin() + channels)},
          {"std", std::vector<double>(input.std.begin(), input.std.begin() + channels)}};
}

void show_network(Console& console, const VitConfig* model, const InputConfig* input,
                  const std::vector<std::string>& labels) {
  if (model != nullptr) {
    console.row(
        "Model",
        fmt::format("{}  {} x {} px in patches of {}, {} channels  {} blocks, dim {}, {} heads  {} classes",
                    model->name, model->img_size, model->img_size, model->patch_size, model->in_chans,
                    model->depth, model->embed_dim, model->num_heads, model->num_classes));
  }
  if (input != nullptr) {
    console.row("Input",
                fmt::format("crop {}  {}  mean {}  std {}", input->crop_pct, name_of(input->interpolation),
                            to_text(input->mean), to_text(input->std)));
  }
  std::string text;
  for (std::size_t i = 0; i < labels.size() && i < 12; ++i)
    text += (i == 0 ? "" : ", ") + labels[i];
  if (!text.empty()) console.row("Labels", text + (labels.size() > 12 ? ", …" : ""));
}

}  // namespace vitrail::app
