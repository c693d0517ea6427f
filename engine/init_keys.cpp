// The rows of the settings table that name files of weights to begin with.
#include "engine/error.h"
#include "engine/key_table.h"

namespace vitrail::key_table {
namespace {

template <class Field>
Key text_key(std::string name, Field field, std::string accepts, std::string help) {
  return {std::move(name), std::move(accepts), std::move(help),
          [field](const TrainConfig& config) { return field(config); },
          [field](TrainConfig& config, std::string_view text) { field(config) = text; }};
}

Key init_gelu_key() {
  return {"init.gelu", "erf | tanh | quick", "the GELU of init's network, where the file does not tell",
          [](const TrainConfig& config) {
            return config.init.gelu ? std::string(name_of(*config.init.gelu)) : std::string();
          },
          [](TrainConfig& config, std::string_view text) {
            for (const GeluKind kind : {GeluKind::erf, GeluKind::tanh, GeluKind::quick}) {
              if (text == name_of(kind)) return void(config.init.gelu = kind);
            }
            refuse_value("init.gelu", "erf | tanh | quick", text);
          }};
}

Key init_norm_eps_key() {
  return {"init.norm_eps", kPositive.text(),
          "LayerNorm's epsilon of init's network, where the file does not tell",
          [](const TrainConfig& config) {
            return config.init.norm_eps ? to_text(*config.init.norm_eps) : std::string();
          },
          [](TrainConfig& config, std::string_view text) {
            config.init.norm_eps = parse_number("init.norm_eps", text, kPositive);
          }};
}

Key init_heads_key() {
  static constexpr WholeRange kRange{1, 1 << 16};
  return {"init.num_heads", kRange.text(), "attention heads of init's network, where the file does not tell",
          [](const TrainConfig& config) {
            return config.init.num_heads > 0 ? std::to_string(config.init.num_heads) : std::string();
          },
          [](TrainConfig& config, std::string_view text) {
            config.init.num_heads = parse_whole("init.num_heads", text, kRange);
          }};
}

Key init_normalization_key() {
  static constexpr const char* kAccepts = "half | imagenet | clip";
  return {"init.normalization", kAccepts, "mean and deviation of init's images, where the file does not tell",
          [](const TrainConfig& config) { return config.init.normalization; },
          [](TrainConfig& config, std::string_view text) {
            if (text != "half" && text != "imagenet" && text != "clip")
              refuse_value("init.normalization", kAccepts, text);
            config.init.normalization = text;
          }};
}

}  // namespace

void add_init_keys(std::vector<Key>& rows) {
  rows.push_back(text_key(
      "resume_from", [](auto& config) -> auto& { return config.resume_from; }, "FILE.pt",
      "a checkpoint of PyTorch whose training goes on here, with its moments and steps"));
  rows.push_back(text_key(
      "init", [](auto& config) -> auto& { return config.init.file; },
      "FILE.pt | FILE.safetensors | FILE.npz | FILE.vitrail | FOLDER",
      "weights to begin with: of timm, Hugging Face and others"));
  rows.push_back(init_norm_eps_key());
  rows.push_back(init_gelu_key());
  rows.push_back(init_heads_key());
  rows.push_back(init_normalization_key());
}

}  // namespace vitrail::key_table
